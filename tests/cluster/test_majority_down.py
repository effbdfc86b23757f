"""What `make up`'s tools and `raftctl why` tell when a majority is down: the truth, and soon."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.nodes import ROOT, Node, endpoints, kill_all, wait_until
from harness.ports import room_for_nodes
from scripts.local_nodes import Local
from tests.cluster.test_scripts import left_behind

pytestmark = [pytest.mark.cluster, pytest.mark.long]

Said = tuple[int, str]


def run(*words: str) -> Said:
    done = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Local]:
    made = Local(tmp_path / "nodes", room_for_nodes(3))
    yield made
    kill_all(made.existing())


def verbs(local: Local) -> Callable[..., Said]:
    flags = ("--directory", str(local.base), "--first-port", str(local.first_port))
    return lambda *words: run("scripts.cluster", *flags, *words)


def why(nodes: list[Node]) -> Said:
    return run(
        "raftd.cli.raftctl", "--timeout", "3s", "--endpoints", ",".join(endpoints(nodes)), "why"
    )


def no_leader(node: Node) -> Callable[[], bool]:
    return lambda: node.metric("raftd_has_leader") == 0


def test_the_story_of_a_majority_that_is_down(local: Local) -> None:
    cluster = verbs(local)
    code, out = cluster("up", "--nodes", "3")
    assert code == 0, out
    assert f"export RAFTCTL_ENDPOINTS=127.0.0.1:{local.first_port + 1}," in out
    assert cluster("up", "--nodes", "5")[0] == 1
    code, out = cluster("kill", "n4")
    assert (code, "there are: n1, n2, n3" in out) == (1, True), out
    nodes = local.existing()
    code, out = why(nodes)
    assert (code, out.startswith("All is well")) == (0, True), out

    # Two are killed: said at once, also while an old leader still believes that it leads.
    assert cluster("kill", "n1")[0] == cluster("kill", "n2")[0] == 0
    for moment in ("at once", "when the last one knows"):
        code, out = why(nodes)
        assert code == 1, f"{moment}: {out}"
        assert "only n3 of the 3 voters n1, n2, n3 answered, and 2 are needed" in out, moment
        assert out.count("cannot be reached") == 2, moment
        assert "All is well" not in out
        assert "There is no leader yet" not in out, "it would be a false hope"
        wait_until(no_leader(nodes[2]), 15, "n3 to know that nobody leads", nodes)
    code, out = cluster("status")
    assert "n1: not running" in out
    assert "n2: not running" in out

    # The last one is asleep: its port is open, and it does not answer.
    nodes[2].pause()
    code, out = why(nodes)
    assert (code, "No node answered" in out) == (1, True), out
    nodes[2].kill()

    # One of three is brought back. It runs, and cannot serve: no error and no long wait.
    code, out = cluster("start", "n1")
    assert (code, out) == (0, "n1 runs, and waits: 1 of 3 do, a leader needs 2\n")
    code, out = why(nodes)
    assert (code, "only n1 of the 3 voters" in out) == (1, True), out
    code, out = why(nodes[:1])
    assert (code, "only n1 of the 3 voters" in out) == (1, True), "it asks whom it learns of"
    lines = nodes[0].log_path.read_text().count("pre-candidate -> pre-candidate")
    campaigns = nodes[0].metric("raftd_event_role_total")
    assert lines <= 1, f"{lines} lines of {campaigns} campaigns"

    # Two are a majority: the story is about the missing one only.
    assert cluster("start", "n2") == (0, "")
    code, out = why(nodes)
    assert code == 1
    assert "no majority" not in out
    assert f"{nodes[2].client_address} cannot be reached" in out
    logs = [node.log_path for node in nodes[:2]]

    def logged(text: str) -> bool:
        return sum(text in log.read_text() for log in logs) == 1

    wait_until(lambda: logged("peer lost: has not answered for"), 10, "the leader to say it", nodes)
    assert cluster("start", "n3") == (0, "")
    wait_until(lambda: logged("peer back: answers again after"), 10, "the leader to say it", nodes)

    def well() -> bool:
        return why(nodes[:1])[1].startswith("All is well")

    wait_until(well, 20, "all to be well again", nodes)
    assert why(nodes[1:])[1].startswith("All is well")
    assert cluster("down") == (0, "3 nodes stopped\n")
    assert cluster("wipe")[0] == 0
    assert left_behind(local.base) == []
