"""What operators do, under load: members come, go and are replaced, leadership is handed over,
backups are taken. Each is seen to have happened, or the run fails.
"""

from __future__ import annotations

import io
import random
import shutil
from collections.abc import Callable, Iterator

from harness.nodes import Node, wait_until
from harness.proxied import ProxiedCluster
from raftd.client import Client, RaftdError
from raftd.client.delivery.nodes import NodeStatus, status_at
from raftd.wire.backup import BackupReader, BackupWriter, Head
from tests.chaos.disk_faults import Misbehaved
from tests.chaos.faults import fault
from tests.chaos.stirring import Stirring

SETTINGS = {"snapshot_entries": "300", "keep_entries": "60", "segment_bytes": "256KiB"}
CHANGE_SECONDS = 60.0
CALL_SECONDS = 5.0
NAMES = ("members", "replaced", "demotions", "transfers", "backups")
REMOVED = 3
"""The exit code of a node that learns that it was removed."""


def _insist(act: Callable[[], object], what: str, cluster: ProxiedCluster) -> None:
    """As an operator would: again until it is done. A change that was made twice is refused the
    second time, so `act` says by itself whether it is done.
    """
    refusal: list[str] = []

    def done() -> bool:
        try:
            return act() is not False
        except RaftdError as error:
            refusal[:] = [str(error)]
            return False

    try:
        wait_until(done, CHANGE_SECONDS, what, [])
    except Exception as error:
        raise Misbehaved(f"{what}: {refusal or error}") from error


def _standing(cluster: ProxiedCluster, client: Client) -> dict[str, bool]:
    """Of each member, whether it is a voter; as the leader says."""
    asked = cluster.client_endpoints()
    found = client.ask_each(status_at, asked, timeout=CALL_SECONDS).values()
    leading = [each for each in found if isinstance(each, NodeStatus) and each.role == "leader"]
    if not leading:
        raise RaftdError("nobody says that it leads")
    status = max(leading, key=lambda each: each.term)
    return {status.node_id: status.voter, **{peer.id: peer.voter for peer in status.peers}}


def _change(cluster: ProxiedCluster, client: Client, action: str, name: str, by: str = "") -> None:
    """Until the leader's list of members says that it is so."""

    def act() -> bool:
        standing = _standing(cluster, client)
        done = {
            "promote": standing.get(name) is True,
            "demote": standing.get(name) is False,
            "remove": name not in standing,
            "replace": name not in standing and standing.get(by) is True,
        }[action]
        if not done:
            client.change_member(action, name, by=by)
        return done

    _insist(act, f"{action} {name} {by}", cluster)


def _join(cluster: ProxiedCluster, client: Client) -> Node:
    node = cluster.join(SETTINGS)
    _insist(lambda: node.id in _standing(cluster, client), f"{node.id} to be a learner", cluster)
    return node


def _left(cluster: ProxiedCluster, node: Node) -> None:
    """It was removed, learns of it, and ends by itself."""
    cluster.nodes.remove(node)
    node.wait_gone(CHANGE_SECONDS)
    code = node.process.returncode if node.process is not None else None
    if code != REMOVED:
        raise Misbehaved(f"{node.id} was removed and ended with {code}\n{node.log_tail()}")


@fault("members")
def _members(cluster: ProxiedCluster, draw: random.Random) -> Iterator[str]:
    """One more, then one less: now and then the leader."""
    with Client(cluster.client_endpoints(), timeout=CALL_SECONDS) as client:
        node = _join(cluster, client)
        _change(cluster, client, "promote", node.id)
        leader = cluster.likely_leader()
        others = [each for each in cluster.nodes if each is not node]
        out = leader if leader in others and draw.random() < 0.5 else draw.choice(others)
        yield f"{node.id} joined and votes; then {out.id} is removed" + " (leader)" * (
            out is leader
        )
        _change(cluster, client, "remove", out.id)
        _left(cluster, out)


@fault("replaced")
def _replaced(cluster: ProxiedCluster, draw: random.Random) -> Iterator[str]:
    """A disk is gone for good: a node with a new id takes the place, in one step."""
    victim = cluster.likely_leader() if draw.random() < 0.5 else draw.choice(cluster.nodes)
    victim.kill()
    cluster.nodes.remove(victim)
    shutil.rmtree(victim.data_path)
    with Client(cluster.client_endpoints(), timeout=CALL_SECONDS) as client:
        node = _join(cluster, client)
        yield f"kill -9 of {victim.id}, its disk is wiped; {node.id} takes its place"
        _change(cluster, client, "replace", victim.id, by=node.id)


@fault("demotions")
def _demotions(cluster: ProxiedCluster, draw: random.Random) -> Iterator[str]:
    with Client(cluster.client_endpoints(), timeout=CALL_SECONDS) as client:

        def strike() -> None:
            name = draw.choice(cluster.nodes).id
            _change(cluster, client, "demote", name)
            _change(cluster, client, "promote", name)

        with Stirring(strike, lambda: draw.uniform(0.1, 0.5)) as stirring:
            yield "some node loses its vote and gets it back, again and again"
            wait_until(lambda: stirring.strikes > 0, CHANGE_SECONDS, "a demotion", [])


@fault("transfers")
def _transfers(cluster: ProxiedCluster, draw: random.Random) -> Iterator[str]:
    done = [0]
    with Client(cluster.client_endpoints(), timeout=CALL_SECONDS) as client:

        def strike() -> None:
            try:
                client.transfer(draw.choice(cluster.nodes).id)
                done[0] += 1
            except RaftdError:
                pass  # it is refused where it leads already, or was too late

        with Stirring(strike, lambda: draw.uniform(0.3, 1.5)):
            yield "leadership is handed to some node, every 0.3 to 1.5 s"
            wait_until(lambda: done[0] > 0, CHANGE_SECONDS, "a transfer", [])


@fault("backups")
def _backups(cluster: ProxiedCluster, draw: random.Random) -> Iterator[str]:
    done = [0]
    with Client(cluster.client_endpoints(), timeout=CALL_SECONDS) as client:

        def strike() -> None:
            node = draw.choice(cluster.nodes)
            before = node.metric("raftd_applied_index") or 0
            head = _backed_up(client, node)
            if head.index < before:
                raise Misbehaved(f"a backup of {node.id} is of {head.index}, it was at {before:g}")
            done[0] += 1

        with Stirring(strike, lambda: draw.uniform(0.2, 1.0)):
            yield "backups of some node, each read back, every 0.2 to 1 s"
            wait_until(lambda: done[0] > 0, CHANGE_SECONDS, "a backup", [])


def _backed_up(client: Client, node: Node) -> Head:
    out, writer, head = io.BytesIO(), None, None
    for piece in client.backup(node.client_address, timeout=CALL_SECONDS):
        if isinstance(piece, Head):
            head, writer = piece, BackupWriter(piece, out.write)
        else:
            assert writer is not None
            writer.add(piece)
    if head is None or writer is None:
        raise Misbehaved(f"a backup of {node.id} without a head")
    writer.finish()
    out.seek(0)
    reader = BackupReader(out, f"backup of {node.id}")
    for _ in reader.chunks():
        pass
    return head
