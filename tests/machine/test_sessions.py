"""A command of a session is applied once: the ways in which others got that wrong, one by one."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterable
from typing import BinaryIO

import pytest

from raftd.machine.protocol import MachineError, MachineFailure, SnapshotFormatError
from raftd.machine.session_table import Limits
from raftd.machine.sessions import Sessions
from raftd.node.ports import MachineHost
from raftd.wire import batch as wire
from raftd.wire import session_id
from tests.machine.answered import answered

Result = tuple[int, bytes]


class Journal:
    """Remembers what it executed. "fail" is refused, "crash" raises, "long" answers at length."""

    def __init__(self) -> None:
        self.done: list[bytes] = []

    def apply(self, command: bytes) -> bytes:
        if command.startswith(b"fail"):
            raise MachineError(f"refused after {len(self.done)}")
        if command == b"crash":
            raise KeyError("x\ny")
        if command == b"none":
            return None  # type: ignore[return-value]
        self.done.append(command)
        if command.startswith(b"long"):
            return bytes(int(command[4:]))
        return b"%d:%s" % (len(self.done), command)

    def query(self, request: bytes) -> bytes:
        if request == b"fail":
            raise MachineError("no")
        if request == b"crash":
            raise KeyError("x")
        return b",".join(self.done)

    def capture(self) -> list[bytes]:
        return [b"\n".join(self.done)]

    def restore(self, reader: BinaryIO) -> None:
        self.done = [line for line in reader.read().split(b"\n") if line]


class Node:
    """One replica: a log index, sessions and a journal."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.journal = Journal()
        self.limits = limits or Limits()
        self.sessions = Sessions(self.journal, self.limits)
        self.index = 0

    def apply(self, payload: bytes) -> list[Result]:
        self.index += 1
        return wire.decode_results(answered(self.sessions.apply_batch(self.index, 1, payload)))

    def open(self, nonce: bytes = b"") -> bytes:
        nonce = nonce or (self.index + 1).to_bytes(session_id.NONCE_BYTES, "big")
        ((status, answer),) = self.apply(wire.encode_open(nonce))
        assert status == wire.OK
        return wire.decode_session(answer)

    def send(self, session: bytes, floor: int, *commands: tuple[int, bytes]) -> list[Result]:
        return self.apply(wire.encode_batch(session, floor, commands))

    def statuses(self, session: bytes, floor: int, *commands: tuple[int, bytes]) -> list[int]:
        return [status for status, _ in self.send(session, floor, *commands)]

    def snapshot(self) -> tuple[bytes, bytes]:
        sessions, chunks = self.sessions.capture()
        return sessions, b"".join(chunks)

    def restarted(self, snapshot: tuple[bytes, bytes]) -> Node:
        node = Node(self.limits)
        node.index = self.index
        node.sessions.restore(snapshot[0], io.BytesIO(snapshot[1]))
        return node


@pytest.fixture
def node() -> Node:
    return Node()


def test_pitfall_63_the_same_number_gets_the_same_answer_and_is_not_executed_again(
    node: Node,
) -> None:
    session = node.open()
    first = node.send(session, 0, (1, b"a"), (2, b"b"))
    assert first == [(wire.OK, b"1:a"), (wire.OK, b"2:b")]
    assert node.send(session, 0, (2, b"b"), (1, b"a")) == first[::-1]
    assert node.journal.done == [b"a", b"b"]


def test_pitfall_63_an_error_is_an_answer_and_is_kept_too(node: Node) -> None:
    session = node.open()
    first = node.send(session, 0, (1, b"fail"))
    assert first == [(wire.MACHINE_ERROR, b"refused after 0")]
    node.send(session, 0, (2, b"a"))
    assert node.send(session, 0, (1, b"fail")) == first


def test_pitfall_63_a_number_twice_in_one_batch_is_executed_once(node: Node) -> None:
    session = node.open()
    assert node.send(session, 0, (1, b"a"), (1, b"a")) == [(wire.OK, b"1:a")] * 2
    assert node.journal.done == [b"a"]


def test_pitfall_63_without_a_session_nothing_is_remembered(node: Node) -> None:
    assert node.send(b"", 0, (1, b"a"), (1, b"fail")) == [(0, b"1:a"), (1, b"refused after 1")]
    assert node.send(b"", 0, (1, b"a")) == [(wire.OK, b"2:a")]


