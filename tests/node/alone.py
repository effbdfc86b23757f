"""A real node of one voter, in the test's own loop and on a disk in memory, round a machine that
writes a diary.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import BinaryIO

from raftd.core.effects import Event
from raftd.core.messages import Channel
from raftd.core.types import Configuration, RaftState, Settings
from raftd.machine.protocol import NodeHandle
from raftd.machine.sessions import Sessions
from raftd.node.node import Node
from raftd.node.outcomes import Applied, Outcome
from raftd.node.settings import NodeSettings
from raftd.wire import batch as wire
from tests.node.fakes import FatalNote
from tests.storage.disks import directory
from tests.storage.memory_fs import MemoryFileSystem

SETTINGS = Settings(
    heartbeat_interval=0.01,
    election_timeout_min=0.05,
    election_timeout_max=0.1,
    candidate_retry_min=0.02,
    candidate_retry_max=0.05,
    keep_entries=0,
)


NODE_SETTINGS = NodeSettings()


class Clock:
    def now(self) -> float:
        return time.monotonic()

    def epoch_ms(self) -> int:
        return time.time_ns() // 1_000_000


class NoPeers:
    def wake(self, peer: str, channel: Channel) -> None:
        raise AssertionError(f"there is no peer {peer}")

    def members(self, configuration: Configuration) -> None:
        assert configuration.members() == ("n1",)


class Diary:
    """Writes down all that it is told, and by which thread. `on` may act on each line."""

    def __init__(self, quick: bool = False) -> None:
        self.quick = quick
        self.host: NodeHandle
        self.lines: list[tuple[str, object]] = []
        self.state = b""
        self.states: list[RaftState] = []
        self.threads: set[str] = set()
        self.on: Callable[[str, object], None] = lambda what, detail: None

    def _note(self, what: str, detail: object) -> None:
        self.threads.add(threading.current_thread().name)
        self.lines.append((what, detail))
        self.on(what, detail)

    def attach(self, host: NodeHandle) -> None:
        self.host = host
        self._note("attach", "")

    def on_applied(self, index: int) -> None:
        self._note("applied", index)

    def on_event(self, event: Event) -> None:
        self._note("event", event)

    def apply(self, command: bytes) -> bytes:
        self.state += command
        self._note("apply", command)
        return self.state

    def query(self, request: bytes) -> bytes:
        self.on("query", request)
        return self.state

    def capture(self) -> Iterable[bytes]:
        self.on("capture", b"")
        return [self.state]

    def restore(self, reader: BinaryIO) -> None:
        self.state = reader.read()
        self.lines.append(("restore", self.state))

    def events(self, kind: str) -> list[Event]:
        events = [detail for what, detail in self.lines if what == "event"]
        return [event for event in events if isinstance(event, Event) and event.kind == kind]


class Bench:
    def __init__(self, node: Node, fatal: FatalNote) -> None:
        self.node = node
        self.fatal = fatal

    async def submit(self, payload: bytes) -> Applied:
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.node.submit(payload, future.set_result)
        outcome = await asyncio.wait_for(future, 10)
        assert isinstance(outcome, Applied), outcome
        return outcome

    async def until(self, condition: Callable[[], object], seconds: float = 10) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert not self.fatal.reports, self.fatal.reports
            assert time.monotonic() < deadline, "it never came true"
            await asyncio.sleep(0.002)


@asynccontextmanager
async def running(
    machine: Diary, fs: MemoryFileSystem, settings: NodeSettings = NODE_SETTINGS
) -> AsyncIterator[Bench]:
    """A node that leads; the disk can be started from again."""
    opened = directory(fs, segment_bytes=1 << 20)
    fatal = FatalNote()
    node = Node(
        identity=opened.identity,
        core_settings=SETTINGS,
        node_settings=settings,
        configuration=Configuration(("n1",)),
        recovered=opened.recover(),
        log=opened.wal,
        snapshots=opened.snapshots,
        machine=Sessions(machine),
        clock=Clock(),
        rng=random.Random(1),
        fatal=fatal,
        loop=asyncio.get_running_loop(),
        observer=lambda event: None,
    )
    node.start(NoPeers())
    bench = Bench(node, fatal)
    try:
        await bench.until(lambda: node.leading)
        yield bench
    finally:
        assert node.stop()
        opened.close()
    assert not fatal.reports


def plain(*commands: bytes) -> bytes:
    return wire.encode_batch(b"", 0, [(0, command) for command in commands])
