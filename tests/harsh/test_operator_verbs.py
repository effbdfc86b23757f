"""raftctl transfer and snapshot do what they say, and say what they did."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from harness.cluster import Cluster, event_count
from harness.nodes import endpoints, wait_until
from harness.writers import Writers

pytestmark = [pytest.mark.cluster, pytest.mark.long]


def raftctl(cluster: Cluster, *words: str) -> tuple[int, str, str]:
    run = subprocess.run(
        [sys.executable, "-m", "raftd.cli.raftctl", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        env={"RAFTCTL_ENDPOINTS": ",".join(endpoints(cluster.nodes)), "PATH": "/usr/bin:/bin"},
    )
    assert "Traceback" not in run.stderr
    return run.returncode, run.stdout, run.stderr


def asked(cluster: Cluster, *words: str) -> Any:
    code, out, err = raftctl(cluster, *words, "--output", "json")
    assert code == 0, err
    return json.loads(out)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One for all: each test leaves it whole."""
    made = Cluster(tmp_path_factory.mktemp("verbs"), 3, {})
    try:
        yield made.start()
    finally:
        made.close()


def test_transfer_moves_the_leader_under_load(cluster: Cluster) -> None:
    load = Writers([cluster.client() for _ in range(4)]).start()
    load.wait_more(200, 20, cluster.nodes)
    for target in [cluster.followers()[0], cluster.followers()[1], *cluster.followers()]:
        if cluster.leader() is target:
            continue
        term = cluster.term()
        said = asked(cluster, "transfer", target.id)
        assert said["leader_id"] == target.id
        assert said["term"] > term
        wait_until(lambda: cluster.leaders() == [target], 5, "what it said to be so", cluster.nodes)  # noqa: B023
        load.wait_more(100, 20, cluster.nodes)
    load.stop()
    assert not load.book.errors


def test_transfer_to_where_it_cannot_go(cluster: Cluster) -> None:
    leader, (sleeper, _) = cluster.leader(), cluster.followers()
    for target, words in (("nobody", "'nobody' is not a voter"), (leader.id, leader.id)):
        code, _, err = raftctl(cluster, "transfer", target)
        assert code != 0
        assert words in err
        assert len(err.strip().splitlines()) == 1
    sleeper.pause()
    code, _, err = raftctl(cluster, "--timeout", "2s", "transfer", sleeper.id)
    sleeper.resume()
    assert code != 0, "it said that a node leads which does not"
    assert err.strip()
    client = cluster.client()
    client.put(b"after", b"yes")
    # The order to campaign waited in the sleeper's connection. It may take effect late, for one
    # election or, when votes are split, for two: a number of terms is no promise.
    wait_until(lambda: len(cluster.leaders()) == 1, 10, "one leader", cluster.nodes)


def test_snapshot_is_taken_where_it_says(cluster: Cluster) -> None:
    client = cluster.client()
    for number in range(50):
        client.put(b"key%d" % number, b"value")
    cluster.wait_level()
    rows = asked(cluster, "snapshot")["snapshots"]
    assert {row["endpoint"] for row in rows} == set(endpoints(cluster.nodes))
    for row in rows:
        node = next(node for node in cluster.nodes if node.client_address == row["endpoint"])
        assert row["index"] >= 50
        names = [path.name for path in (node.data_path / "snapshots").iterdir()]
        assert any(int(name.split("-")[0], 16) == row["index"] for name in names), names
        assert event_count(node, "snapshot_taken") == 1
    again = asked(cluster, "snapshot")["snapshots"]
    assert [row["index"] for row in again] == [row["index"] for row in rows], "nothing is new"
    cluster.nodes[0].kill()
    code, out, _ = raftctl(cluster, "snapshot")
    assert code == 1, "one of three could not"
    assert out.count("index") == 2
    for node in cluster.nodes[1:]:
        node.kill()
    for node in cluster.nodes:
        node.start()
    cluster.wait_ready(cluster.nodes)
    assert cluster.client().get(b"key49").kv is not None
