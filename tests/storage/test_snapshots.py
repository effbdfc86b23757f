"""Snapshot files: made, received in pieces, cut off, damaged, replaced, cleaned up."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from raftd.core.types import Configuration, Member, SnapshotMeta
from raftd.storage.errors import CorruptSnapshot, UnknownFormat
from raftd.storage.snapshot_file import read_header
from raftd.storage.snapshots import Incoming, SnapshotFiles, snapshot_name
from tests.conftest import Count
from tests.storage.memory_fs import MemoryFileSystem, PowerCut
from tests.storage.model import CONFIGURATION, body_of, foreign_snapshot
from tests.storage.test_crash import cut_at


def store_on(fs: MemoryFileSystem | None = None) -> tuple[MemoryFileSystem, SnapshotFiles]:
    fs = MemoryFileSystem() if fs is None else fs
    if not fs.listdir("/"):
        fs.mkdir("/s")
        fs.sync_directory("/")
    return fs, SnapshotFiles(fs, "/s")


def made(
    store: SnapshotFiles,
    index: int = 5,
    body: bytes = b"body" * 100,
    configuration: Configuration = CONFIGURATION,
) -> SnapshotMeta:
    sink = store.create(index, 2, configuration, b"sessions of it")
    for start in range(0, len(body), 33):
        sink.write(body[start : start + 33])
    return sink.commit()


def content(store: SnapshotFiles, meta: SnapshotMeta) -> tuple[bytes, bytes]:
    sessions, body = store.open_body(meta)
    with body:
        return sessions, body.read()


def fill(incoming: Incoming, data: bytes, stop: int | None = None, step: int = 70) -> None:
    for offset in range(incoming.next_offset, len(data) if stop is None else stop, step):
        assert incoming.store(offset, data[offset : offset + step]) > offset


def test_what_went_in_comes_out() -> None:
    fs, store = store_on()
    for body in (b"", b"x", bytes(3_000_000)):
        meta = made(store, body=body)
        assert content(store, meta) == (b"sessions of it", body)
        assert (meta.index, meta.term, meta.configuration) == (5, 2, CONFIGURATION)
        assert meta.size_bytes == len(fs.files()[f"/s/{snapshot_name(meta)}"])


def test_nothing_has_its_name_before_commit() -> None:
    fs, store = store_on()
    sink = store.create(1, 1, CONFIGURATION, b"")
    sink.write(b"abc")
    assert [name for name in fs.listdir("/s") if name.endswith(".snap")] == []
    sink.discard()
    sink.discard()
    assert fs.listdir("/s") == []
    meta = made(store)
    sink = store.create(5, 2, CONFIGURATION, b"sessions of it")
    sink.commit()
    sink.discard()
    assert content(store, meta)[0] == b"sessions of it"


def test_chunks_of_one_node_make_the_same_file_on_another() -> None:
    _, here = store_on()
    fs, there = store_on()
    meta = made(here, body=random.Random(1).randbytes(5000))
    incoming = there.receive("n1", meta)
    while incoming.next_offset < meta.size_bytes:
        incoming.store(incoming.next_offset, here.read_chunk(meta, incoming.next_offset, 777))
    assert incoming.commit() == meta
    assert content(there, meta) == content(here, meta)
    assert fs.unsynced() == []


def test_chunk_that_does_not_start_where_it_should_changes_nothing() -> None:
    _, store = store_on()
    meta, data = foreign_snapshot(3, 1)
    incoming = store.receive("n2", meta)
    assert incoming.store(0, data[:100]) == 100
    for offset in (0, 50, 101, meta.size_bytes):
        assert incoming.store(offset, data[offset : offset + 10]) == 100
    fill(incoming, data)
    incoming.commit()
    assert content(store, meta)[1] == body_of(3, 1)


def test_resumes_after_a_cut_only_the_same_snapshot_of_the_same_sender() -> None:
    _, store = store_on()
    meta, data = foreign_snapshot(3, 1)
    fill(store.receive("n2", meta), data, 140)
    assert store.receive("n2", meta).next_offset == 140
    for sender, other in (
        ("n3", meta),
        ("n2", replace(meta, crc=meta.crc ^ 1)),
        ("n2", replace(meta, size_bytes=meta.size_bytes + 1)),
        ("n2", replace(meta, index=meta.index + 1)),
        ("n2", replace(meta, term=meta.term + 1)),
    ):
        fill(store.receive("n2", meta), data, 140)
        assert store.receive(sender, other).next_offset == 0
    incoming = store.receive("n2", meta)
    fill(incoming, data)
    incoming.commit()
    assert store.receive("n2", meta).next_offset == 0, "a finished one is no partial one"


def test_restart_of_the_receiver_starts_over() -> None:
    fs, store = store_on()
    meta, data = foreign_snapshot(3, 1)
    fill(store.receive("n2", meta), data, 140)
    fs.crash(random.Random(0))
    again = SnapshotFiles(fs, "/s")
    incoming = again.receive("n2", meta)
    assert incoming.next_offset == 0
    fill(incoming, data)
    assert incoming.commit() == meta


@pytest.mark.parametrize("at", [0, 9, 20, 60, 150, 400, -1])
def test_a_changed_byte_on_the_way_is_found_and_the_partial_file_goes(at: int) -> None:
    fs, store = store_on()
    meta, data = foreign_snapshot(3, 1)
    bad = bytearray(data)
    bad[at] ^= 4
    incoming = store.receive("n2", meta)
    fill(incoming, bytes(bad))
    with pytest.raises(CorruptSnapshot, match="checksum"):
        incoming.commit()
    assert fs.listdir("/s") == []


def test_too_few_and_too_many_bytes() -> None:
    fs, store = store_on()
    meta, data = foreign_snapshot(3, 1)
    incoming = store.receive("n2", meta)
    fill(incoming, data, 140)
    with pytest.raises(CorruptSnapshot, match="140 bytes"):
        incoming.commit()
    incoming = store.receive("n2", meta)
    fill(incoming, data, 140)
    with pytest.raises(CorruptSnapshot, match="more than"):
        incoming.store(140, data)
    assert fs.listdir("/s") == []


def test_right_bytes_under_a_wrong_description_are_refused() -> None:
    """The sender's description is what the log will mark: it must be that of the file."""
    fs, store = store_on()
    meta, data = foreign_snapshot(3, 1)
    for other in (
        replace(meta, index=4),
        replace(meta, term=2),
        replace(meta, configuration=Configuration(("n1",))),
    ):
        incoming = store.receive("n2", other)
        fill(incoming, data)
        with pytest.raises(CorruptSnapshot, match="another configuration"):
            incoming.commit()
    assert fs.listdir("/s") == []


