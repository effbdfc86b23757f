"""The example that owns its durable state, on a real cluster: its own snapshots, killed nodes."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from examples.tally import EVERY, Tally
from harness.nodes import ROOT, Node, wait_until
from raftd.machine.kit import check_machine
from tests.cluster.conftest import MakeCluster

SETTINGS = {
    "machine": "examples.tally:Tally",
    "machine_path": str(ROOT),
    "snapshot_entries": "1000000",  # the nodes take none by themselves
    "keep_entries": "5",
    "segment_bytes": "64KiB",
}
WORDS = [b"one", b"two", b"three"]


def test_the_kit_accepts_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = iter(range(1000))

    def fresh() -> Tally:
        monkeypatch.setattr("examples.tally.FILE", str(tmp_path / f"{next(made)}.sqlite"))
        return Tally()

    check_machine(fresh, commands=[*WORDS, b"", b"\x00 \n", b"two"], queries=WORDS)


def rows(node: Node, query: str) -> list[tuple[object, ...]]:
    with contextlib.closing(sqlite3.connect(node.directory / "tally.sqlite")) as db:
        return db.execute(query).fetchall()


@pytest.mark.cluster
@pytest.mark.long
def test_it_survives_kills_with_nothing_but_its_own_snapshots(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(3, SETTINGS).start()
    client = cluster.client()
    sent = 0

    def say(times: int) -> None:
        nonlocal sent
        for _ in range(times):
            word = WORDS[sent % 3]
            sent += 1
            assert client.submit(word) == b"%d" % ((sent + 2) // 3)

    say(EVERY + 10)
    away = cluster.followers()[0]
    away.kill()
    say(2 * EVERY)
    leader = cluster.leader()
    wait_until(
        lambda: (leader.metric("raftd_log_first_index") or 0) > EVERY + 20,
        15,
        "the leader to drop what its handed-in snapshot covers",
        cluster.nodes,
    )
    away.start()  # it needs the snapshot now
    cluster.wait_ready([away])
    cluster.wait_level()
    assert cluster.events("snapshot_installed") >= 1
    leader.kill()
    say(EVERY)
    leader.start()  # its machine begins with its own snapshot's file
    cluster.wait_ready([leader])
    cluster.wait_level()
    seen = rows(away, "SELECT applied, detail FROM events WHERE kind = 'snapshot_installed'")
    for applied, detail in seen:
        assert f"at {applied}" in str(detail), "told when it was restored, and before what follows"
    assert seen
    assert client.query(b"one") == b"%d" % ((sent + 2) // 3)
    assert len(set(cluster.digests().values())) == 1
    for node in cluster.nodes:
        snapshot = node.metric("raftd_snapshot_index")
        assert snapshot
        assert snapshot % EVERY == 0, "handed in, or received from one that did"
        [(entry, sessions)] = rows(node, "SELECT entry, sessions FROM place")
        assert isinstance(entry, int)
        assert entry >= snapshot
        assert sessions
        kinds = [kind for (kind,) in rows(node, "SELECT kind FROM events ORDER BY rowid")]
        assert {"leader", "role"} & set(kinds)
        applied = [at for (at,) in rows(node, "SELECT applied FROM events ORDER BY rowid")]
        assert applied == sorted(applied, key=int)  # type: ignore[arg-type]
