"""A cluster that grows, shrinks, loses its leader and a disk, and moves, while clients write."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from harness.cluster import Cluster
from harness.nodes import Node, config_text, make_nodes, wait_until
from harness.ports import free_ports
from harness.writers import Writers
from raftd.client import Client, Invalid
from raftd.client.delivery.nodes import NodeStatus, status_at
from tests.cluster.conftest import MakeCluster

pytestmark = pytest.mark.cluster

REMOVED = 3
"""What a node ends with that was removed from its cluster."""


class Members:
    """A cluster that changes. One thread."""

    def __init__(self, cluster: Cluster, base: Path) -> None:
        self.cluster = cluster
        self.client = cluster.client(timeout=30.0)
        self._base = base

    @property
    def nodes(self) -> list[Node]:
        return self.cluster.nodes

    def node(self, name: str) -> Node:
        return next(node for node in self.nodes if node.id == name)

    def join(self, *names: str) -> list[Node]:
        """Start nodes with empty disks that join, and wait until they are learners."""
        seeds = ",".join(node.client_address for node in self.nodes if node.pid() is not None)
        made = make_nodes(self._base, names)
        settings = {"log_format": "json", "cluster_token": "test", "join": seeds}
        for node in made:
            node.directory.mkdir(parents=True)
            node.config_path.write_text(config_text(node, [node], settings))
            node.start()
        self.nodes.extend(made)
        for name in names:
            self.wait_for(name, voter=False)
        return made

    def status(self) -> NodeStatus:
        """As the leader sees it."""
        alive = [node.client_address for node in self.nodes if node.pid() is not None]
        found = self.client.ask_each(status_at, alive).values()
        leaders = [each for each in found if isinstance(each, NodeStatus) and each.role == "leader"]
        return max(leaders, key=lambda each: each.term) if leaders else self.client.status()

    def standing(self) -> dict[str, bool]:
        """Of each member, whether it is a voter."""
        status = self.status()
        return {status.node_id: status.voter, **{peer.id: peer.voter for peer in status.peers}}

    def wait_for(self, name: str, *, voter: bool) -> None:
        def there() -> bool:
            return self.standing().get(name) is voter

        wait_until(there, 60, f"{name} to be a {'voter' if voter else 'learner'}", self.nodes)

    def promote(self, *names: str) -> None:
        """As an operator would: until the learner has caught up."""
        for name in names:

            def promoted(name: str = name) -> bool:
                try:
                    self.client.change_member("promote", name)
                except Invalid:
                    return False
                return True

            wait_until(promoted, 60, f"{name} to be promoted", self.nodes)

    def gone(self, name: str) -> None:
        """It has ended by itself, and said why."""
        node = self.node(name)
        node.wait_gone(60)
        assert node.process is not None
        assert node.process.returncode == REMOVED, node.log_tail()
        lines = [json.loads(line) for line in node.log_path.read_text().splitlines()]
        assert any(line.get("event") == "removed" for line in lines)
        self.nodes.remove(node)


@pytest.fixture
def members(make_cluster: MakeCluster, tmp_path: Path) -> Members:
    return Members(make_cluster(1).start(), tmp_path / "joined")


def test_members_come_and_go_under_load(members: Members) -> None:
    """1 -> 3 -> 5 -> 4 -> 3 nodes; the leader is removed, a wiped node replaced, another moved."""
    writers = Writers([members.client] * 2, pace_seconds=0.005).start()
    members.join("n2", "n3", "n4", "n5")
    members.promote("n2", "n3")
    assert sum(members.standing().values()) == 3
    members.promote("n4", "n5")
    assert members.standing() == dict.fromkeys(("n1", "n2", "n3", "n4", "n5"), True)
    writers.wait_more(20, 60, members.nodes)
    wait_until(lambda: len(heard_of(members.client)) == 4, 60, "the client to hear of all")

    leader = members.status().node_id
    members.client.change_member("remove", leader)
    members.gone(leader)
    writers.wait_more(20, 60, members.nodes)
    left = sorted(members.standing())
    assert len(left) == 4
    out = next(name for name in left if name != members.status().node_id)
    members.client.change_member("remove", out)
    members.gone(out)
    now_leads = members.node(members.status().node_id)
    assert f'To="{out}"' not in now_leads.http("/metrics")[1]
    writers.wait_more(20, 60, members.nodes)

    wiped = next(n for n in sorted(members.standing()) if n != members.status().node_id)
    lose_disk(members.node(wiped))
    members.nodes.remove(members.node(wiped))
    members.join("n6")
    replace_when_ready(members.client, wiped, "n6", members.nodes)
    assert members.standing()["n6"]
    assert wiped not in members.standing()
    writers.wait_more(20, 60, members.nodes)

    moved = next(n for n in sorted(members.standing()) if n != members.status().node_id)
    move(members, moved)
    writers.wait_more(20, 60, members.nodes)
    writers.stop()
    assert not writers.book.errors, writers.book.errors[:3]
    members.cluster.wait_level()
    members.cluster.digests()
    for node in members.nodes:
        writers.check(members.cluster.client([node]), node.id)


def heard_of(client: Client) -> tuple[str, ...]:
    """Members that the client could turn to when those it was started with are gone."""
    engine = client._callers._engine
    return () if engine is None else engine.context.router._members


def lose_disk(node: Node) -> None:
    node.kill()
    shutil.rmtree(node.data_path)


def replace_when_ready(client: Client, old: str, new: str, nodes: Sequence[Node]) -> None:
    def replaced() -> bool:
        try:
            client.change_member("replace", old, by=new)
        except Invalid:
            return False
        return True

    wait_until(replaced, 60, f"{new} to replace {old}", nodes)


def move(members: Members, name: str) -> None:
    """The node comes back at other ports, and the cluster is told so."""
    node = members.node(name)
    node.stop()
    peer, client = free_ports(2)
    node.ports = replace(node.ports, peer=peer, client=client)
    settings = {"log_format": "json", "cluster_token": "test"}
    node.config_path.write_text(config_text(node, [node], settings))
    node.start()
    members.client.change_member(
        "update", name, f"127.0.0.1:{peer}", f"127.0.0.1:{client}", timeout=30
    )
    members.cluster.wait_ready([node])


def test_an_unreachable_node_and_an_old_id_are_refused(members: Members) -> None:
    """In one line that says what to do; nothing changes."""
    (port,) = free_ports(1)
    nowhere = f"127.0.0.1:{port}"
    for action, name, text in (
        ("add", "n9", f"n9 does not answer at {nowhere}"),
        ("promote", "n9", "'n9' is no member; members: n1"),
        ("remove", "n1", "'n1' is the only voter"),
        ("dissolve", "n1", "use add, promote, demote, remove, replace, update"),
    ):
        with pytest.raises(Invalid, match=text) as caught:
            members.client.change_member(action, name, nowhere, nowhere)
        assert "\n" not in str(caught.value)
    assert members.standing() == {"n1": True}


@pytest.mark.timeout(180)
def test_every_first_node_is_replaced_while_one_client_goes_on(
    make_cluster: MakeCluster, tmp_path: Path
) -> None:
    """Started with the first three endpoints only; in the end none of them is left."""
    members = Members(make_cluster(3).start(), tmp_path / "joined")
    writers = Writers([members.client] * 2, pace_seconds=0.005).start()
    for old, new in (("n1", "m1"), ("n2", "m2"), ("n3", "m3")):
        members.join(new)
        writers.wait_more(50, 60, members.nodes)
        replace_when_ready(members.client, old, new, members.nodes)
        members.gone(old)
        writers.wait_more(50, 60, members.nodes)
    writers.stop()
    assert not writers.book.errors, writers.book.errors[:3]
    assert members.standing() == dict.fromkeys(("m1", "m2", "m3"), True)
    members.cluster.wait_level()
    members.cluster.digests()
    for node in members.nodes:
        writers.check(members.cluster.client([node]), node.id)