def test_every_byte_changed_on_disk_is_found_before_one_is_handed_out() -> None:
    fs, store = store_on()
    meta = made(store, body=b"body" * 20)
    path = f"/s/{snapshot_name(meta)}"
    for at, value in enumerate(fs.files()[path]):
        fs.poke(path, at, bytes((value ^ 1,)))
        with pytest.raises(CorruptSnapshot):
            store.open_body(meta)
        fs.poke(path, at, bytes((value,)))
    assert content(store, meta)[1] == b"body" * 20


def test_cut_extended_and_missing_files_are_found() -> None:
    fs, store = store_on()
    meta = made(store)
    path = f"/s/{snapshot_name(meta)}"
    data = fs.files()[path]
    for other in (b"", data[:50], data[:-1], data + b"\0"):
        fs.put(path, other)
        with pytest.raises(CorruptSnapshot, match="bytes instead of"):
            store.open_body(meta)
        with pytest.raises(CorruptSnapshot, match="bytes instead of"):
            store.check(meta)
    fs.remove(path)
    with pytest.raises(CorruptSnapshot, match="missing"):
        store.open_body(meta)
    with pytest.raises(CorruptSnapshot, match="missing"):
        store.check(meta)
    with pytest.raises(FileNotFoundError):
        store.read_chunk(meta, 0, 10)


WHOLE = Configuration(("n1", "n2"), ("n3",), about=(Member("n3", "h:1", "h:2", "ff"),))


