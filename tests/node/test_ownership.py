"""One owner of a machine at any time: who breaks that is named, and no two calls overlap."""

from __future__ import annotations

import io
import random
import threading
import time
from collections.abc import Callable, Iterable
from typing import BinaryIO

import pytest

from raftd.core.effects import BrokenInvariant, Event
from raftd.core.events import EventKind
from raftd.core.types import Configuration, Entry, EntryType, Role, SnapshotMeta
from raftd.node.apply_jobs import Query
from raftd.node.apply_worker import ApplyEntries, ApplyWorker, Capture, Install, Slice
from raftd.node.job_worker import JobWorker
from raftd.node.outcomes import Outcome
from raftd.node.ownership import NOT_OURS, RULE, Ownership
from raftd.node.ports import NodeHandle
from tests.node.fakes import FakeClock, FakeHost, FatalNote


def test_a_second_owner_is_named() -> None:
    ownership = Ownership(FakeHost(FakeClock()))
    ownership.take()
    with pytest.raises(BrokenInvariant, match=f"{RULE}: a slice of applying .*, a slice"):
        ownership.take()
    ownership.lend()
    with pytest.raises(BrokenInvariant, match="wants it, a restore that has not begun has it"):
        ownership.take()
    ownership.restore(b"", io.BytesIO(b"a|b"))
    with pytest.raises(BrokenInvariant, match=RULE):
        ownership.give_back()
    ownership.take_back()
    assert ownership.take().query(b"q", b"") == (0, b"q=2")


def test_nobody_restores_a_machine_that_was_not_lent_to_him() -> None:
    ownership = Ownership(FakeHost(FakeClock()))
    with pytest.raises(BrokenInvariant, match=RULE):
        ownership.restore(b"", io.BytesIO(b""))
    ownership.take()
    with pytest.raises(BrokenInvariant, match=RULE):
        ownership.restore(b"", io.BytesIO(b""))


def test_who_lent_it_out_has_nothing_to_call() -> None:
    with pytest.raises(BrokenInvariant, match=f"{RULE}: apply_batch"):
        NOT_OURS.apply_batch(1, 1, b"")


class Jealous:
    """A machine on a thread of its own that finds out whether two calls ever overlap."""

    quick = False
    watches = True

    def __init__(self) -> None:
        self.calls = 0
        self.overlaps: list[str] = []
        self._inside = ""

    def _call(self, what: str) -> None:
        if self._inside:
            self.overlaps.append(f"{what} within {self._inside}")
        self._inside = what
        self.calls += 1
        time.sleep(0.0002)
        self._inside = ""

    def attach(self, node: NodeHandle) -> None:
        self._call("attach")

    def on_applied(self, index: int) -> None:
        self._call("on_applied")

    def on_event(self, event: Event) -> None:
        self._call("on_event")

    def apply_batch(self, index: int, term: int, payload: bytes) -> bytes:
        self._call("apply")
        return b""

    def commands_left(self) -> int:
        return 0

    def query(self, request: bytes, principal: bytes = b"") -> tuple[int, bytes]:
        self._call("query")
        return 0, b""

    def capture(self) -> tuple[bytes, Iterable[bytes]]:
        self._call("capture")
        return b"", []

    def sessions(self) -> bytes:
        self._call("sessions")
        return b""

    def parts(self) -> list[tuple[str, Iterable[bytes]]]:
        self._call("parts")
        return []

    def restore(self, sessions: bytes, body: BinaryIO) -> None:
        self._call("restore")
        time.sleep(0.001)
        self._call("restore")

    def digest_of(self, sessions: bytes, chunks: Iterable[bytes]) -> bytes:
        return b""


class RealClock:
    def now(self) -> float:
        return time.monotonic()

    def epoch_ms(self) -> int:
        return 0


def test_no_two_calls_into_a_machine_overlap() -> None:
    """Entries, reads, captures, events and restores at random, on the threads that ship."""
    rng, fatal, machine = random.Random(7), FatalNote(), Jealous()
    snapshots = JobWorker("raft-snapshot", fatal)
    answers: list[Outcome] = []
    restores = []
    restored = threading.Condition()

    def restore(meta: SnapshotMeta, then: Callable[[], None]) -> None:
        def job() -> None:
            worker.ownership.restore(b"", io.BytesIO(b""))
            then()

        snapshots.put(job)

    def report(made: Slice) -> None:
        with restored:
            answers.extend(outcome for _, outcome in made.answers)
            restores.extend([made.jumped_to] if made.jumped_to else [])
            restored.notify()

    worker = ApplyWorker(Ownership(machine), RealClock(), fatal, report, restore)
    assert worker.worker is not None
    for thread in (snapshots.worker, worker.worker):
        thread.start()
    index = asked = installs = 0
    for _ in range(400):
        kind = rng.choice(("entry", "entry", "query", "query", "capture", "event", "install"))
        if kind == "entry":
            index += 1
            worker.put(ApplyEntries([Entry(index, 1, EntryType.BATCH, b"")]))
        elif kind == "query":
            asked += 1
            worker.put(Query(index + rng.randint(0, 5), [b"q"], answers.append))
        elif kind == "capture":
            worker.put(Capture(lambda captured: None))
        elif kind == "event":
            worker.tell(Event(EventKind.ROLE, 1, Role.FOLLOWER, None, ""))
        else:
            index += 10
            installs += 1
            worker.put(Install(SnapshotMeta(index, 1, Configuration(("a",)))))
    last = index + 10
    worker.put(Install(SnapshotMeta(last, 1, Configuration(("a",)))))
    with restored:
        assert restored.wait_for(
            lambda: (last in restores and len(answers) == asked) or fatal.reports, 10
        )
    assert not fatal.reports
    assert not machine.overlaps
    assert len(restores) == installs + 1
    worker.stop()
    snapshots.stop()
    for thread in (snapshots.worker, worker.worker):
        assert thread.join(5)
