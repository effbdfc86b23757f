"""A backup is taken while a node is written to, and three other nodes come up from it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.cluster import Cluster
from raftd.cli import raftctl, raftd_main
from raftd.client import Client
from tests.backup.page import plain, transcript
from tests.backup.snapshots import body_of, head_of

pytestmark = [pytest.mark.cluster, pytest.mark.long, pytest.mark.timeout(120)]


def backup(cluster: Cluster, path: Path) -> None:
    endpoints = cluster.nodes[0].client_address
    assert raftctl.main(["--endpoints", endpoints, "backup", str(path)]) == 0


def replay(step: tuple[str, str], cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    """Run a command of the page; it prints the same, but for numbers, ids and directories."""
    command, printed = step
    program, *words = command.split()
    for node in cluster.nodes:
        words = [str(node.config_path) if word == f"{node.id}.yaml" else word for word in words]
    capsys.readouterr()
    if program == "raftctl":
        assert raftctl.main(["--endpoints", cluster.nodes[0].client_address, *words]) == 0
    else:
        assert raftd_main.main(words) == 0
    assert plain(capsys.readouterr().out) == plain(printed)


def test_backup_under_load_becomes_a_new_cluster(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = Cluster(tmp_path / "old", 1), Cluster(tmp_path / "new", 3)
    try:
        file = tmp_path / "monday.bak"
        monkeypatch.chdir(tmp_path)
        page = iter(transcript(0))
        last = backed_up_under_load(old.start(), lambda: replay(next(page), old, capsys))
        old.close()
        for step in page:
            replay(step, new, capsys)
        new.start()
        client = new.client()
        assert client.status().cluster_id != head_of(file).cluster
        # Bit for bit what was there: no client has written since.
        again = tmp_path / "again.bak"
        backup(new, again)
        assert body_of(again) == body_of(file)
        new.digests()
        # Revisions go on.
        assert client.get("load").kv is not None
        assert client.put("more", "x").revision > last
    finally:
        old.close()
        new.close()


def backed_up_under_load(cluster: Cluster, back_up: Callable[[], None]) -> int:
    """The revision that was acknowledged before the backup was asked for."""
    with Client([cluster.nodes[0].client_address]) as client:
        client.put_many((f"key{number:04}", bytes(2000)) for number in range(1000))
        ended = threading.Event()

        def load() -> None:
            while not ended.is_set():
                client.put("load", "x")

        writer = threading.Thread(target=load)
        writer.start()
        try:
            revision = client.put("before", "backup").revision
            back_up()
        finally:
            ended.set()
            writer.join(30)
        assert client.get("load").kv is not None
    return revision