def test_pitfall_64_an_expired_client_is_told_so_and_nothing_is_executed() -> None:
    node = Node(Limits(sessions=2))
    one, two = node.open(), node.open()
    node.send(one, 0, (1, b"a"))  # now `two` is the least recently used
    three = node.open()
    assert node.statuses(two, 0, (1, b"b"), (2, b"b")) == [wire.SESSION_EXPIRED] * 2
    assert node.statuses(one, 0, (1, b"a")) == [wire.OK]
    assert node.statuses(three, 0, (1, b"c")) == [wire.OK]
    assert node.statuses(session_id.with_index(three, 99), 0, (1, b"d")) == [wire.SESSION_EXPIRED]
    assert node.journal.done == [b"a", b"c"]
    assert node.sessions.session_count() == 2


def test_pitfall_64_expiry_follows_the_log_alone() -> None:
    """A restored replica expires the same sessions in the same order as one that never stopped."""
    old = Node(Limits(sessions=3))
    sessions = [old.open() for _ in range(3)]
    for session in (sessions[1], sessions[0]):
        old.send(session, 0, (1, b"x"))
    young = old.restarted(old.snapshot())
    for node in (old, young):
        node.open()
        assert node.statuses(sessions[2], 0, (2, b"y")) == [wire.SESSION_EXPIRED]
        node.open()
        assert node.statuses(sessions[1], 0, (2, b"y")) == [wire.SESSION_EXPIRED]
        assert node.statuses(sessions[0], 0, (2, b"y")) == [wire.OK]
    assert old.snapshot() == young.snapshot()


@pytest.mark.parametrize("limits", [Limits(all_numbers=3), Limits(all_bytes=60)])
def test_pitfall_64_what_all_sessions_keep_together_is_bounded(limits: Limits) -> None:
    node = Node(limits)
    one, two = node.open(), node.open()
    node.send(one, 0, (1, b"a"), (2, b"b"))
    node.send(two, 0, (1, b"a"), (2, b"b"))
    assert node.statuses(one, 0, (3, b"c")) == [wire.SESSION_EXPIRED]
    assert node.statuses(two, 2, (3, b"c")) == [wire.OK]
    node.send(two, 3, (4, b"c"))
    assert node.open()
    assert node.statuses(two, 4, (5, b"c")) == [wire.OK]  # floors free what they pass


def test_pitfall_65_answers_go_when_the_floor_passes_them(node: Node) -> None:
    session = node.open()
    node.send(session, 0, *((seq, b"long1000") for seq in range(1, 101)))
    before = len(node.snapshot()[0])
    assert node.statuses(session, 100, (101, b"a")) == [wire.OK]
    assert before > 100_000
    assert len(node.snapshot()[0]) < 100


def test_pitfall_65_a_full_session_refuses_and_later_takes_the_same_number() -> None:
    node = Node(Limits(session_numbers=2))
    session = node.open()
    full = node.statuses(session, 0, (1, b"a"), (2, b"b"), (3, b"c"), (1, b"a"))
    assert full == [wire.OK, wire.OK, wire.SESSION_FULL, wire.OK]
    assert node.send(session, 1, (3, b"c")) == [(wire.OK, b"3:c")]
    assert node.journal.done == [b"a", b"b", b"c"]


def test_pitfall_65_the_bytes_of_one_session_are_bounded_too() -> None:
    node = Node(Limits(session_bytes=100))
    session = node.open()
    assert node.statuses(session, 0, (1, b"long200"), (2, b"b")) == [wire.OK, wire.SESSION_FULL]
    assert node.statuses(session, 1, (2, b"b")) == [wire.OK]


def test_pitfall_89_a_number_refused_at_the_door_is_executed_though_a_later_one_was(
    node: Node,
) -> None:
    session = node.open()
    assert node.send(session, 0, (8, b"eight")) == [(wire.OK, b"1:eight")]
    assert node.send(session, 0, (7, b"seven")) == [(wire.OK, b"2:seven")]
    assert node.send(session, 6, (8, b"eight"), (7, b"seven")) == [
        (wire.OK, b"1:eight"),
        (wire.OK, b"2:seven"),
    ]
    assert node.journal.done == [b"eight", b"seven"]


