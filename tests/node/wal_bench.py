"""A worker for the log on a bench: its disk, clock and network thread are driven by hand."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from raftd.core.types import Write
from raftd.node.wal_worker import WalWorker
from tests.node.fakes import FakeClock, FakeLog, FatalNote, Posted


class NoSpace(Exception):
    retryable = True


class Bench:
    def __init__(self, inline: bool = True) -> None:
        self.clock = FakeClock()
        self.log = FakeLog(self.clock)
        self.fatal = FatalNote()
        self.posted = Posted()
        self.durable: list[int] = []
        self.roomy = threading.Event()
        self.wal = WalWorker(self.log, self.clock, self.fatal, self._persisted, self.posted, inline)
        self.started = False

    def _persisted(self, seq: int) -> None:
        assert seq in self.log.committed, f"write {seq} was called durable before its sync"
        self.durable.append(seq)

    def put(self, *seqs: int, inline: bool = False, release: int = 0) -> None:
        self.wal.put([Write(seq) for seq in seqs], release)
        self.wal.kick(inline)

    def start(self) -> None:
        self.started = True
        self.wal.worker.start()


@pytest.fixture
def make() -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def build(inline: bool = True) -> Bench:
        made.append(Bench(inline))
        return made[-1]

    yield build
    for bench in made:
        bench.log.gate.set()
        bench.wal.stop()
        assert not bench.started or bench.wal.worker.join(10)


def until(condition: Callable[[], object]) -> None:
    for _ in range(2000):
        if condition():
            return
        threading.Event().wait(0.005)
    raise AssertionError("waited 10 s in vain")
