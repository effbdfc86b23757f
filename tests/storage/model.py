"""A log as a plain dictionary, and a session that drives real storage beside it.

After every restart the disk must hold the model as of the last acknowledged step, or as of the one
that was under way: nothing else, never a mixture.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from raftd.core.types import (
    Configuration,
    Entry,
    EntryType,
    HardState,
    Recovered,
    SnapshotMarker,
    SnapshotMeta,
    Write,
)
from raftd.storage.directory import DataDirectory, open_directory
from raftd.storage.errors import NoSpace
from raftd.storage.snapshots import SnapshotFiles
from tests.storage.memory_fs import MemoryFileSystem, PowerCut

ROOT = "/data/n1"
CONFIGURATION = Configuration(("n1", "n2", "n3"), ("n4",))
INCARNATION = "00112233aabbccdd"
SEGMENT_BYTES = 700
BLOCK_BYTES = 128
"""Small, so that a small log has many."""


class Violation(AssertionError):
    """Storage broke a promise."""


def entry(index: int, term: int, size: int = 20, mark: int = 0) -> Entry:
    text = f"{index}/{term}/{mark}:".encode()
    return Entry(index, term, EntryType.BATCH, text + b"x" * max(0, size - len(text)))


def body_of(index: int, term: int) -> bytes:
    return f"state at {index} of term {term};".encode() * 20


@dataclass
class Model:
    hard_state: HardState = HardState(0, None)  # noqa: RUF009 - immutable
    admitted: bool = False
    records: dict[str, str] = field(default_factory=dict)
    snapshot: SnapshotMeta | None = None
    entries: dict[int, Entry] = field(default_factory=dict)
    last: int = 0

    def copy(self) -> Model:
        return Model(
            self.hard_state,
            self.admitted,
            dict(self.records),
            self.snapshot,
            dict(self.entries),
            self.last,
        )

    @property
    def floor(self) -> int:
        return 0 if self.snapshot is None else self.snapshot.index

    def apply(self, write: Write) -> None:
        if write.hard_state is not None:
            self.hard_state = write.hard_state
        if write.marker is not None:
            self.snapshot = write.marker.meta
            if write.marker.reset or self.floor > self.last:
                self.entries.clear()
                self.last = self.floor
        if write.entries:
            first = write.entries[0].index
            self.entries = {i: e for i, e in self.entries.items() if i < first}
            self.entries.update((e.index, e) for e in write.entries)
            self.last = write.entries[-1].index
        self.records.update(write.records)
        self.admitted = self.admitted or write.admitted

    def differs(self, found: Recovered) -> str:
        """Empty if `found` is this state; entries below the snapshot may be missing in front."""
        mine = (self.hard_state, self.admitted, self.records, self.snapshot)
        its = (found.hard_state, found.admitted, dict(found.records), found.snapshot)
        if mine != its:
            return f"expected {mine}, found {its}"
        indexes = [item.index for item in found.entries]
        first = indexes[0] if indexes else self.last + 1
        if indexes != list(range(first, self.last + 1)):
            return f"expected entries up to {self.last}, found {indexes}"
        if first > self.floor + 1:
            return f"entries {self.floor + 1} to {first - 1} are missing"
        wrong = [item.index for item in found.entries if self.entries.get(item.index) != item]
        return f"entries {wrong} are not what was written" if wrong else ""


class Session:
    """One node's storage over many lives. Every step either raises or is acknowledged."""

    def __init__(self, fs: MemoryFileSystem, segment_bytes: int = SEGMENT_BYTES) -> None:
        self.fs = fs
        self.segment_bytes = segment_bytes
        self.acked = Model()
        self.pending: Model | None = None
        self.directory: DataDirectory | None = None
        self.seq = 0
        self.acknowledged_anything = False

    @property
    def live(self) -> DataDirectory:
        assert self.directory is not None
        return self.directory

    def open(self) -> None:
        """Start, and compare what is there with what was promised."""
        directory = open_directory(
            self.fs,
            ROOT,
            cluster="c0ffee",
            node="n1",
            new_incarnation=lambda: INCARNATION,
            segment_bytes=self.segment_bytes,
            block_bytes=BLOCK_BYTES,
        )
        if directory.created and self.acknowledged_anything:
            raise Violation("a directory that had acknowledged something was made anew")
        try:
            found = directory.recover()
        except BaseException:
            directory.close()
            raise
        self.directory, self.seq = directory, 0
        self._judge(found)
        self.check_snapshot()

    def _judge(self, found: Recovered) -> None:
        wrong = self.acked.differs(found)
        if wrong and self.pending is not None:
            other = self.pending.differs(found)
            if other:
                raise Violation(f"neither the acknowledged state ({wrong}) nor the next ({other})")
            self.acked = self.pending
        elif wrong:
            raise Violation(wrong)
        self.pending = None

    def check_snapshot(self) -> None:
        meta = self.acked.snapshot
        if meta is None:
            return
        sessions, body = self.live.snapshots.open_body(meta)
        with body:
            content = body.read()
        if (sessions, content) != (b"sessions", body_of(meta.index, meta.term)):
            raise Violation("the snapshot's content is another")

    def commit(self, *writes: Write) -> None:
        after = self.acked.copy()
        for write in writes:
            after.apply(write)
        self.pending = after
        try:
            self.live.wal.commit(writes)
        except NoSpace:
            self.pending = None
            self.seq -= len(writes)
            raise
        self.acked, self.pending = after, None
        self.acknowledged_anything = True

    def write(self, **parts: object) -> Write:
        self.seq += 1
        return Write(self.seq, **parts)  # type: ignore[arg-type]

    def append(self, *entries: Entry) -> None:
        self.commit(self.write(entries=entries))

    def snapshot(self, index: int, term: int, *, received: bool = False) -> SnapshotMeta:
        """A snapshot file, made here or received in chunks, durable but without a marker yet."""
        store = self.live.snapshots
        sink = store.create(index, term, CONFIGURATION, b"sessions")
        try:
            sink.write(body_of(index, term))
            if not received:
                return sink.commit()
            meta, content = foreign_snapshot(index, term)
            sink.discard()
        except NoSpace:
            sink.discard()
            raise
        incoming = store.receive("n2", meta)
        for offset in range(0, len(content), 100):
            incoming.store(offset, content[offset : offset + 100])
        return incoming.commit()

    def mark(self, meta: SnapshotMeta, *, reset: bool = False) -> None:
        self.commit(self.write(marker=SnapshotMarker(meta, reset)))
        self.live.snapshots.retain([meta])

    def close(self) -> None:
        if self.directory is not None:
            self.directory.close()
        self.directory = None

    def fork(self) -> Session:
        """The same disk and the same promises, to be treated otherwise."""
        other = Session(self.fs.clone(), self.segment_bytes)
        other.acked, other.pending = self.acked.copy(), self.pending
        other.acknowledged_anything = self.acknowledged_anything
        other.seq = self.seq
        return other

    def power_cut(
        self, rng: random.Random, keep: float | None = None, garbage: bool = True
    ) -> None:
        self.fs.crash(rng, keep, garbage)
        self.directory = None

    def kill(self) -> None:
        self.fs.kill()
        self.directory = None


