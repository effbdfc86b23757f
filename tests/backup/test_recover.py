"""What `raftd recover` makes of a survivor's directory, and what it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from raftd.backup import recover as recover_module
from raftd.cli.raftd_main import main
from raftd.core.configuration_format import encode_configuration
from raftd.core.types import (
    Configuration,
    Entry,
    EntryType,
    HardState,
    Identity,
    Recovered,
    SnapshotMarker,
    Write,
)
from raftd.storage.directory import open_directory
from raftd.storage.fs import OsFileSystem
from raftd.storage.identity import Founding, load_identity
from raftd.storage.snapshots import SnapshotFiles
from tests.backup.page import plain, transcript

CLUSTER = "5ab5d3a1c6ab5f10"
OLD = Configuration(("a", "b", "c"))
SESSIONS, BODY = b"sessions", b"the machine's state"


def entry(index: int, term: int = 5, size: int = 8) -> Entry:
    return Entry(index, term, EntryType.BATCH, bytes([index % 256]) * size)


def make_survivor(
    root: Path, *, snapshot: bool, entries: tuple[Entry, ...], node: str = "b"
) -> Path:
    """A node that has voted for c in term 7."""
    directory = open_directory(
        OsFileSystem(), str(root), cluster=CLUSTER, node=node, new_incarnation=lambda: "0" * 16,
        founding=Founding(OLD.voters, "token"), segment_bytes=256 << 10,
    )  # fmt: skip
    directory.recover()
    marker = None
    if snapshot:
        sink = directory.snapshots.create(10, 4, OLD, SESSIONS)
        sink.write(BODY)
        marker = SnapshotMarker(sink.commit(), reset=True)
    state = HardState(7, "c")
    records = (("a", "1" * 16), ("c", "2" * 16))
    directory.wal.commit([Write(1, state, marker, records=records, admitted=True)])
    if entries:
        directory.wal.commit([Write(2, entries=entries)])
    directory.close()
    return root


def opened(root: Path) -> tuple[Identity, Configuration, Recovered, SnapshotFiles]:
    directory = open_directory(
        OsFileSystem(), str(root), cluster="any", node="b", new_incarnation=lambda: "none"
    )
    try:
        return directory.identity, directory.first, directory.recover(), directory.snapshots
    finally:
        directory.close()


def recover(root: Path, *more: str) -> int:
    return main(["recover", "--data-dir", str(root), *more])


def test_snapshot_and_entries_are_kept_and_the_node_is_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change = Entry(12, 5, EntryType.CONFIGURATION, encode_configuration(Configuration(("a", "b"))))
    large = tuple(entry(index, 6, 400_000) for index in range(14, 20))
    entries = (entry(11), change, entry(13), *large)
    root = make_survivor(tmp_path / "b", snapshot=True, entries=entries)
    assert recover(root, "--yes") == 0
    out = capsys.readouterr().out
    assert f"node b of cluster {CLUSTER}, up to index 19 of term 6; with it were: a\n" in out
    assert "LOST: whatever was acknowledged after index 19" in out
    assert f"the old data is {root}.before-recovery" in out
    identity, first, recovered, snapshots = opened(root)
    assert identity.cluster != CLUSTER
    assert first == Configuration(("b",))
    assert recovered.hard_state == HardState(7, None)
    assert recovered.records == ()
    assert not recovered.admitted
    blank = Entry(12, 5, EntryType.NOOP, b"")
    assert recovered.entries == (entry(11), blank, entry(13), *large)
    meta = recovered.snapshot
    assert meta is not None
    assert (meta.index, meta.term, meta.configuration) == (10, 4, Configuration(("b",)))
    sessions, body = snapshots.open_body(meta)
    with body:
        assert (sessions, body.read()) == (SESSIONS, BODY)


def test_a_log_without_a_snapshot(tmp_path: Path) -> None:
    entries = tuple(entry(index) for index in range(1, 5))
    root = make_survivor(tmp_path / "b", snapshot=False, entries=entries)
    assert recover(root, "--yes") == 0
    _, _, recovered, _ = opened(root)
    assert (recovered.snapshot, recovered.entries) == (None, entries)


def test_the_old_directory_stays_what_it_was(tmp_path: Path) -> None:
    root = make_survivor(tmp_path / "b", snapshot=True, entries=(entry(11),))
    before = opened(root)[:3]
    assert recover(root, "--yes") == 0
    assert opened(tmp_path / "b.before-recovery")[:3] == before


def test_without_yes_it_is_only_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = make_survivor(tmp_path / "b", snapshot=True, entries=(entry(11),))
    before = opened(root)[:3]
    assert recover(root) == 2
    out = capsys.readouterr().out
    assert "up to index 11 of term 5" in out
    assert out.splitlines()[-1].endswith("add --yes")
    assert opened(root)[:3] == before
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = make_survivor(tmp_path / "b", snapshot=True, entries=(entry(11),))
    assert recover(root, "--json") == 2
    told = json.loads(capsys.readouterr().out)
    assert (told["node_id"], told["last_index"], told["done"]) == ("b", 11, False)
    assert recover(root, "--json", "--yes") == 0
    done = json.loads(capsys.readouterr().out)
    assert (done["done"], done["kept"]) == (True, f"{root}.before-recovery")
    assert done["cluster_id"] == opened(root)[0].cluster


def test_refusals_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def refused(root: Path) -> str:
        assert recover(root, "--yes") == 2
        (line,) = capsys.readouterr().err.splitlines()
        return line

    assert "holds no node's data" in refused(tmp_path)
    fresh = make_survivor(tmp_path / "fresh", snapshot=False, entries=())
    assert "b has nothing to keep" in refused(fresh)
    root = make_survivor(tmp_path / "b", snapshot=True, entries=(entry(11),))
    lock = OsFileSystem().lock(str(root / "lock"))
    assert "is locked by another process" in refused(root)
    lock.release()
    (tmp_path / "b.recovered").mkdir()
    assert "b.recovered is there already" in refused(root)
    (tmp_path / "b.recovered").rmdir()
    identity = load_identity(OsFileSystem(), str(root))
    assert identity is not None
    assert identity.identity.cluster == CLUSTER


class Cut(BaseException):
    """The process is killed."""


class CutFileSystem(OsFileSystem):
    """Killed before the rename of that number: of the snapshot, the identity, the old, the new."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.left = at

    def rename(self, old: str, new: str) -> None:
        self.left -= 1
        if not self.left:
            raise Cut
        super().rename(old, new)


