"""The labs' helpers with their exact meaning, on a simulated cluster."""

from __future__ import annotations

from collections import defaultdict

from tests.mit.lab import Lab
from tests.mit.service import as_command
from tests.mit.tasks import Steps

LEADER_ROUNDS = 10
ONE_SECONDS = 10.0
ONE_WAIT = 2.0
ONE_POLL = 0.02
ONE_PAUSE = 0.05
WAIT_POLLS = 30


def check_one_leader(lab: Lab) -> int:
    """Ten looks, about half a second apart, at the connected servers. Returns the leader."""
    for _ in range(LEADER_ROUNDS):
        lab.sleep(0.450 + lab.rng.randrange(100) / 1000)
        leaders: dict[int, list[int]] = defaultdict(list)
        for server in lab.servers:
            if lab.connected[server]:
                term, leads = lab.role(server)
                if leads:
                    leaders[term].append(server)
        for term, found in leaders.items():
            assert len(found) == 1, f"term {term} has leaders {found}"
        if leaders:
            return leaders[max(leaders)][0]
    raise AssertionError(f"expected one leader, got none; {lab.describe()}")


def check_no_leader(lab: Lab) -> None:
    for server in lab.servers:
        leads = lab.connected[server] and lab.role(server)[1]
        assert not leads, f"server {server} claims to lead without a majority; {lab.describe()}"


def check_terms(lab: Lab) -> int:
    terms = {lab.role(server)[0] for server in lab.servers if lab.connected[server]}
    assert len(terms) == 1, f"servers disagree on the term: {terms}"
    return terms.pop()


def leader_now(lab: Lab) -> int | None:
    """The connected server that says that it leads the highest term."""
    found = [
        (lab.role(server)[0], server)
        for server in lab.servers
        if lab.connected[server] and lab.role(server)[1]
    ]
    return max(found)[1] if found else None


def wait_applied(lab: Lab, index: int, servers: int, start_term: int = -1) -> bytes | None:
    """What was applied at `index`, once so many have; None if anybody left `start_term`."""
    pause = 0.010
    for _ in range(WAIT_POLLS):
        if lab.applied_by(index) >= servers:
            break
        lab.sleep(pause)
        if pause < 1.0:
            pause *= 2
        if start_term > -1 and any(lab.role(server)[0] > start_term for server in lab.servers):
            return None
    count = lab.applied_by(index)
    assert count >= servers, f"only {count} of {servers} applied index {index}; {lab.describe()}"
    return lab.commands[index]


def one_steps(lab: Lab, value: bytes, servers: int, *, retry: bool) -> Steps:
    """Agree on a value: ten seconds for all attempts. Its result is the index."""
    began = lab.world.now
    at, command = 0, as_command(value)
    while lab.world.now - began < ONE_SECONDS:
        started = None
        for _ in lab.servers:
            at = (at + 1) % len(lab.servers)
            if lab.connected[at]:
                started = lab.start_command(at, value)
                if started is not None:
                    break
        if started is None:
            yield ONE_PAUSE
            continue
        index = started[0]
        attempt = lab.world.now
        while lab.world.now - attempt < ONE_WAIT:
            if lab.applied_by(index) >= servers and lab.commands[index] == command:
                return index
            yield ONE_POLL
        assert retry, f"{value[:20]!r} found no agreement at index {index}; {lab.describe()}"
    raise AssertionError(f"{value[:20]!r} found no agreement in 10 s; {lab.describe()}")


def one(lab: Lab, value: bytes | int, servers: int, *, retry: bool) -> int:
    data = value if isinstance(value, bytes) else b"%d" % value
    task = lab.go(one_steps(lab, data, servers, retry=retry))
    (index,) = lab.finish([task], ONE_SECONDS + ONE_WAIT, "an agreement")
    return int(index)


def random_value(lab: Lab) -> bytes:
    """The labs' random int, as eight bytes."""
    return lab.rng.randbytes(8)


def assert_applied_nowhere(lab: Lab, index: int) -> None:
    count = lab.applied_by(index)
    assert count == 0, f"{count} servers applied {index} without a majority; {lab.describe()}"
