"""What a machine sees of its node, on a real node of one voter: events and states in order with its
commands, and snapshots that it makes itself.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable

import pytest

from raftd.core.effects import Event
from raftd.core.types import Role
from raftd.machine.sessions import Sessions
from raftd.node.apply_jobs import EVENTS_WAITING_MAX
from raftd.wire import batch as wire
from tests.node.alone import Diary, plain, running
from tests.storage.memory_fs import MemoryFileSystem


@pytest.mark.parametrize("quick", [False, True])
def test_attached_first_and_told_everything_in_order_on_its_own_thread(quick: bool) -> None:
    async def go() -> None:
        diary = Diary(quick)
        diary.on = lambda what, detail: diary.states.append(diary.host.state())
        async with running(diary, MemoryFileSystem()) as bench:
            first = await bench.submit(plain(b"a", b"b"))
            second = await bench.submit(plain(b"c"))
            await bench.until(lambda: ("applied", second.index) in diary.lines)
        assert diary.lines[0] == ("attach", "")
        assert diary.threads == {"MainThread" if quick else "raft-apply"}
        leads = next(at for at, line in enumerate(diary.lines) if _is_leader_event(line))
        commands = [line for line in diary.lines if line[0] in ("apply", "applied")]
        assert commands == [
            ("applied", first.index - 1),
            ("apply", b"a"),
            ("apply", b"b"),
            ("applied", first.index),
            ("apply", b"c"),
            ("applied", second.index),
        ]
        no_op = diary.lines.index(("applied", first.index - 1))
        assert leads < no_op, "it is of the leader's own term"
        # The state is that of its place: a command's own entry is not in it, earlier ones are.
        for (what, detail), state in zip(diary.lines, diary.states, strict=True):
            if what == "applied":
                assert state.applied_index == detail
            elif what == "apply":
                entry = first.index if detail in (b"a", b"b") else second.index
                assert state.applied_index == entry - 1
            assert state.applied_index <= state.commit_index

    asyncio.run(go())


def _is_leader_event(line: tuple[str, object]) -> bool:
    return isinstance(line[1], Event) and line[1].kind == "role" and line[1].role is Role.LEADER


def test_a_snapshot_handed_in_holds_the_sessions_of_its_mark() -> None:
    """Number 2 comes after the mark. If it counted as seen, the restored node would skip it."""

    async def go() -> None:
        fs = MemoryFileSystem()
        diary = Diary()
        marks: list[tuple[int, bytes, bytes]] = []

        def on(what: str, detail: object) -> None:
            if what == "applied" and diary.state == b"1":
                marks.append((*diary.host.mark_snapshot(), diary.state))

        diary.on = on
        async with running(diary, fs) as bench:
            opened = await bench.submit(wire.encode_open())
            [(_, answer)] = wire.decode_results(opened.results)
            session = answer
            await bench.submit(wire.encode_batch(session, 0, [(1, b"1")]))
            await bench.submit(wire.encode_batch(session, 0, [(2, b"2")]))
            index, sessions, state = marks[0]
            assert sessions != Sessions(Diary()).sessions(), "the session is in it"
            diary.host.hand_in(index, iter([state]))
            await bench.until(lambda: diary.events("snapshot_taken"))
            assert bench.node.state().snapshot_index == index
        again = Diary()
        async with running(again, fs) as bench:
            await bench.until(lambda: again.state == b"12")
            restored = again.lines.index(("restore", b"1"))
            assert again.lines[0] == ("attach", "")
            assert again.lines.index(("applied", index)) > restored
            # What was seen before the mark still is.
            seen = await bench.submit(wire.encode_batch(session, 0, [(1, b"1"), (2, b"2")]))
            assert wire.decode_results(seen.results) == [(wire.OK, b"1"), (wire.OK, b"12")]
            assert again.state == b"12"

    asyncio.run(go())


def _marking(diary: Diary) -> list[int]:
    """Has the machine mark every entry; returns the list that grows."""
    marked: list[int] = []

    def on(what: str, detail: object) -> None:
        if what == "applied":
            marked.append(diary.host.mark_snapshot()[0])

    diary.on = on
    return marked


def test_only_a_marked_index_is_taken_and_only_once() -> None:
    async def go() -> None:
        diary = Diary()
        marked = _marking(diary)
        async with running(diary, MemoryFileSystem()) as bench:
            for _ in range(6):
                await bench.submit(plain(b"x"))
            await bench.until(lambda: len(marked) == 7)
            with pytest.raises(ValueError, match="index 999 is not marked"):
                diary.host.hand_in(999, [])
            with pytest.raises(ValueError, match=f"index {marked[0]} is not marked"):
                diary.host.hand_in(marked[0], [])  # four marks are kept
            diary.host.hand_in(marked[-1], [b"xxxxxx"])
            await bench.until(lambda: diary.events("snapshot_taken"))
            with pytest.raises(ValueError, match="hand in once"):
                diary.host.hand_in(marked[-1], [])
            diary.host.hand_in(marked[-2], [])  # marked, but there is a newer one
            await bench.until(lambda: diary.events("snapshot_failed"))
            assert "not newer" in diary.events("snapshot_failed")[0].detail
            assert bench.node.state().snapshot_index == marked[-1]

    asyncio.run(go())


def test_one_at_a_time_and_an_error_of_the_chunks_fails_that_one_only() -> None:
    async def go() -> None:
        diary = Diary()
        marked = _marking(diary)
        gate = threading.Event()

        def chunks() -> Iterable[bytes]:
            assert gate.wait(10)
            yield b"x"
            raise OSError("my own file is gone")

        async with running(diary, MemoryFileSystem()) as bench:
            await bench.submit(plain(b"x"))
            await bench.submit(plain(b"y"))
            await bench.until(lambda: len(marked) == 3)
            diary.host.hand_in(marked[1], chunks())
            with pytest.raises(RuntimeError, match=f"at {marked[1]} is still being written"):
                diary.host.hand_in(marked[2], [b"xy"])
            gate.set()
            await bench.until(lambda: diary.events("snapshot_failed"))
            assert "my own file is gone" in diary.events("snapshot_failed")[0].detail
            diary.host.hand_in(marked[2], [b"xy"])
            await bench.until(lambda: diary.events("snapshot_taken"))

    asyncio.run(go())


def test_one_that_a_newer_one_overtakes_is_told_as_well() -> None:
    """The node's own was under way when it was handed in, and is written first. A machine that
    waits for what became of its own would wait for ever.
    """

    async def go() -> None:
        diary = Diary()
        marked = _marking(diary)
        gate, writes = threading.Event(), threading.Event()

        def capture() -> Iterable[bytes]:
            def chunks() -> Iterable[bytes]:
                writes.set()
                assert gate.wait(10)
                yield b"xy"

            return chunks()

        diary.capture = capture  # type: ignore[method-assign]
        async with running(diary, MemoryFileSystem()) as bench:
            await bench.submit(plain(b"x"))
            await bench.submit(plain(b"y"))
            await bench.until(lambda: len(marked) == 3)
            bench.node.snapshot_now(lambda outcome: None)
            await bench.until(writes.is_set)
            diary.host.hand_in(marked[1], [b"x"])
            await bench.until(lambda: len(bench.node._snapshot_worker.slow._jobs) == 1)
            gate.set()
            await bench.until(lambda: diary.events("snapshot_failed"))
            assert f"at {marked[1]} is not newer" in diary.events("snapshot_failed")[0].detail
            assert bench.node.state().snapshot_index == marked[2]

    asyncio.run(go())


def test_no_mark_within_an_entry_or_on_another_thread() -> None:
    async def go() -> None:
        diary = Diary()
        refusals: list[str] = []

        def on(what: str, detail: object) -> None:
            if what == "apply":
                with pytest.raises(RuntimeError) as error:
                    diary.host.mark_snapshot()
                refusals.append(str(error.value))

        diary.on = on
        async with running(diary, MemoryFileSystem()) as bench:
            await bench.submit(plain(b"x"))
            assert "not within apply" in refusals[0]
            with pytest.raises(RuntimeError, match="own thread"):
                diary.host.mark_snapshot()
            assert diary.host.state().role is Role.LEADER, "any thread may look"

    asyncio.run(go())


def test_a_bug_in_on_event_is_logged_and_a_flood_is_bounded(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def go() -> None:
        diary = Diary()
        inside, gate = threading.Event(), threading.Event()

        def on(what: str, detail: object) -> None:
            if what == "apply":
                inside.set()
                assert gate.wait(10)
            if what == "event":
                raise ValueError("a bug")

        diary.on = on
        async with running(diary, MemoryFileSystem()) as bench:
            waiting = asyncio.ensure_future(bench.submit(plain(b"x")))
            await bench.until(inside.is_set)
            event = diary.events("role")[0]
            apply = bench.node._apply
            told = len(diary.lines) + EVENTS_WAITING_MAX
            for _ in range(EVENTS_WAITING_MAX + 5):
                apply.tell(event)
            gate.set()
            await waiting
            await bench.until(lambda: len(diary.lines) > told)  # x is applied, too
            apply.tell(event)
            await bench.until(lambda: diary.events("role")[-1] != event)
            assert "; 5 events before this one were dropped" in diary.events("role")[-1].detail

    asyncio.run(go())
    assert "on_event raised" in caplog.text


@pytest.mark.parametrize("quick", [False, True])
def test_a_machine_is_called_later_on_its_own_thread_and_proposes_in_a_term(quick: bool) -> None:
    async def go() -> None:
        diary = Diary(quick)

        def later() -> None:
            diary._note("later", diary.host.now())
            term = diary.host.state().term
            diary.host.propose(b"of another term", term - 1)
            diary.host.propose(b"of this term", term)

        async with running(diary, MemoryFileSystem()) as bench:
            began = diary.host.now()
            diary.host.call_later(0.01, later)
            await bench.until(lambda: ("apply", b"of this term") in diary.lines)
            assert ("apply", b"of another term") not in diary.lines
            [(_, at)] = [line for line in diary.lines if line[0] == "later"]
            assert isinstance(at, float)
            assert at >= began + 0.009
            assert len(bench.node._applying.waiters) == 0, "nobody waits for it"
        assert diary.threads == {"MainThread" if quick else "raft-apply"}

    asyncio.run(go())
