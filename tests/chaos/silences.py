"""What goes silent: connections that are swallowed, name servers, machines that hang.

Each is seen to have had an effect, or the run fails: a fault that does nothing proves nothing.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from harness import naming
from harness.hanging import VARIABLE
from harness.nodes import Node, NodeTrouble, wait_until
from harness.proxied import ProxiedCluster
from harness.proxy import Edge
from tests.chaos.faults import fault
from tests.chaos.stirring import Stirring

EFFECT_SECONDS = 5.0


def missing() -> dict[str, str]:
    """Faults that cannot be done here, and why."""
    why = naming.why_not()
    return {"silent-names": why} if why else {}


def _swallowed_bytes(edges: Iterable[Edge]) -> int:
    return sum(edge.swallowed_bytes for edge in edges)


def _swallowed(cluster: ProxiedCluster, edges: list[Edge], draw: random.Random) -> Iterator[str]:
    def strike() -> None:
        whole = not stirring.strikes or draw.random() < 0.3
        for edge in edges if whole else draw.sample(edges, max(1, len(edges) // 3)):
            edge.swallow()

    before = _swallowed_bytes(edges)
    stirring = Stirring(strike, lambda: draw.uniform(1.0, 3.0))
    with stirring:
        yield f"connections among {len(edges)} directions forgotten without a word, every 1 to 3 s"
    wait_until(
        lambda: _swallowed_bytes(edges) > before, EFFECT_SECONDS, "bytes to be swallowed", []
    )


@fault("swallowed")
def _nodes_swallowed(cluster: ProxiedCluster, draw: random.Random) -> Iterator[str]:
    yield from _swallowed(cluster, cluster.peer_edges(), draw)


@fault("clients-swallowed")
def _clients_swallowed(cluster: ProxiedCluster, draw: random.Random) -> Iterator[str]:
    yield from _swallowed(cluster, cluster.client_edges(), draw)


@fault("silent-names")
def _silent_names(cluster: ProxiedCluster, draw: random.Random) -> Iterator[str]:
    """A node that starts meanwhile finds nobody, though the others know where it is."""
    names = cluster.naming
    if names is None:
        raise NodeTrouble("the nodes of this cluster have no names")
    victim = cluster.likely_leader() if draw.random() < 0.5 else draw.choice(cluster.nodes)
    before = names.asked
    names.forget()
    victim.kill()
    victim.start()
    for edge in cluster.peer_edges():
        edge.cut()
    yield f"the name server is silent, /etc/hosts empty; kill -9 and start of {victim.id}"
    names.know()
    if names.asked == before:
        raise NodeTrouble("nobody asked the silent name server: nothing was looked up")


@fault("hung-machine")
def _hung_machine(cluster: ProxiedCluster, draw: random.Random) -> Iterator[str]:
    able = [node for node in cluster.nodes if VARIABLE in node.environment]
    if not able:
        raise NodeTrouble("no node of this cluster has a machine that can hang")
    leader = cluster.likely_leader()
    node = leader if leader in able and draw.random() < 0.5 else draw.choice(able)
    path = Path(node.environment[VARIABLE])
    path.touch()
    try:
        yield f"apply of {node.id} hangs{' (leader)' if node is leader else ''}"
        _expect_behind(cluster, node)
    finally:
        path.unlink(missing_ok=True)


def _expect_behind(cluster: ProxiedCluster, node: Node) -> None:
    """It stands still, and knows of entries that it has not applied."""

    def applied() -> float:
        return node.metric("raftd_applied_index") or -1.0

    before = applied()
    time.sleep(0.3)
    still = applied()
    ahead = max(other.metric("raftd_commit_index") or -1.0 for other in cluster.alive())
    if still != before or still >= ahead:
        raise NodeTrouble(f"{node.id} applied on: {before:g}, {still:g} of {ahead:g}")
