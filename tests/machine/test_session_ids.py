"""Sessions of version 2: ids that nobody can guess, floors, long answers, what a leader noted."""

from __future__ import annotations

import pytest

from raftd.machine import answers
from raftd.machine.session_table import Limits
from raftd.wire import batch as wire
from raftd.wire import session_id
from tests.machine.test_sessions import Node


@pytest.fixture
def node() -> Node:
    return Node()


def test_the_id_of_a_session_is_random_bytes_and_the_index_of_its_entry(node: Node) -> None:
    node.send(b"", 0, (0, b"first"))
    nonce = bytes(range(16))
    assert node.open(nonce) == nonce + (2).to_bytes(8, "little")
    assert node.open()[:16] != node.open()[:16]


def test_opening_twice_is_one_session_with_all_that_it_did(node: Node) -> None:
    nonce = session_id.draw()
    session = node.open(nonce)
    node.send(session, 0, (1, b"a"))
    assert node.open(nonce) == session
    assert node.send(session, 0, (1, b"a")) == [(wire.OK, b"1:a")]
    assert node.sessions.session_count() == 1
    assert node.journal.done == [b"a"]


def test_a_session_that_is_opened_anew_after_it_expired_is_another_one() -> None:
    """An attempt to open that was on its way for long must not bring numbers back to life."""
    node = Node(Limits(sessions=1))
    nonce = session_id.draw()
    session = node.open(nonce)
    node.send(session, 0, (1, b"a"))
    node.open()
    late = node.open(nonce)
    assert late != session
    assert node.statuses(session, 0, (1, b"a")) == [wire.SESSION_EXPIRED]
    assert node.statuses(late, 0, (1, b"b")) == [wire.OK]
    assert node.journal.done == [b"a", b"b"]


def test_who_does_not_know_the_id_can_do_nothing_and_learns_nothing(node: Node) -> None:
    mine = node.open()
    node.send(mine, 0, (1, b"a"))
    index = session_id.opened_at(mine)
    guesses = [session_id.with_index(session_id.draw(), index) for _ in range(3)]
    guesses += [mine[:15] + bytes((mine[15] ^ 128,)) + mine[16:], session_id.with_index(mine, 9)]
    unknown = node.send(session_id.with_index(session_id.draw(), 99), 0, (1, b"x"))
    before = node.snapshot()
    for guess in guesses:
        assert node.send(guess, 2**61, (2**61, b"x")) == unknown
        assert node.apply(wire.encode_close(guess)) == [(wire.OK, b"")]
    assert node.snapshot() == before
    assert node.send(mine, 1, (2, b"b")) == [(wire.OK, b"2:b")]


def test_a_floor_above_every_number_that_was_sent_is_refused(node: Node) -> None:
    session = node.open()
    node.send(session, 0, (1, b"a"), (3, b"c"))
    before = node.snapshot()[0]
    assert node.statuses(session, 2**61, (4, b"d"), (2, b"b")) == [wire.FLOOR_AHEAD] * 2
    assert node.snapshot()[0] == before
    assert node.statuses(session, 4, (4, b"d"), (2, b"b")) == [wire.SEQ_STALE] * 2
    assert node.statuses(session, 4, (2, b"b")) == [wire.SEQ_STALE], "4 was sent before"
    assert node.statuses(session, 5, (2, b"b")) == [wire.FLOOR_AHEAD]
    assert node.journal.done == [b"a", b"c"]


@pytest.mark.parametrize("in_session", [False, True])
def test_a_command_whose_answer_is_too_long_is_done_and_said_to_be(in_session: bool) -> None:
    """One of many, and their sum: the others have their answers, or were not executed."""
    node = Node(Limits(answer_bytes=2000, results_bytes=2500))
    session = node.open() if in_session else b""
    batch = [(1, b"long2001"), (2, b"a"), (3, b"long2000"), (4, b"long2000"), (5, b"b")]
    sent = node.send(session, 0, *batch)
    assert [status for status, _ in sent] == [wire.ANSWER_TOO_LONG, 0, 0, 0, wire.SESSION_FULL]
    assert (
        sent[0][1] == b"done, but its answer has 2001 bytes, the limit is 2000: the answer is lost"
    )
    assert node.journal.done == [command for _, command in batch[:4]]
    if in_session:
        young = node.restarted(node.snapshot())
        for replica in (node, young):
            assert replica.send(session, 0, batch[0]) == sent[:1], "again, and not done again"
        assert young.snapshot() == node.snapshot()


def test_an_answer_to_a_query_that_is_too_long_names_the_limit(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "QUERY_MAX", 3)
    node.send(b"", 0, (0, b"abcd"))
    text = b"the answer has 4 bytes, the limit is 3: ask for less"
    assert node.sessions.query(b"") == (wire.INVALID, text)


def test_what_a_leader_noted_is_state(node: Node) -> None:
    session = node.open()
    node.send(session, 0, (1, b"a"))
    young = node.restarted(node.snapshot())
    payload = wire.encode_batch(session, 1, [(2, b"b")])
    node.apply(wire.noted(payload, 1_700_000_000_000))
    young.apply(wire.noted(payload, 1_700_000_000_001))
    assert node.sessions.digest() != young.sessions.digest()
    assert node.restarted(node.snapshot()).sessions.digest() == node.sessions.digest()
    assert node.sessions._taken_ms == 1_700_000_000_000
    node.apply(wire.noted(payload, 5))
    assert node.sessions._taken_ms == 1_700_000_000_000, "another leader's clock is behind"
