"""What the log's port promises, one by one."""

from __future__ import annotations

import pytest

from raftd.core.effects import BrokenInvariant
from raftd.core.types import (
    Configuration,
    Entry,
    EntryType,
    HardState,
    Member,
    SnapshotMarker,
    SnapshotMeta,
    Write,
)
from raftd.storage.errors import CorruptLog, LogFailed
from raftd.storage.framing import BATCH_RECORDS_MAX_BYTES, MARK
from raftd.storage.identity import directory_id, load_identity
from raftd.storage.wal import Wal
from tests.storage.memory_fs import MemoryFileSystem, Operation
from tests.storage.model import CONFIGURATION, ROOT, Session, entry


def fresh(segment_bytes: int = 1 << 16) -> Session:
    session = Session(MemoryFileSystem(), segment_bytes)
    session.open()
    return session


def restarted(session: Session) -> tuple[int, ...]:
    """Kill, open, and the indexes that came back."""
    session.kill()
    session.open()
    session.kill()
    found = Wal(session.fs, ROOT, directory_id_of(session), segment_bytes=session.segment_bytes)
    return tuple(item.index for item in found.open().entries)


def directory_id_of(session: Session) -> int:
    found = load_identity(session.fs, ROOT)
    assert found is not None
    return directory_id(found.identity)


def test_all_kinds_of_records_come_back() -> None:
    session = fresh()
    noop = Entry(1, 7, EntryType.NOOP, b"")
    configuration = Entry(2, 7, EntryType.CONFIGURATION, b"\x00\xff")
    session.commit(
        session.write(
            hard_state=HardState(7, "n-3.x_Y"),
            entries=(noop, configuration, entry(3, 7, 300_000)),
            records=(("n2", "ff" * 8), ("n3", "ee" * 8)),
            admitted=True,
        )
    )
    session.kill()
    session.open()  # compares
    session.commit(session.write(records=(("n2", "aa" * 8),)))
    session.kill()
    session.open()
    assert session.acked.records["n2"] == "aa" * 8


def test_vote_none_is_not_a_vote() -> None:
    session = fresh()
    session.commit(session.write(hard_state=HardState(3, "n2")))
    session.commit(session.write(hard_state=HardState(4, None)))
    session.kill()
    session.open()
    assert session.acked.hard_state == HardState(4, None)


def test_old_segments_go_and_what_they_said_stays() -> None:
    session = fresh(600)
    session.commit(
        session.write(
            hard_state=HardState(5, "n2"), records=(("n2", "ab"), ("n3", "cd")), admitted=True
        )
    )
    for index in range(1, 60):
        session.append(entry(index, 5, 100))
    names = len(session.fs.listdir(ROOT))
    session.mark(session.snapshot(50, 5))
    session.live.wal.release(40)
    assert len(session.fs.listdir(ROOT)) < names - 5
    indexes = restarted(session)
    assert 30 < indexes[0] <= 41
    assert indexes[-1] == 59
    session.open()
    assert session.acked.hard_state == HardState(5, "n2")


def test_release_stops_at_the_newest_snapshot() -> None:
    session = fresh(300)
    for index in range(1, 30):
        session.append(entry(index, 1, 100))
    session.live.wal.release(25)
    assert restarted(session)[0] == 1, "there is no snapshot at all"
    session.open()
    session.mark(session.snapshot(10, 1))
    session.live.wal.release(25)
    assert restarted(session)[0] <= 11


def test_reset_voids_the_log_before_it() -> None:
    session = fresh()
    session.append(*[entry(i, 1) for i in range(1, 20)])
    session.mark(session.snapshot(10, 3, received=True), reset=True)
    assert restarted(session) == ()
    session.open()
    session.append(entry(11, 3))
    assert restarted(session) == (11,)


def test_a_marker_beyond_the_log_voids_it_too() -> None:
    session = fresh()
    session.append(entry(1, 1), entry(2, 1))
    session.mark(session.snapshot(9, 3, received=True), reset=False)
    session.append(entry(10, 3))
    assert restarted(session) == (10,)


def test_an_override_is_what_counts_even_across_segments() -> None:
    session = fresh(400)
    for index in range(1, 12):
        session.append(entry(index, 1, 100))
    session.append(entry(4, 2, 100))
    assert restarted(session) == (1, 2, 3, 4)
    session.open()
    for index in range(5, 9):
        session.append(entry(index, 2, 100))
    assert restarted(session) == tuple(range(1, 9))


@pytest.mark.parametrize("restart", [False, True])
def test_overridden_entries_do_not_keep_a_segment(restart: bool) -> None:
    session = fresh(400)
    for index in range(1, 12):
        session.append(entry(index, 1, 100))
    session.append(entry(2, 2, 100), entry(3, 2, 100), entry(4, 2, 100))
    session.mark(session.snapshot(2, 2))
    if restart:
        session.kill()
        session.open()
    session.live.wal.release(2)
    assert len([name for name in session.fs.listdir(ROOT) if name.endswith(".wal")]) <= 3
    session.kill()
    session.open()


