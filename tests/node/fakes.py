"""Stand-ins for a node's ports, driven by hand."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from types import SimpleNamespace
from typing import BinaryIO, TypeVar

from raftd.core.effects import Event
from raftd.core.types import Index, Recovered, Term, Write
from raftd.node.outcomes import NodeStopped
from raftd.node.ports import NodeHandle

T = TypeVar("T")


class FakeClock:
    def __init__(self) -> None:
        self.time = 100.0

    def now(self) -> float:
        return self.time

    def epoch_ms(self) -> int:
        return int(self.time * 1000)


class TimedDriver:
    """A driver whose core seeks a leader or not, and whose timers run when the test says so."""

    def __init__(self) -> None:
        self.core = SimpleNamespace(seeks_leader=False)
        self.clock = FakeClock()
        self.stopped = ""
        self.timers: list[tuple[float, Callable[[], None]]] = []
        self._soon: list[Callable[[], None]] = []
        self._on_role: list[Callable[[], None]] = []

    def on_role(self, call: Callable[[], None]) -> None:
        self._on_role.append(call)

    def soon(self, call: Callable[[], None]) -> None:
        self._soon.append(call)

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        self.timers.append((seconds, call))

    def guarded(self, what: str, call: Callable[[], T]) -> T:
        try:
            return call()
        except RuntimeError as error:
            self.stopped = "poisoned"
            raise NodeStopped(self.stopped) from error

    def event(self, *, seeks: bool) -> None:
        """An event, after which the core seeks a leader or knows one; then the next turn."""
        self.core.seeks_leader = seeks
        for call in self._on_role:
            call()
        self.turn()

    def turn(self) -> None:
        """The next turn of the loop."""
        turn, self._soon = self._soon, []
        for call in turn:
            call()


class FatalNote:
    """Remembers what was reported instead of ending anything."""

    def __init__(self) -> None:
        self.reports: list[tuple[str, BaseException | None]] = []
        self.reported = threading.Event()

    def fatal(self, what: str, error: BaseException | None) -> None:
        self.reports.append((what, error))
        self.reported.set()


class FakeLog:
    """A log store whose sync can be held back, slowed down or made to fail."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.committed: list[int] = []
        self.batches: list[list[int]] = []
        self.threads: set[str] = set()
        self.idles = 0
        self.released: list[Index] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.sync_seconds = 0.0
        self.error: Exception | None = None
        self.tight = self.spent = False
        self.roomy = True

    def make_room(self) -> bool:
        self.spent = self.spent and not self.roomy
        return not self.spent

    def open(self) -> Recovered:
        return Recovered()

    def commit(self, writes: Sequence[Write]) -> None:
        self.entered.set()
        assert self.gate.wait(10), "nobody opened the gate"
        self.threads.add(threading.current_thread().name)
        error, self.error = self.error, None
        if error is not None:
            raise error
        self.clock.time += self.sync_seconds
        self.batches.append([write.seq for write in writes])
        self.committed.extend(write.seq for write in writes)

    def idle(self) -> None:
        self.idles += 1

    def release(self, index: Index) -> None:
        self.released.append(index)

    def close(self) -> None:
        pass


class FakeHost:
    """A machine that remembers its payloads; takes `cost` seconds an entry."""

    watches = False

    def __init__(self, clock: FakeClock, quick: bool = True) -> None:
        self.quick = quick
        self.clock = clock
        self.cost = 0.0
        self.query_cost = 0.0
        self.payloads: list[bytes] = []

    def apply_batch(self, index: Index, term: Term, payload: bytes) -> bytes:
        self.clock.time += self.cost
        self.payloads.append(payload)
        return b"applied " + payload

    def commands_left(self) -> int:
        return 0

    def query(self, request: bytes, principal: bytes = b"") -> tuple[int, bytes]:
        self.clock.time += self.query_cost
        return 0, request + b"=%d" % len(self.payloads)

    def capture(self) -> tuple[bytes, Iterable[bytes]]:
        return b"sessions", [b"|".join(self.payloads)]

    def restore(self, sessions: bytes, body: BinaryIO) -> None:
        self.payloads = body.read().split(b"|")

    def digest_of(self, sessions: bytes, chunks: Iterable[bytes]) -> bytes:
        return sessions + b"".join(chunks)

    def sessions(self) -> bytes:
        return b"sessions"

    def parts(self) -> Sequence[tuple[str, Iterable[bytes]]]:
        return [("state", [b"|".join(self.payloads)])]

    def attach(self, node: NodeHandle) -> None:
        raise AssertionError("it does not watch")

    def on_applied(self, index: Index) -> None:
        raise AssertionError("it does not watch")

    def on_event(self, event: Event) -> None:
        raise AssertionError("it does not watch")


class Posted:
    """`call_soon_threadsafe` that the test turns by hand."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], None]] = []
        self.arrived = threading.Condition()

    def __call__(self, call: Callable[[], None]) -> None:
        with self.arrived:
            self.calls.append(call)
            self.arrived.notify_all()

    def wait(self, count: int, seconds: float = 10.0) -> None:
        with self.arrived:
            ok = self.arrived.wait_for(lambda: len(self.calls) >= count, seconds)
        assert ok, f"{len(self.calls)} of {count} calls were posted in {seconds} s"

    def run(self) -> None:
        calls, self.calls = self.calls, []
        for call in calls:
            call()