def test_at_or_below_the_floor_nothing_is_ever_executed(node: Node) -> None:
    session = node.open()
    node.send(session, 0, (1, b"a"))
    assert node.statuses(session, 5, (1, b"a"), (3, b"c"), (5, b"e"), (6, b"f")) == [
        wire.SEQ_STALE,
        wire.SEQ_STALE,
        wire.SEQ_STALE,
        wire.OK,
    ]
    assert node.journal.done == [b"a", b"f"]


def test_the_floor_only_rises(node: Node) -> None:
    """A delayed batch with an older floor must not bring back what was given up."""
    session = node.open()
    node.send(session, 5, (6, b"f"))
    assert node.statuses(session, 0, (3, b"c"), (7, b"g")) == [wire.SEQ_STALE, wire.OK]


@pytest.mark.parametrize("floor", [3, 2**64 - 1])
def test_a_floor_may_jump(node: Node, floor: int) -> None:
    session = node.open()
    node.send(session, 0, (2, b"b"), (1, b"a"), (9, b"i"))
    node.send(session, floor, (floor, b"x"))
    again = node.statuses(session, 0, (2, b"b"), (9, b"i"))
    assert again == [wire.SEQ_STALE, wire.OK if floor < 9 else wire.SEQ_STALE]
    assert node.restarted(node.snapshot()).snapshot() == node.snapshot()


def test_a_number_met_again_with_another_command_is_an_error(node: Node) -> None:
    session = node.open()
    node.send(session, 0, (1, b"a"), (2, b"fail"))
    assert node.statuses(session, 0, (1, b"b"), (2, b"fail!")) == [wire.SEQ_REUSED] * 2
    assert node.send(session, 0, (1, b"a")) == [(wire.OK, b"1:a")]
    assert node.journal.done == [b"a"]


def test_a_closed_session_is_gone_and_closing_it_again_is_no_error(node: Node) -> None:
    session = node.open()
    node.send(session, 0, (1, b"a"))
    for _ in range(2):
        assert node.apply(wire.encode_close(session)) == [(wire.OK, b"")]
    assert node.statuses(session, 0, (1, b"a")) == [wire.SESSION_EXPIRED]
    assert node.journal.done == [b"a"]
    assert node.sessions.session_count() == 0


def test_pitfall_47_a_restored_replica_knows_what_was_applied(node: Node) -> None:
    session = node.open()
    first = node.send(session, 0, (2, b"b"), (1, b"a"), (3, b"fail"))
    young = node.restarted(node.snapshot())
    assert young.snapshot() == node.snapshot()
    assert young.send(session, 0, (2, b"b"), (1, b"a"), (3, b"fail")) == first
    assert young.journal.done == [b"b", b"a"]


def test_pitfall_107_a_snapshot_holds_the_sessions_of_its_own_index(node: Node) -> None:
    """What is applied after `capture` must be executed again by whoever starts from it."""
    session = node.open()
    node.send(session, 0, (1, b"a"))
    sessions, chunks = node.sessions.capture()
    node.send(session, 0, (2, b"b"))
    other = node.open()
    young = node.restarted((sessions, b"".join(chunks)))
    assert young.send(session, 0, (2, b"b")) == [(wire.OK, b"2:b")]
    assert young.statuses(other, 0, (1, b"c")) == [wire.SESSION_EXPIRED]
    assert young.journal.done == [b"a", b"b"]


def test_pitfall_108_replicas_have_no_settings_of_their_own() -> None:
    """A daemon builds Sessions(machine): the limits are a constant, frozen with the format."""
    assert Sessions(Journal())._limits is Sessions(Journal())._limits
    assert Limits() == Limits(10_000, 1 << 18, 128 << 20, 16_384, 8 << 20, 4 << 20, 2 << 20)


