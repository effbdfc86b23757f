"""Whose directory it is: made once, found again, refused to everybody else."""

from __future__ import annotations

import random

import pytest

from raftd.core.types import Configuration, Identity
from raftd.storage.directory import DataDirectory, open_directory
from raftd.storage.errors import (
    CorruptIdentity,
    CorruptSnapshot,
    Locked,
    UnknownFormat,
    WrongIdentity,
)
from raftd.storage.identity import (
    Founding,
    IdentityFile,
    decode_identity,
    directory_id,
    encode_identity,
    load_identity,
)
from tests.storage.memory_fs import CHANGING, MemoryFileSystem, Operation, PowerCut
from tests.storage.model import CONFIGURATION

ME = Identity("c0ffee", "n1", "0123456789abcdef")
FOUNDING = Founding(("n1", "n2", "n3"), "70ce")
FILE = IdentityFile(ME, FOUNDING)
OLD_FILE = IdentityFile(ME, None)
PATH = "/a/b/n1/identity"


def opened(
    fs: MemoryFileSystem,
    root: str = "/a/b/n1",
    node: str = "n1",
    cluster: str = "c0ffee",
    founding: Founding | None = FOUNDING,
) -> DataDirectory:
    return open_directory(
        fs,
        root,
        cluster=cluster,
        node=node,
        new_incarnation=lambda: ME.incarnation,
        founding=founding,
        segment_bytes=500,
    )


def test_made_then_found() -> None:
    fs = MemoryFileSystem()
    first = opened(fs)
    assert (first.identity, first.created) == (ME, True)
    first.close()
    again = opened(fs)
    assert (again.identity, again.created) == (ME, False)


def test_file_is_text_and_round_trips() -> None:
    data = encode_identity(FILE)
    assert data.decode().splitlines()[:6] == [
        "raftd identity 2",
        "cluster c0ffee",
        "node n1",
        "incarnation 0123456789abcdef",
        "token 70ce",
        "voters n1,n2,n3",
    ]
    for file in (FILE, OLD_FILE, IdentityFile(ME, Founding())):
        assert decode_identity(encode_identity(file), "p") == file


def test_every_bit_matters() -> None:
    data = encode_identity(FILE)
    for at in range(len(data)):
        for bit in range(8):
            bad = data[:at] + bytes((data[at] ^ (1 << bit),)) + data[at + 1 :]
            with pytest.raises((CorruptIdentity, UnknownFormat)):
                decode_identity(bad, "p")
    for other in (b"", data[:-1], data + b"\n", data + data, data.replace(b"\n", b"\r\n")):
        with pytest.raises(CorruptIdentity):
            decode_identity(other, "p")


@pytest.mark.parametrize("bad", ["", "a b", "a\nnode x", "é", "x" * 129])
def test_ids_are_plain_words(bad: str) -> None:
    for identity in (Identity(bad, "n", "i"), Identity("c", bad, "i"), Identity("c", "n", bad)):
        with pytest.raises(ValueError, match="use 1 to 128 of"):
            encode_identity(IdentityFile(identity, None))
    with pytest.raises(ValueError, match="use 1 to 128 of"):
        encode_identity(IdentityFile(ME, Founding(("n1", bad), "70ce")))


def test_newer_format_is_named() -> None:
    data = encode_identity(FILE).replace(b"identity 2", b"identity 3")
    with pytest.raises(UnknownFormat, match="format version 3, this raftd knows up to 2"):
        decode_identity(data, "p")


def test_other_node_and_other_cluster_are_refused_with_both_values() -> None:
    fs = MemoryFileSystem()
    opened(fs).close()
    before = fs.files()
    with pytest.raises(WrongIdentity, match="belongs to node 'n1', but this is node 'n2'"):
        opened(fs, node="n2")
    with pytest.raises(WrongIdentity, match="cluster 'c0ffee', but this is cluster 'beef'"):
        opened(fs, cluster="beef", founding=Founding(FOUNDING.voters, "07e7"))
    assert fs.files() == before
    opened(fs).close()


def test_cluster_and_first_voters_are_settled_once() -> None:
    """Other peers in the settings make another id for a new cluster, and nothing of an old one."""
    fs = MemoryFileSystem()
    assert opened(fs).first == Configuration(("n1", "n2", "n3"))
    fs.kill()
    again = opened(fs, cluster="beef", founding=Founding(("n1", "n4"), "70ce"))
    assert (again.identity, again.first) == (ME, Configuration(("n1", "n2", "n3")))


def test_a_node_that_joins_starts_without_a_configuration() -> None:
    fs = MemoryFileSystem()
    assert opened(fs, founding=Founding((), "70ce")).first == Configuration(())
    fs.kill()
    assert opened(fs).first == Configuration(())


def as_version_1(room_bytes: int | None = None) -> MemoryFileSystem:
    fs = MemoryFileSystem()
    opened(fs).close()
    fs.put(PATH, encode_identity(OLD_FILE))
    if room_bytes is not None:
        fs.capacity_bytes = fs.used_bytes() + room_bytes
    return fs


