"""`raftctl why` on real nodes: one cluster is hurt in one way after the other, and each time what
is said names the node and the cause. (Certificates: test_tls.py.)
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.cluster import Cluster
from harness.hurt import PROGRAM, hurt
from harness.nodes import ROOT, Node, config_text, endpoints, make_nodes
from harness.proxied import ProxiedCluster
from harness.writers import Writers
from raftd.cli.raftctl_why import look
from raftd.client import Client, NoSpace, neighbours

pytestmark = [pytest.mark.cluster, pytest.mark.long]

SECONDS = 60.0
PAUSE_SECONDS = 0.1
"""Between two looks: each asks all nodes."""

SETTINGS = {
    "log_format": "json",
    "cluster_token": "test",
    "segment_bytes": "128KiB",
    "snapshot_entries": "500",
    "keep_entries": "100",
    "pending_batches_max": "3",
    "disk_stall_refuse": "5s",
    "disk_stall_step_down": "20s",
}


class Ward:
    """A cluster, and what `raftctl why` says of it. One thread."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.cluster = ProxiedCluster(base / "cluster", 3, SETTINGS, program=PROGRAM)
        self.cluster.start()
        self.client = self.asking()
        self.seen: list[str] = []

    def asking(self, *more: Node) -> Client:
        where = [*self.cluster.client_endpoints(), *endpoints(more)]
        return Client(where, timeout=2.0, attempt_timeout=1.0)

    def roles(self) -> tuple[Node, Node, Node]:
        """(who leads, the others)."""
        leader = self.cluster.leader()
        first, second = (node for node in self.cluster.nodes if node is not leader)
        return leader, first, second

    def says(self, *words: str, client: Client | None = None) -> None:
        """One sentence has all these words, within SECONDS."""
        limit = time.monotonic() + SECONDS
        while True:
            found = look(client or self.client)
            if any(all(word in sentence for word in words) for sentence in found.sentences):
                self.seen.append(" ".join(words))
                return
            if time.monotonic() > limit:
                pytest.fail(f"nothing says {words}:\n" + "\n".join(found.sentences))
            time.sleep(PAUSE_SECONDS)

    def well(self) -> None:
        limit = time.monotonic() + SECONDS
        while not (found := look(self.client)).well:
            if time.monotonic() > limit:
                pytest.fail("not well again:\n" + "\n".join(found.sentences))
            time.sleep(PAUSE_SECONDS)

    def heal(self) -> None:
        """No faults any more. What was seen lately is told for some seconds more."""
        for node in self.cluster.nodes:
            hurt(node.directory)
        self.cluster.heal(cut=True)
        self.cluster.wait_ready()

    @contextlib.contextmanager
    def load(self, clients: int = 1, value_bytes: int = 64) -> Iterator[None]:
        made = [self.cluster.client(timeout=60.0) for _ in range(clients)]
        writers = Writers(made, value_bytes=value_bytes).start()
        try:
            yield
        finally:
            writers.stop()
            for client in made:
                client.close()


def one_way_partition(ward: Ward) -> None:
    leader, other, _ = ward.roles()
    edge = ward.cluster.edge(leader.id, other.id)
    edge.block()
    where = f"{leader.id} does not reach {other.id}"
    ward.says(where, "which answers here", "look at the network")
    ward.says(where, "which answers here", "no answer in time", "the network cut")


def slow_disk(ward: Ward) -> None:
    _, other, _ = ward.roles()
    hurt(other.directory, sync_seconds=0.3)
    with ward.load():
        ward.says(f"{other.id} reports", "the disk is slow")


def overload(ward: Ward) -> None:
    leader, *_ = ward.roles()
    for node in ward.cluster.nodes:
        hurt(node.directory, sync_seconds=0.2)
    with ward.load(8):
        ward.says(f"{leader.id} reports: overloaded", "pending_batches_max (3)")


def full_disk(ward: Ward) -> None:
    _, other, _ = ward.roles()
    hurt(other.directory, no_space=True)
    with ward.load(2, 20_000):
        ward.says(f"{other.id} reports", "make room on that disk")


def clock_step(ward: Ward) -> None:
    _, other, _ = ward.roles()
    hurt(other.directory, clock_seconds=-3600)
    ward.says(f"The clock of {other.id} is 3600 s behind")