def test_digests_tell_sessions_and_states_apart(node: Node) -> None:
    seen = {node.sessions.digest()}
    session = node.open()
    seen.add(node.sessions.digest())
    node.send(session, 0, (1, b"a"))
    seen.add(node.sessions.digest())
    node.send(session, 1, (2, b"fail"))
    seen.add(node.sessions.digest())
    node.send(b"", 0, (0, b"a"))
    seen.add(node.sessions.digest())
    assert len(seen) == 5
    young = node.restarted(node.snapshot())
    assert young.sessions.digest() == node.sessions.digest()


@pytest.mark.parametrize("in_session", [False, True])
@pytest.mark.parametrize(("command", "names"), [(b"crash", "KeyError: 'x"), (b"none", "TypeError")])
def test_any_other_exception_stops_the_node_and_says_where(
    node: Node, in_session: bool, command: bytes, names: str
) -> None:
    session = node.open() if in_session else b""
    node.index = 1
    with pytest.raises(MachineFailure, match=names) as caught:
        node.send(session, 0, (1, b"a"), (2, command), (3, b"c"))
    assert "entry 2 (term 1), command 1 of 3" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert node.journal.done == [b"a"]


@pytest.mark.parametrize(
    "payload", [b"", b"\x03" + bytes(35), b"\x02\x09" + bytes(34), b"\x01\x09" + bytes(18)]
)
def test_an_entry_that_is_no_batch_stops_the_node(node: Node, payload: bytes) -> None:
    """It cannot have passed the door of this version, so some replica may understand it."""
    with pytest.raises(MachineFailure, match=r"entry 1 \(term 1\)"):
        node.apply(payload)


def test_a_long_error_is_cut_between_characters(node: Node) -> None:
    class Wordy(Journal):
        def apply(self, command: bytes) -> bytes:
            raise MachineError("é" * 5000 + "\ud800")

    ((_, text),) = wire.decode_results(
        answered(Sessions(Wordy()).apply_batch(1, 1, wire.encode_batch(b"", 0, [(0, b"")])))
    )
    assert text.decode() == "é" * 2048


def test_a_query_never_stops_a_node(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    node.send(b"", 0, (0, b"a"))
    assert node.sessions.query(b"") == (wire.OK, b"a")
    assert node.sessions.query(b"fail") == (wire.MACHINE_ERROR, b"no")
    with caplog.at_level(logging.ERROR):
        status, text = node.sessions.query(b"crash")
    assert (status, text) == (wire.MACHINE_ERROR, b"query failed: KeyError: 'x'")
    assert "query raised" in caplog.text


def test_sessions_are_what_a_node_asks_for() -> None:
    host: MachineHost = Sessions(Journal())  # mypy's judgement
    assert host.digest_of(*host.capture())


def test_a_machine_that_cannot_restore_stops_the_node(node: Node) -> None:
    class Broken(Journal):
        def restore(self, reader: BinaryIO) -> None:
            raise UnicodeError("bad\nbytes")

    with pytest.raises(MachineFailure, match="cannot be restored: UnicodeError: bad bytes"):
        Sessions(Broken()).restore(b"", io.BytesIO(b""))


def test_quick_is_the_machines_word() -> None:
    class Quick(Journal):
        quick = True

    assert Sessions(Quick()).quick
    assert not Sessions(Journal()).quick


def _damaged(data: bytes) -> Iterable[bytes]:
    yield data[:-1]
    yield data + b"\x00"
    yield b"x" + data[1:]
    yield data[:4] + b"\x03" + data[5:]
    for at in range(len(data)):
        yield data[:at] + b"\xff" + data[at + 1 :]
        if at:
            yield data[:at]


def test_damaged_sessions_are_refused_or_are_other_sessions(node: Node) -> None:
    for _ in range(2):
        node.send(node.open(), 1, (2, b"a"), (3, b"fail"))
    good, body = node.snapshot()
    for bad in _damaged(good):
        young = Node()
        try:
            young.sessions.restore(bad, io.BytesIO(body))
        except MachineFailure as error:
            assert "\n" not in str(error)  # noqa: PT017
            assert isinstance(error.__cause__, SnapshotFormatError)  # noqa: PT017
            assert young.journal.done == []
        else:
            assert young.snapshot()[0] == bad


def test_no_bytes_at_all_are_no_sessions(node: Node) -> None:
    node.open()
    node.sessions.restore(b"", io.BytesIO(b""))
    assert node.sessions.session_count() == 0
