"""What `raftd restore` makes of a backup, and what it refuses."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from raftd.cli.raftd_main import main
from raftd.core.types import Configuration, HardState
from raftd.storage.directory import open_directory
from raftd.storage.errors import CorruptIdentity
from raftd.storage.fs import OsFileSystem
from raftd.storage.identity import load_identity
from tests.backup.making import BODY, make_backup

NODES = ("x", "y", "z")


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    return make_backup(tmp_path / "a.bak")


def restore(backup: Path, node: str, *more: str, nodes: tuple[str, ...] = NODES) -> int:
    """Into the directory of that name beside the backup."""
    config = backup.with_name(f"{node}.yaml")
    peers = "".join(
        f"  {name}: {{peer: 127.0.0.1:{7000 + 10 * k}, client: 127.0.0.1:{7001 + 10 * k}}}\n"
        for k, name in enumerate(nodes)
    )
    config.write_text(f"id: {node}\ndata_dir: {node}\nsegment_bytes: 256KiB\npeers:\n{peers}")
    return main(["restore", str(backup), "--config", str(config), *more])


def test_a_node_of_a_new_cluster(backup: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert restore(backup, "x") == 0
    out = capsys.readouterr().out.splitlines()
    assert "is node x of the new cluster" in out[0]
    assert "with all that b of cluster old had at index 90" in out[0]
    assert "every voter (x, y, z)" in out[1]
    found = load_identity(OsFileSystem(), str(backup.with_name("x")))
    assert found is not None
    assert found.identity.cluster != "old"
    directory = open_directory(
        OsFileSystem(),
        str(backup.with_name("x")),
        cluster="whatever",
        node="x",
        new_incarnation=lambda: "none",
    )
    recovered = directory.recover()
    assert recovered.hard_state == HardState(4, None)
    assert not recovered.admitted
    assert recovered.entries == ()
    meta = recovered.snapshot
    assert meta is not None
    assert (meta.index, meta.term, meta.configuration) == (90, 4, Configuration(NODES))
    sessions, body = directory.snapshots.open_body(meta)
    with body:
        assert (sessions, body.read()) == (b"", BODY)
    directory.close()


def clusters(backup: Path, *nodes: str) -> set[str]:
    found = [load_identity(OsFileSystem(), str(backup.with_name(node))) for node in nodes]
    return {file.identity.cluster for file in found if file is not None}


def test_all_its_nodes_come_to_one_id_and_other_settings_to_others(backup: Path) -> None:
    assert [restore(backup, node) for node in NODES] == [0, 0, 0]
    assert len(clusters(backup, *NODES)) == 1
    assert restore(backup, "v", nodes=("v",)) == 0
    assert restore(backup, "w", "--cluster-token", "other", nodes=("w",)) == 0
    assert len(clusters(backup, "x", "v", "w")) == 3


def test_json(backup: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert restore(backup, "x", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["node_id"], found["index"], found["of"]) == ("x", 90, "old")
    assert clusters(backup, "x") == {found["cluster_id"]}


def test_a_directory_in_use_is_left_alone(backup: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert restore(backup, "x") == 0
    before = sorted(os.listdir(backup.with_name("x")))
    assert restore(backup, "x") == 2
    assert "is not empty (0000000000000001.wal): name a directory" in capsys.readouterr().err
    assert sorted(os.listdir(backup.with_name("x"))) == before


def test_a_damaged_backup_makes_nothing(backup: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = bytearray(backup.read_bytes())
    data[-1] ^= 1
    backup.write_bytes(data)
    assert restore(backup, "x") == 1
    assert "backup is damaged" in capsys.readouterr().err
    assert not backup.with_name("x").exists()


def test_mistakes_are_one_line(backup: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert restore(backup.with_name("no.bak"), "x") == 2
    assert "no.bak: No such file or directory" in capsys.readouterr().err
    assert restore(backup, "q") == 2
    assert "id" in capsys.readouterr().err
    backup.with_name("x").write_text("a file")
    assert restore(backup, "x") == 2
    assert "Not a directory" in capsys.readouterr().err


def test_a_restore_that_was_cut_off_is_no_directory_to_start_from(
    backup: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error", "identity")

    monkeypatch.setattr("raftd.storage.making.save_identity", fail)
    assert restore(backup, "x") == 2
    assert "identity: Input/output error" in capsys.readouterr().err
    with pytest.raises(CorruptIdentity, match="restored here was cut off"):
        open_directory(
            OsFileSystem(),
            str(backup.with_name("x")),
            cluster="c",
            node="x",
            new_incarnation=lambda: "none",
        )