def test_one_that_was_cut_off_between_the_two_names_is_gone_on_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The story without it: there was no directory at its place, `recover` said of the new one that
    it is another attempt's, and after that that the node had no data.
    """
    root = make_survivor(tmp_path / "b", snapshot=True, entries=(entry(11),))
    with pytest.raises(Cut):
        recover_module.recover(CutFileSystem(4), str(root), "3" * 16)
    assert not root.exists()
    assert recover(root) == 2
    assert "b.recovered" not in capsys.readouterr().err
    assert not root.exists(), "only told, without --yes"
    assert recover(root, "--yes") == 0
    identity, first, recovered, snapshots = opened(root)
    assert (identity.incarnation, first.voters) == ("3" * 16, ("b",))
    assert [each.index for each in recovered.entries] == [11]
    assert recovered.snapshot is not None
    snapshots.check(recovered.snapshot)
    old = opened(tmp_path / "b.before-recovery")[0]
    assert (old.cluster, old.incarnation) == (CLUSTER, "0" * 16)
    assert not (tmp_path / "b.recovered").exists()


def test_a_node_that_was_started_between_the_two_names_is_told_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The story without it: one was told to move the recovered directory away, then the old one,
    and then that the node has nothing to keep.
    """
    root = make_survivor(tmp_path / "b", snapshot=True, entries=(entry(11),))
    with pytest.raises(Cut):
        recover_module.recover(CutFileSystem(4), str(root), "3" * 16)
    make_survivor(root, snapshot=False, entries=())
    assert recover(root, "--yes") == 2
    assert f"{root} was made anew after an attempt that was cut off" in capsys.readouterr().err
    root.rename(tmp_path / "away")
    assert recover(root, "--yes") == 0
    assert [each.index for each in opened(root)[2].entries] == [11]


@pytest.mark.parametrize("at", [1, 2, 3])
def test_one_that_was_cut_off_before_has_changed_nothing(tmp_path: Path, at: int) -> None:
    root = make_survivor(tmp_path / "b", snapshot=True, entries=(entry(11),))
    with pytest.raises(Cut):
        recover_module.recover(CutFileSystem(at), str(root), "3" * 16)
    assert opened(root)[0].cluster == CLUSTER
    shutil.rmtree(tmp_path / "b.recovered")
    assert recover(root, "--yes") == 0


def test_inspect_of_several_tells_which_has_most(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    longer = make_survivor(
        tmp_path / "longer", snapshot=False, entries=tuple(entry(k, 5) for k in range(1, 9))
    )
    later = make_survivor(tmp_path / "later", snapshot=False, entries=(entry(1), entry(2, 6)))
    assert main(["inspect", str(longer), str(later)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-3] == f"compare   {longer} node=b last term 5, last index 8"
    assert lines[-1] == f"verdict   most complete: {later}"
    (later / "identity").unlink()
    assert main(["inspect", "--json", str(longer), str(later)]) == 1
    assert f'"most_complete": ["{longer}"]' in capsys.readouterr().out.splitlines()[-1]
    assert main(["inspect", str(later), str(later)]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "verdict   no comparison: none is whole"
    assert main(["inspect", str(longer), str(tmp_path / "none")]) == 2


def test_inspect_of_two_clusters_names_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the recovered directory and the one before."""
    root = make_survivor(tmp_path / "b", snapshot=False, entries=(entry(1),))
    assert main(["recover", "--data-dir", str(root), "--yes"]) == 0
    new = load_identity(OsFileSystem(), str(root))
    assert new is not None
    capsys.readouterr()
    assert main(["inspect", str(root), f"{root}.before-recovery"]) == 0
    both = ", ".join(sorted([CLUSTER, new.identity.cluster]))
    verdict = capsys.readouterr().out.splitlines()[-1]
    assert verdict == f"verdict   no comparison: they are of different clusters: {both}"


def test_the_transcript_of_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    entries = tuple(entry(index) for index in range(1, 5))
    make_survivor(tmp_path / "b", snapshot=False, entries=entries)
    make_survivor(tmp_path / "c", snapshot=False, entries=entries[:3], node="c")
    capsys.readouterr()
    for command, printed in transcript(1):
        words = command.replace("/var/lib/raftd", str(tmp_path)).split()[1:]
        done = main(words)
        assert done == (2 if "add --yes" in printed else 0)
        out = capsys.readouterr().out
        if words[0] == "inspect":
            out = "".join(line for line in out.splitlines(True)[-3:])
        assert plain(out) == plain(printed.replace("...\n", ""))