def test_version_1_is_upgraded_and_keeps_its_cluster() -> None:
    fs = as_version_1()
    found = opened(fs)
    assert (found.identity, found.created, found.first) == (ME, False, FOUNDING.configuration)
    assert load_identity(fs, "/a/b/n1") == FILE
    fs.kill()
    assert opened(fs, founding=Founding(("n1",), "70ce")).first == FOUNDING.configuration


def test_version_1_of_other_peers_is_refused_and_left_alone() -> None:
    """There the id says which peers it was made with: others would rewrite its history."""
    fs = as_version_1()
    before = fs.files()
    with pytest.raises(WrongIdentity, match="cluster 'c0ffee', but this is cluster 'beef'"):
        opened(fs, cluster="beef", founding=Founding(("n1", "n4"), "70ce"))
    assert fs.files() == before


def test_version_1_without_room_is_upgraded_at_a_later_start() -> None:
    fs = as_version_1(room_bytes=10)
    before = fs.files()
    assert opened(fs).first == FOUNDING.configuration
    assert fs.files() == before
    fs.kill()
    fs.capacity_bytes = None
    opened(fs)
    assert load_identity(fs, "/a/b/n1") == FILE


@pytest.mark.parametrize("lost", [False, True])
def test_an_upgrade_that_was_cut_off_anywhere_is_made_at_the_next_start(lost: bool) -> None:
    """lost: the power went; else the process was killed, and what it had written is there. What it
    had written was a temporary file, and no start came past that one any more.
    """
    for last in range(1, 100):
        fs = as_version_1()
        begun = 0

        def cut(operation: Operation, fs: MemoryFileSystem = fs, last: int = last) -> None:
            nonlocal begun
            begun += operation.name in CHANGING and "identity" in operation.path
            if begun == last:
                fs.cut_power()

        fs.before = cut
        try:
            opened(fs).close()
        except PowerCut:
            fs.crash(random.Random(last), keep=0.0) if lost else fs.kill()
        else:
            break
        assert opened(fs).first == FOUNDING.configuration
        assert load_identity(fs, "/a/b/n1") == FILE
    assert last > 4


def test_whoever_only_repairs_a_directory_upgrades_nothing() -> None:
    fs = as_version_1()
    opened(fs, founding=None).close()
    assert load_identity(fs, "/a/b/n1") == OLD_FILE


def test_locked_by_another() -> None:
    fs = MemoryFileSystem()
    first = opened(fs)
    with pytest.raises(Locked, match="locked by another process"):
        opened(fs)
    first.close()
    second = opened(fs)
    second.recover()
    second.close()
    opened(fs).close()


def test_every_part_of_who_makes_another_directory_id() -> None:
    others = [
        Identity("c0ffef", ME.node, ME.incarnation),
        Identity(ME.cluster, "n2", ME.incarnation),
        Identity(ME.cluster, ME.node, "0123456789abcdee"),
    ]
    assert len({directory_id(item) for item in [ME, *others]}) == 4
    assert 0 <= directory_id(ME) < 1 << 64


def test_records_without_identity_are_refused() -> None:
    fs = MemoryFileSystem()
    first = opened(fs)
    first.recover()
    first.close()
    fs.remove("/a/b/n1/identity")
    for _ in range(2):
        with pytest.raises(CorruptIdentity, match=r"missing, but 0000000000000001\.wal holds"):
            opened(fs)


def test_a_snapshot_without_identity_is_refused() -> None:
    fs = MemoryFileSystem()
    first = opened(fs)
    first.recover()
    sink = first.snapshots.create(1, 1, CONFIGURATION, b"")
    sink.commit()
    first.close()
    fs.remove("/a/b/n1/identity")
    fs.remove("/a/b/n1/0000000000000001.wal")
    with pytest.raises(CorruptIdentity, match="snapshots/"):
        opened(fs)


def test_a_half_made_directory_is_made_again() -> None:
    fs = MemoryFileSystem()
    opened(fs).close()  # never recovered: no batch was written
    fs.remove("/a/b/n1/identity")
    fs.put("/a/b/n1/identity.tmp", b"half an identi")
    again = opened(fs)
    assert again.created
    assert load_identity(fs, "/a/b/n1") == FILE
    assert "identity.tmp" not in fs.listdir("/a/b/n1")


def test_foreign_files_are_left_alone() -> None:
    fs = MemoryFileSystem()
    fs.mkdir("/v")
    fs.put("/v/lost+found", b"x")
    fs.put("/v/notes.wal.bak", b"y")
    made = opened(fs, "/v")
    made.recover()
    made.close()
    assert fs.files()["/v/lost+found"] == b"x"
    assert fs.files()["/v/notes.wal.bak"] == b"y"


def test_snapshots_directory_missing_is_refused() -> None:
    fs = MemoryFileSystem()
    opened(fs).close()
    fs._directory("/a/b/n1").entries.pop("snapshots")
    with pytest.raises(CorruptSnapshot, match="the directory is missing"):
        opened(fs).recover()
