"""What is done to a cluster: each fault begins, says in a few words what it did, holds, and ends.

A fault leaves every process running again or to be started by `start_all`, and every edge open.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import combinations

from harness.nodes import Node, wait_until
from harness.proxied import ProxiedCluster
from harness.proxy import Delay
from tests.chaos.stirring import Stirring

Begin = Callable[[ProxiedCluster, random.Random], AbstractContextManager[str]]
FAULTS: dict[str, Begin] = {}
READY_SECONDS = 30.0


def names(nodes: Iterable[Node]) -> str:
    return ",".join(node.id for node in nodes)


def fault(name: str) -> Callable[[Callable[[ProxiedCluster, random.Random], Iterator[str]]], Begin]:
    def keep(begin: Callable[[ProxiedCluster, random.Random], Iterator[str]]) -> Begin:
        FAULTS[name] = made = contextmanager(begin)
        return made

    return keep


# -- processes ------------------------------------------------------------------------------------


def _killed(cluster: ProxiedCluster, victims: list[Node]) -> Iterator[str]:
    for node in victims:
        node.kill()
    yield f"kill -9 {names(victims)}"
    cluster.start_all()


@fault("kill-leader")
def _kill_leader(cluster: ProxiedCluster, draw: random.Random) -> Iterator[str]:
    yield from _killed(cluster, [cluster.likely_leader()])


@fault("kill-minority")
def _kill_minority(cluster: ProxiedCluster, draw: random.Random) -> Iterator[str]:
    most = (len(cluster.nodes) - 1) // 2
    yield from _killed(cluster, draw.sample(cluster.nodes, draw.randint(1, most)))


@fault("kill-majority")
def _kill_majority(cluster: ProxiedCluster, draw: random.Random) -> Iterator[str]:
    yield from _killed(cluster, draw.sample(cluster.nodes, len(cluster.nodes) // 2 + 1))


@fault("kill-all")
def _kill_all(cluster: ProxiedCluster, draw: random.Random) -> Iterator[str]:
    yield from _killed(cluster, list(cluster.nodes))


@fault("restart-storm")
def _storm(cluster: ProxiedCluster, draw: random.Random) -> Iterator[str]:
    def strike() -> None:
        node = draw.choice(cluster.nodes)
        node.kill()
        node.start()

    with Stirring(strike, lambda: draw.uniform(0.1, 1.0)):
        yield "kill -9 and start of any node every 0.1 to 1 s"


@fault("orderly-restarts")
def _orderly(cluster: ProxiedCluster, draw: random.Random) -> Iterator[str]:
    nodes = [cluster.likely_leader(), *draw.sample(cluster.nodes, len(cluster.nodes))]

    def strike() -> None:
        node = nodes.pop(0) if nodes else draw.choice(cluster.nodes)
        if node.pid() is not None:
            node.stop()
        node.start()
        wait_until(node.ready, READY_SECONDS, f"{node.id} to serve again", [node])

    with Stirring(strike, lambda: 0.2):
        yield "SIGTERM, start, wait until it serves; one node after the other, the leader first"


def _paused(victims: list[Node]) -> Iterator[str]:
    for node in victims:
        node.pause()
    yield f"SIGSTOP {names(victims)}"
    for node in victims:
        node.resume()


@fault("pause-leader")
def _pause_leader(cluster: ProxiedCluster, draw: random.Random) -> Iterator[str]:
    yield from _paused([cluster.likely_leader()])


@fault("pause-some")
def _pause_some(cluster: ProxiedCluster, draw: random.Random) -> Iterator[str]:
    yield from _paused(draw.sample(cluster.nodes, draw.randint(1, len(cluster.nodes))))


@fault("blink")
def _blink(cluster: ProxiedCluster, draw: random.Random) -> Iterator[str]:
    def strike() -> None:
        node = cluster.likely_leader() if draw.random() < 0.5 else draw.choice(cluster.nodes)
        node.pause()
        stirring.wait(draw.uniform(0.2, 1.8))
        node.resume()

    stirring = Stirring(strike, lambda: draw.uniform(0.1, 0.6))
    with stirring:
        yield "SIGSTOP of some node, often the leader, for 0.2 to 1.8 s, again and again"
    for node in cluster.nodes:
        node.resume()


# -- networks -------------------------------------------------------------------------------------


def _apart(cluster: ProxiedCluster, draw: random.Random, left: list[Node]) -> Iterator[str]:
    right = [node for node in cluster.nodes if node not in left]
    cluster.connected([*combinations(left, 2), *combinations(right, 2)])
    yield f"partition {names(left)} | {names(right)}"
    cluster.heal(cut=draw.random() < 0.5)


@fault("isolate-leader")
def _isolate(cluster: ProxiedCluster, draw: random.Random) -> Iterator[str]:
    yield from _apart(cluster, draw, [cluster.likely_leader()])


@fault("split")
def _split(cluster: ProxiedCluster, draw: random.Random) -> Iterator[str]:
    size = (len(cluster.nodes) - 1) // 2
    leader = cluster.likely_leader()
    others = [node for node in cluster.nodes if node is not leader]
    yield from _apart(cluster, draw, [leader, *draw.sample(others, max(0, size - 1))])


@fault("shatter")
def _shatter(cluster: ProxiedCluster, draw: random.Random) -> Iterator[str]:
    cluster.connected([])
    yield "nobody reaches anybody"
    cluster.heal(cut=draw.random() < 0.5)


@fault("bridge")
def _bridge(cluster: ProxiedCluster, draw: random.Random) -> Iterator[str]:
    nodes = draw.sample(cluster.nodes, len(cluster.nodes))
    middle, rest = nodes[0], nodes[1:]
    left, right = rest[: len(rest) // 2], rest[len(rest) // 2 :]
    cluster.connected([*combinations([middle, *left], 2), *combinations([middle, *right], 2)])
    yield f"only {middle.id} reaches both {names(left)} and {names(right)}"
    cluster.heal(cut=draw.random() < 0.5)


@fault("majorities-ring")
def _ring(cluster: ProxiedCluster, draw: random.Random) -> Iterator[str]:
    nodes = draw.sample(cluster.nodes, len(cluster.nodes))
    reach = len(nodes) // 4 or 1
    pairs = [
        (node, nodes[(at + step) % len(nodes)])
        for at, node in enumerate(nodes)
        for step in range(1, reach + 1)
    ]
    if len(nodes) <= 3:
        pairs = pairs[:2]  # a ring of three is whole
    cluster.connected(pairs)
    yield f"each sees another majority, in a ring {names(nodes)}"
    cluster.heal(cut=draw.random() < 0.5)


@fault("one-way")
def _one_way(cluster: ProxiedCluster, draw: random.Random) -> Iterator[str]:
    leader, deaf = cluster.likely_leader(), draw.random() < 0.5
    for edge in cluster.peer_edges():
        if leader.id == (edge.target if deaf else edge.source):
            edge.block()
    yield f"{leader.id} (leader) {'is called by nobody' if deaf else 'reaches nobody'}"
    cluster.heal(cut=draw.random() < 0.5)


@fault("holes")
def _holes(cluster: ProxiedCluster, draw: random.Random) -> Iterator[str]:
    edges = draw.sample(cluster.peer_edges(), max(2, len(cluster.peer_edges()) // 3))
    for edge in edges:
        edge.block()
    yield f"{len(edges)} of {len(cluster.peer_edges())} directions blocked"
    cluster.heal(cut=draw.random() < 0.5)


@fault("flapping")
def _flapping(cluster: ProxiedCluster, draw: random.Random) -> Iterator[str]:
    def strike() -> None:
        node = cluster.likely_leader() if draw.random() < 0.5 else draw.choice(cluster.nodes)
        for edge in cluster.peer_edges():
            if node.id in (edge.source, edge.target):
                edge.block()
        stirring.wait(draw.uniform(0.3, 1.6))
        cluster.heal(cut=draw.random() < 0.5)

    stirring = Stirring(strike, lambda: draw.uniform(0.1, 0.8))
    with stirring:
        yield "links of one node, often the leader, down for 0.3 to 1.6 s, again and again"
    cluster.heal()


@fault("delay")
def _delay(cluster: ProxiedCluster, draw: random.Random) -> Iterator[str]:
    seconds = draw.choice((0.01, 0.04, 0.1, 0.3))
    for edge in cluster.peer_edges():
        edge.slow(Delay(seconds, seconds / 2))
    yield f"{seconds * 1000:.0f} ms on every way between nodes, give or take half"
    cluster.heal()


@fault("slow-leader")
def _slow_leader(cluster: ProxiedCluster, draw: random.Random) -> Iterator[str]:
    leader, seconds = cluster.likely_leader(), draw.uniform(0.2, 1.2)
    for edge in cluster.peer_edges():
        if leader.id in (edge.source, edge.target):
            edge.slow(Delay(seconds, seconds / 3))
    yield f"{seconds:.2f} s to and from {leader.id} (leader)"
    cluster.heal()


@fault("cuts")
def _cuts(cluster: ProxiedCluster, draw: random.Random) -> Iterator[str]:
    def strike() -> None:
        edges = cluster.peer_edges() + cluster.client_edges()
        for edge in draw.sample(edges, len(edges) // 3):
            edge.cut(draw.choice((0, 1, draw.randrange(2, 3000))))

    with Stirring(strike, lambda: draw.uniform(0.1, 0.5)):
        yield "connections cut, also in the middle of messages, every 0.1 to 0.5 s"


@fault("clients-cut")
def _clients_cut(cluster: ProxiedCluster, draw: random.Random) -> Iterator[str]:
    def strike() -> None:
        for edge in cluster.client_edges():
            if draw.random() < 0.6:
                edge.cut(draw.choice((0, 1, draw.randrange(2, 2000))))

    with Stirring(strike, lambda: draw.uniform(0.05, 0.3)):
        yield "clients' connections cut, also in the middle of answers, every 0.05 to 0.3 s"


@fault("clients-cut-off")
def _clients_off(cluster: ProxiedCluster, draw: random.Random) -> Iterator[str]:
    leader = cluster.likely_leader()
    for edge in cluster.client_edges():
        if edge.target == leader.id:
            edge.block()
    yield f"clients do not reach {leader.id} (leader)"
    cluster.heal(cut=draw.random() < 0.5)


# -- more than one --------------------------------------------------------------------------------

_PROCESSES = ("kill-leader", "kill-minority", "pause-leader", "pause-some", "blink")
_NETWORKS = ("isolate-leader", "split", "bridge", "one-way", "holes", "delay", "cuts")


@fault("two-at-once")
def _two(cluster: ProxiedCluster, draw: random.Random) -> Iterator[str]:
    first, second = draw.choice(_PROCESSES), draw.choice(_NETWORKS)
    with FAULTS[second](cluster, draw) as network, FAULTS[first](cluster, draw) as process:
        yield f"{process}; {network}"