def name_that_does_not_resolve(ward: Ward) -> None:
    leader, other, _ = ward.roles()
    before = ward.cluster.edge(leader.id, other.id).port
    ward.client.change_member("update", other.id, peer_address="nowhere.invalid:7001")
    ward.says(f"{other.id} does not answer at nowhere.invalid:7001", "nowhere.invalid", "not known")
    ward.client.change_member("update", other.id, peer_address=f"127.0.0.1:{before}")


def learner_that_cannot_catch_up(ward: Ward) -> None:
    (learner,) = make_nodes(ward.base, ["n4"])
    settings = {**SETTINGS, "join": ",".join(endpoints(ward.cluster.nodes))}
    learner.environment, learner.program = {"PYTHONPATH": str(ROOT)}, PROGRAM
    learner.directory.mkdir(parents=True)
    learner.config_path.write_text(config_text(learner, [learner], settings))
    learner.start()
    try:
        ward.says("All is well", "4 of 4 members")
        hurt(learner.directory, sync_seconds=60)
        with ward.load(2):
            ward.says(f"{learner.id}, a learner, lacks", "too slow")
        ward.client.change_member("remove", learner.id)
        learner.kill()
        with ward.asking(learner) as client:
            ward.says(f"{learner.client_address} cannot", "if its node was removed", client=client)
        ward.seen.append("a member that was removed")
    finally:
        learner.kill()


def stopped_node_then_another_version(ward: Ward) -> None:
    leader, other, _ = ward.roles()
    other.stop()
    ward.says(f"{other.id} at", "cannot be reached", "is the node up")
    ward.says(f"{leader.id} reports: {other.id} does not answer at")
    hurt(other.directory, version="9.9.9")
    other.start()
    ward.says("2 versions of raftd", f"9.9.9: {other.id}")


def wrong_cluster(ward: Ward) -> None:
    leader, other, _ = ward.roles()
    other.stop()
    before = other.config_path.read_text()
    other.config_path.write_text(
        before.replace("token: test", "token: other").replace("data_dir: data", "data_dir: new")
    )
    other.start()
    ward.says("belong to 2 different clusters")
    ward.says(f"{leader.id} does not reach {other.id}", "another cluster")
    other.stop()
    shutil.rmtree(other.directory / "new")
    other.config_path.write_text(before)
    other.start()


def paused_leader(ward: Ward) -> None:
    ward.well()
    leader, *_ = ward.roles()
    leader.pause()
    ward.says(f"{leader.id} at", "cannot be reached")
    ward.says(f"reports: {leader.id} does not answer at", "is the node paused")
    leader.resume()


def no_quorum(ward: Ward) -> None:
    leader, other, third = ward.roles()
    for node in (other, third):
        node.kill()
    ward.says("There is no majority: only", leader.id, "2 are needed")


SITUATIONS: tuple[Callable[[Ward], None], ...] = (
    one_way_partition,
    slow_disk,
    overload,
    full_disk,
    clock_step,
    name_that_does_not_resolve,
    learner_that_cannot_catch_up,
    stopped_node_then_another_version,
    wrong_cluster,
    paused_leader,
    no_quorum,
)


def test_why_names_the_node_and_the_cause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "BEHIND_ENTRIES", 200)
    ward = Ward(tmp_path)
    try:
        ward.well()
        for situation in SITUATIONS:
            begun = time.monotonic()
            situation(ward)
            if situation is not no_quorum:
                ward.heal()
            print(f"{situation.__name__}: {time.monotonic() - begun:.1f} s")
        raftctl = [sys.executable, "-m", "raftd.cli.raftctl", "--endpoints"]
        asked = [*raftctl, ",".join(ward.cluster.client_endpoints()), "why"]
        done = subprocess.run(asked, capture_output=True, text=True, check=False)
        assert (done.returncode, "There is no majority" in done.stdout) == (1, True), done
    finally:
        ward.client.close()
        ward.cluster.close()


def fill(client: Client) -> None:
    for number in range(100):
        client.put(b"%d" % number, bytes(100_000))


def test_why_names_the_quota(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, 1, {"quota_bytes": "1MiB"})
    try:
        client = cluster.start().client(timeout=5.0)
        with pytest.raises(NoSpace):
            fill(client)
        found = look(client)
        assert not found.well
        assert any("reports: alarm NO_SPACE raised for" in told for told in found.sentences), found
    finally:
        cluster.close()