def foreign_snapshot(index: int, term: int) -> tuple[SnapshotMeta, bytes]:
    """A snapshot as another node would send it."""
    fs = MemoryFileSystem()
    fs.mkdir("/s")
    store = SnapshotFiles(fs, "/s")
    sink = store.create(index, term, CONFIGURATION, b"sessions")
    sink.write(body_of(index, term))
    meta = sink.commit()
    return meta, store.read_chunk(meta, 0, meta.size_bytes)


Step = Callable[[Session], None]


def story() -> list[Step]:
    """A life in which everything happens once: all records, overrides, rolls, both snapshots."""
    metas: dict[str, SnapshotMeta] = {}

    def take(name: str, index: int, term: int, received: bool = False) -> Step:
        def step(s: Session) -> None:
            metas[name] = s.snapshot(index, term, received=received)

        return step

    return [
        lambda s: s.commit(s.write(records=(("n2", "ff00"),)), s.write(records=(("n3", "ee11"),))),
        lambda s: s.commit(s.write(admitted=True, hard_state=HardState(1, "n1"))),
        lambda s: s.append(*[entry(i, 1) for i in range(1, 4)]),
        lambda s: s.live.wal.idle(),
        lambda s: s.append(entry(4, 1, 150), entry(5, 1, 150)),
        lambda s: s.live.wal.idle(),
        lambda s: s.commit(
            s.write(hard_state=HardState(2, "n2")),
            s.write(entries=(entry(4, 2, 90), entry(5, 2, 90), entry(6, 2, 30))),
        ),
        lambda s: s.append(entry(7, 2, 900)),
        lambda s: s.append(entry(8, 2, 200)),
        lambda s: s.append(entry(9, 2, 300)),
        lambda s: s.live.wal.idle(),
        lambda s: s.append(entry(10, 2, 420)),
        take("own", 8, 2),
        lambda s: s.mark(metas["own"]),
        lambda s: s.live.wal.release(8),
        lambda s: s.append(entry(11, 2, 10), entry(12, 2, 10)),
        lambda s: s.close(),
        lambda s: s.open(),
        lambda s: s.commit(s.write(entries=(entry(11, 3, 60),), hard_state=HardState(3, None))),
        take("other", 40, 3, received=True),
        lambda s: s.mark(metas["other"], reset=True),
        lambda s: s.append(entry(41, 3, 500), entry(42, 3, 500)),
        lambda s: s.live.wal.release(40),
        lambda s: s.live.wal.idle(),
        lambda s: s.append(entry(42, 4, 50), entry(43, 4, 50)),
        lambda s: s.close(),
    ]


def run_until_cut(session: Session, steps: list[Step]) -> bool:
    """True if the power went on the way."""
    try:
        if session.directory is None:
            session.open()
        for step in steps:
            step(session)
    except PowerCut:
        return True
    return False


def still_works(session: Session) -> None:
    """After whatever happened: append, and find it again after a cut that loses all unsynced."""
    if session.directory is None:
        session.open()
    model = session.acked
    session.append(entry(model.last + 1, max(model.hard_state.term, 1), 77, mark=9))
    session.power_cut(random.Random(0), keep=0.0)
    session.open()