def test_a_batch_larger_than_a_segment_gets_one_of_its_own() -> None:
    session = fresh(1000)
    session.append(entry(1, 1, 4 << 20))
    session.append(entry(2, 1, 10))
    assert restarted(session) == (1, 2)


@pytest.mark.parametrize(
    ("writes", "match"),
    [
        ([Write(2, entries=(entry(5, 1),))], "entry 5 in a log that ends at 3"),
        ([Write(2, entries=(entry(0, 1),))], "entry 0"),
        ([Write(4, entries=(entry(4, 1),))], "write 4 comes after write 1"),
        ([Write(1, entries=(entry(4, 1),))], "write 1 comes after write 1"),
        ([Write(2), Write(4, entries=(entry(4, 1),))], "write 4 comes after write 2"),
        (
            [Write(2, marker=SnapshotMarker(SnapshotMeta(2, 1, CONFIGURATION), False)),
             Write(3, entries=(entry(2, 1),))],
            "with snapshot 2",
        ),
        (
            [Write(2, marker=SnapshotMarker(SnapshotMeta(2, 1, CONFIGURATION), False)),
             Write(3, marker=SnapshotMarker(SnapshotMeta(1, 1, CONFIGURATION), False))],
            "snapshot 1 after snapshot 2",
        ),
    ],
)  # fmt: skip
def test_nonsense_is_refused_before_it_is_written(writes: list[Write], match: str) -> None:
    session = fresh()
    session.append(entry(1, 1), entry(2, 1), entry(3, 1))
    before = session.fs.files()
    with pytest.raises(BrokenInvariant, match=match):
        session.live.wal.commit(writes)
    assert session.fs.files() == before
    session.append(entry(4, 1))


def test_entries_with_a_gap_are_refused() -> None:
    session = fresh()
    with pytest.raises(ValueError, match="entry 3 follows 1"):
        session.live.wal.commit([Write(1, entries=(entry(1, 1), entry(3, 1)))])
    session.append(entry(1, 1))


def test_too_much_in_one_batch_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    session = fresh()
    monkeypatch.setattr("raftd.storage.wal.BATCH_RECORDS_MAX_BYTES", 1000)
    with pytest.raises(ValueError, match="at most 1000"):
        session.append(entry(1, 1, 2000))
    session.seq = 0
    session.append(entry(1, 1, 20))
    assert BATCH_RECORDS_MAX_BYTES == 1 << 30


def test_nothing_to_write_writes_nothing() -> None:
    session = fresh()
    before = session.fs.files()
    session.live.wal.commit([])
    session.live.wal.commit([Write(1)])
    assert session.fs.files() == before


def test_idle_is_written_once_and_closing_twice_is_harmless() -> None:
    session = fresh()
    session.append(entry(1, 1))
    writes: list[Operation] = []
    session.fs.before = writes.append
    for _ in range(3):
        session.live.wal.idle()
    session.fs.before = None
    assert [(it.name, it.size) for it in writes] == [("write", MARK.size)] * 2
    wal = session.live.wal
    wal.close()
    wal.close()
    with pytest.raises(LogFailed):
        wal.commit([Write(1, entries=(entry(2, 1),))])


def test_many_starts_without_a_write_need_no_room() -> None:
    session = fresh()
    before = session.fs.files()
    for _ in range(50):
        session.close()
        session.open()
    assert session.fs.files() == before


def test_counters_and_observer() -> None:
    session = fresh()
    ticks = iter(range(100))
    seen: list[float] = []
    session.kill()
    wal = Wal(
        session.fs,
        ROOT,
        directory_id_of(session),
        now=lambda: float(next(ticks)),
        observe=seen.append,
    )
    wal.open()
    wal.commit([Write(1, entries=(entry(1, 1),)), Write(2, entries=(entry(2, 1),))])
    assert seen == [1.0]
    assert (wal.stats.batches, wal.stats.writes, wal.stats.syncs) == (1, 2, 1)
    assert wal.stats.bytes > 100


def test_configurations_with_many_and_long_names() -> None:
    names = tuple(sorted(f"n{i}-" + "x" * 60 for i in range(200)))
    check_marked(Configuration(names, ("q" * 64,)))
    about = tuple(Member(name, "host:1", "host:2", "ff" * 8) for name in names)
    check_marked(Configuration(names, (), names[:3], about, ("gone",)))


def check_marked(configuration: Configuration) -> None:
    session = fresh()
    meta = SnapshotMeta(1, 1, configuration, 5, 6)
    session.live.wal.commit([Write(1, marker=SnapshotMarker(meta, True))])
    session.kill()
    wal = Wal(session.fs, ROOT, directory_id_of(session))
    assert wal.open().snapshot == meta


def test_a_directory_without_segments_is_refused() -> None:
    fs = MemoryFileSystem()
    fs.mkdir("/w")
    with pytest.raises(CorruptLog, match="no log segment"):
        Wal(fs, "/w", 1).open()
