"""Two processes with copies of one data directory are no restart, and one is refused."""

from __future__ import annotations

import pytest

from raftd._pb import raft_pb2 as pb
from raftd.core.types import Identity
from raftd.rpc.directory import LATE_SECONDS, LIVES_MAX, TOLD_SECONDS, Lives
from raftd.rpc.peers.envelope import Envelopes, Mismatch

FIRST, SECOND, THIRD = 11, 22, 33


class Hearing:
    """n1, which hears of n2."""

    def __init__(self) -> None:
        self.now = 100.0
        self.lives = Lives(lambda: self.now, own=1)

    def hears(self, life: int, after: float = 0.0) -> bool:
        """True if it is taken."""
        self.now += after
        return not self.lives.refuses("n2", life)

    def goes_on(self, life: int, seconds: float = LATE_SECONDS + 1) -> bool:
        """It is heard all the time. True if the last of it is taken."""
        taken = [self.hears(life, after=LATE_SECONDS / 5) for _ in range(round(seconds / 2))]
        return taken[-1]


@pytest.fixture
def n1() -> Hearing:
    return Hearing()


def test_restarts_are_taken_however_many(n1: Hearing) -> None:
    assert all(n1.hears(life, after=0.1) for life in range(1, 10 * LIVES_MAX))
    assert list(n1.lives.twins()) == []
    assert len(n1.lives._speakers["n2"].past) <= LIVES_MAX


def test_the_last_words_of_the_process_before_are_no_second_one(n1: Hearing) -> None:
    assert n1.hears(FIRST)
    assert n1.hears(SECOND)
    assert n1.hears(FIRST, after=LATE_SECONDS / 2)
    assert n1.hears(SECOND, after=10 * LATE_SECONDS)
    assert list(n1.lives.twins()) == []


def test_who_goes_on_beside_its_successor_is_another_process(n1: Hearing) -> None:
    assert n1.hears(FIRST)
    assert n1.hears(SECOND)
    assert n1.goes_on(FIRST), "it was there before"
    assert not n1.hears(SECOND)
    assert not n1.hears(SECOND, after=1000.0)
    assert n1.hears(FIRST)
    [told] = n1.lives.twins()
    assert "two processes run as n2" in told
    assert n1.hears(THIRD), "one was stopped, and the other one started again"
    n1.now += TOLD_SECONDS
    assert list(n1.lives.twins()) == []


def test_who_slept_while_another_stood_in_for_it_is_refused(n1: Hearing) -> None:
    """Its machine hung, its directory was copied, and the copy has voted and acknowledged since."""
    assert n1.hears(FIRST)
    assert n1.hears(SECOND)
    assert n1.goes_on(SECOND, 60.0)
    assert not n1.hears(FIRST)
    assert n1.goes_on(SECOND)
    assert not n1.goes_on(FIRST)
    assert len(list(n1.lives.twins())) == 1
    assert n1.hears(SECOND)


def test_one_that_was_started_again_beside_the_other_is_found_again(n1: Hearing) -> None:
    for life in (FIRST, SECOND):
        n1.hears(life)
    n1.goes_on(FIRST)
    assert n1.hears(THIRD)
    assert n1.goes_on(FIRST)
    assert not n1.hears(THIRD)
    assert not n1.hears(SECOND)


def test_older_versions_do_not_say_and_are_taken(n1: Hearing) -> None:
    assert n1.hears(0)
    assert n1.hears(FIRST)
    assert n1.hears(0, after=LATE_SECONDS + 1)
    assert n1.hears(FIRST)


def test_other_nodes_are_others(n1: Hearing) -> None:
    assert n1.hears(FIRST)
    assert not n1.lives.refuses("n3", SECOND)
    assert n1.hears(FIRST, after=LATE_SECONDS + 1)


def _said_by(n2: Envelopes) -> dict[str, pb.Envelope]:
    return {"request": n2.request_to("n1"), "hello": n2.hello_to("n1")}


def test_all_that_the_second_one_says_is_refused(n1: Hearing) -> None:
    """Requests, Hellos and answers; its id and incarnation are right."""
    here = Envelopes(Identity("c", "n1", "i1"), {"n2": "i2"}.get, lives=n1.lives)
    first, second = (
        Envelopes(Identity("c", "n2", "i2"), {"n1": "i1"}.get, lives=Lives(own=life))
        for life in (FIRST, SECOND)
    )
    asks, copies = _said_by(first), _said_by(second)
    assert here.check_request(asks["request"]) == "n2"
    assert here.check_hello(copies["hello"]) == "n2"
    for _ in range(5):
        n1.now += LATE_SECONDS / 4
        here.check_reply(asks["request"], "n2")
    for check in (
        lambda: here.check_request(copies["request"]),
        lambda: here.check_hello(copies["hello"]),
        lambda: here.check_reply(copies["request"], "n2"),
        lambda: here.check_hello_reply(copies["request"], "n2"),
    ):
        with pytest.raises(Mismatch, match="two processes run as n2") as refused:
            check()
        assert "stop one of them" in refused.value.hint
    assert here.check_request(asks["request"]) == "n2"


def test_a_directory_that_was_replaced_is_no_second_process(n1: Hearing) -> None:
    """The core refuses it in words of its own, and the old one is not held to have ended."""
    here = Envelopes(Identity("c", "n1", "i1"), {"n2": "i2"}.get, lives=n1.lives)
    wiped = Envelopes(Identity("c", "n2", "other"), {"n1": "i1"}.get, lives=Lives(own=SECOND))
    assert n1.hears(FIRST)
    assert here.check_hello(wiped.hello_to("n1")) == "n2"
    assert n1.hears(FIRST, after=LATE_SECONDS + 1)
    assert list(n1.lives.twins()) == []


def test_an_impostor_is_no_second_process(n1: Hearing) -> None:
    """It has another node's certificate. The story without it: it spoke, then the true one was
    started again, and was refused as the second once the impostor was heard after that.
    """
    here = Envelopes(Identity("c", "n1", "i1"), {"n2": "i2"}.get, lives=n1.lives)
    impostor = Envelopes(Identity("c", "n2", "i2"), {"n1": "i1"}.get, lives=Lives(own=FIRST))

    def speaks() -> None:
        for check, what in (
            (here.check_request, impostor.request_to("n1")),
            (here.check_hello, impostor.hello_to("n1")),
        ):
            with pytest.raises(Mismatch, match="certificate"):
                check(what, lambda sender: f"not the certificate of {sender}")

    speaks()
    assert n1.hears(SECOND)
    n1.now += LATE_SECONDS + 1
    speaks()
    assert n1.hears(SECOND)
    assert list(n1.lives.twins()) == []