@pytest.mark.parametrize("configuration", [CONFIGURATION, WHOLE])
def test_the_configuration_comes_back(configuration: Configuration) -> None:
    """A plain one in the older format, so that a raftd before this one can read the file."""
    fs, store = store_on()
    meta = made(store, configuration=configuration)
    store.check(meta)
    path = f"/s/{snapshot_name(meta)}"
    assert fs.files()[path][8] == (1 if configuration.is_plain() else 2)
    assert read_header(fs.open(path), path).configuration == configuration


def test_newer_format_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    _, store = store_on()
    monkeypatch.setattr("raftd.storage.snapshot_file.SNAPSHOT_VERSION", 3)
    meta = made(store, configuration=WHOLE)
    monkeypatch.undo()
    with pytest.raises(UnknownFormat, match="format version 3, this raftd knows up to 2"):
        store.open_body(meta)


def test_a_sink_reads_back_what_it_wrote() -> None:
    fs, store = store_on()
    sink = store.create(1, 1, CONFIGURATION, b"")
    sink.write(b"a" * 500)
    fs.poke("/s/own-1.tmp", 300, b"b")
    with pytest.raises(CorruptSnapshot, match="reads back"):
        sink.commit()
    assert fs.listdir("/s") == []


def test_retain_and_clean() -> None:
    fs, store = store_on()
    metas = [made(store, index) for index in (1, 2, 3)]
    partial = store.create(4, 1, CONFIGURATION, b"")
    store.retain([metas[2], metas[0]])
    kept = {snapshot_name(metas[0]), snapshot_name(metas[2]), "own-4.tmp"}
    assert set(fs.listdir("/s")) == kept
    partial.write(b"goes on")
    fs.kill()
    SnapshotFiles(fs, "/s").clean(metas[2])
    assert fs.listdir("/s") == [snapshot_name(metas[2])]


def test_what_arrived_in_part_goes_when_it_is_overtaken() -> None:
    """Its leader was lost, the next one had the entries: the rest lay there until a restart."""
    fs, store = store_on()
    older, newer = foreign_snapshot(5, 1), foreign_snapshot(9, 1)
    fill(store.receive("n2", newer[0]), newer[1], 140)
    own = made(store, index=7)
    store.retain([own])
    assert store.receive("n2", newer[0]).next_offset == 140, "it may still be wanted"
    fill(store.receive("n2", older[0]), older[1], 140)
    store.retain([own])
    assert fs.listdir("/s") == [snapshot_name(own)]
    assert store.receive("n2", older[0]).next_offset == 0


def test_retain_leaves_what_was_finished_after_the_list_was_drawn_up() -> None:
    _, store = store_on()
    old, kept = made(store, 1), made(store, 2)
    newer, other = made(store, 3), made(store, 2, b"another leader's")
    store.retain([kept])
    for meta in (kept, newer, other):
        store.check(meta)
    with pytest.raises(CorruptSnapshot):
        store.check(old)
    store.retain([])
    store.check(kept)


def test_reading_goes_on_while_the_file_is_removed() -> None:
    _, store = store_on()
    meta = made(store, body=bytes(3 << 20))
    _, body = store.open_body(meta)
    with body:
        assert len(body.read(10)) == 10
        store.retain([made(store, 6)])
        with pytest.raises(FileNotFoundError):
            store.read_chunk(meta, 0, 1)
        assert len(body.read()) == (3 << 20) - 10


def test_power_cut_at_every_operation_leaves_all_or_nothing(count: Count) -> None:
    cases = 0
    for received in (False, True):
        for number in range(40):
            fs, store = store_on()
            fs.before = cut_at(fs, number)
            meta, data = foreign_snapshot(3, 1)
            try:
                if received:
                    incoming = store.receive("n2", meta)
                    fill(incoming, data)
                    incoming.commit()
                else:
                    sink = store.create(3, 1, CONFIGURATION, b"sessions")
                    sink.write(body_of(3, 1))
                    assert sink.commit() == meta
            except PowerCut:
                done = False
            else:
                done = True
            fs.crash(random.Random(number))
            again = SnapshotFiles(fs, "/s")
            if done or snapshot_name(meta) in fs.listdir("/s"):
                assert content(again, meta) == (b"sessions", body_of(3, 1))
            again.clean(None)
            assert fs.listdir("/s") == []
            cases += 1
    count("crashes: power cuts in a snapshot", cases)
