"""Lab 2A: elections."""

from __future__ import annotations

from tests.mit.helpers import check_no_leader, check_one_leader, check_terms
from tests.mit.lab import ELECTION_SECONDS, Lab

MANY_ROUNDS = 9


def test_initial_election_2a(seed: int) -> None:
    """A leader, and the term stays (the labs only warn when it does not)."""
    with Lab(seed, 3) as lab:
        check_one_leader(lab)
        lab.sleep(0.05)
        before = check_terms(lab)
        assert before >= 1
        lab.sleep(2 * ELECTION_SECONDS)
        lab.figure("terms without failure", check_terms(lab) - before, 0)
        check_one_leader(lab)


def test_re_election_2a(seed: int) -> None:
    with Lab(seed, 3) as lab:
        first = check_one_leader(lab)
        lab.disconnect(first)
        check_one_leader(lab)
        lab.connect(first)
        second = check_one_leader(lab)
        other = (second + 1) % 3
        lab.disconnect(second)
        lab.disconnect(other)
        lab.sleep(2 * ELECTION_SECONDS)
        check_no_leader(lab)
        lab.connect(other)
        check_one_leader(lab)
        lab.connect(second)
        check_one_leader(lab)


def test_many_elections_2a(seed: int) -> None:
    with Lab(seed, 7) as lab:
        check_one_leader(lab)
        for _ in range(MANY_ROUNDS):
            gone = [lab.rng.randrange(7) for _ in range(3)]
            for server in gone:
                lab.disconnect(server)
            check_one_leader(lab)
            for server in gone:
                lab.connect(server)
        check_one_leader(lab)
