"""A node whose state differs from the other members' keeps none of it: a restart would begin so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator

from raftd.core.comparing import NOTHING_COMPARED, Differing, Verdict
from raftd.core.types import SnapshotMeta
from raftd.node.outcomes import Refused
from tests.node.alone import Bench, Diary, plain, running
from tests.storage.memory_fs import MemoryFileSystem

VERDICT = Verdict(3, (Differing("n1", "state"),))


def tell(bench: Bench, verdict: Verdict) -> None:
    """As the leader's heartbeats would."""
    bench.node._core._s.agreement.verdict = verdict


async def snapshot(bench: Bench) -> list[object]:
    done: list[object] = []
    bench.node.snapshot_now(done.append)
    await bench.until(lambda: done)
    return done


class Slow(Diary):
    """`written` is called while its snapshot is written."""

    def __init__(self) -> None:
        super().__init__(quick=True)
        self.written: Callable[[], None] = lambda: None

    def capture(self) -> Iterable[bytes]:
        return self._chunks(self.state)

    def _chunks(self, state: bytes) -> Iterator[bytes]:
        self.written()
        yield state


def test_a_rotten_file_is_replaced_when_the_state_agrees_again() -> None:
    async def go() -> None:
        fs, machine = MemoryFileSystem(), Diary(quick=True)
        async with running(machine, fs) as bench:
            core = bench.node._core
            await bench.submit(plain(b"x"))
            await snapshot(bench)
            old = core.snapshot
            tell(bench, VERDICT)
            bench.node._snapshot_policy._found_rotten(old, "it is missing")
            await in_turn(bench)
            assert core.snapshot == core._s.rotten == old, "what differs is no replacement"
            tell(bench, NOTHING_COMPARED)
            await bench.submit(plain(b"y"))
            await bench.until(lambda: core._s.rotten is None)
            assert core.snapshot.index > old.index

    asyncio.run(go())


def test_a_snapshot_under_way_when_the_state_is_found_to_differ_is_not_kept() -> None:
    async def go() -> None:
        fs, machine = MemoryFileSystem(), Slow()
        async with running(machine, fs) as bench:
            await bench.submit(plain(b"x"))
            machine.written = lambda: tell(bench, VERDICT)
            (outcome,) = await snapshot(bench)
            assert isinstance(outcome, Refused)
            assert "differs" in outcome.message
            assert bench.node._core.snapshot.index == 0
            machine.written = lambda: None
            tell(bench, NOTHING_COMPARED)
            await snapshot(bench)
            assert bench.node._core.snapshot.index > 0

    asyncio.run(go())


def test_a_snapshot_that_the_machine_made_of_a_differing_state_is_not_kept() -> None:
    async def go() -> None:
        fs, machine = MemoryFileSystem(), Diary(quick=True)
        marks: list[int] = []

        def on(what: str, detail: object) -> None:
            if what == "applied":
                marks.append(machine.host.mark_snapshot()[0])

        machine.on = on
        async with running(machine, fs) as bench:

            def late() -> Iterator[bytes]:
                tell(bench, VERDICT)
                yield b"xy"

            for command in (b"x", b"y"):
                await bench.submit(plain(command))
            machine.host.hand_in(marks[-2], late())
            await bench.until(lambda: len(machine.events("snapshot_failed")) == 1)
            machine.host.hand_in(marks[-1], [b"xy"])
            await bench.until(lambda: len(machine.events("snapshot_failed")) == 2)
            assert all("differs" in event.detail for event in machine.events("snapshot_failed"))
            assert bench.node._core.snapshot == SnapshotMeta(0, 0, bench.node._core.configuration)

    asyncio.run(go())


async def in_turn(bench: Bench) -> None:
    """Whatever was begun has been done: on the machine's side, then on raft-snapshot."""
    worker = bench.node._snapshot_worker
    done: list[bool] = []
    bench.node._driver.soon(lambda: worker.slow.put(lambda: done.append(True)))
    await bench.until(lambda: done)
    await asyncio.sleep(0)
