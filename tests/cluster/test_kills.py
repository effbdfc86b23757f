"""kill -9, again and again, under load: nothing acknowledged is lost, nothing is done twice."""

from __future__ import annotations

import random
import time

import pytest

from scripts.nodes import Node
from tests.cluster.conftest import MakeCluster
from tests.cluster.harness import TINY_SNAPSHOTS, Cluster, Load

pytestmark = pytest.mark.cluster

CYCLES = 10
"""`python -m scripts.chaos kills` makes hundreds, under a checker."""
WRITERS = 8
ACKED_MIN = 5_000


@pytest.mark.timeout(300)
def test_kill_cycles_under_load(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(3, TINY_SNAPSHOTS).start()
    load = Load([cluster.client() for _ in range(WRITERS)]).start()
    draw = random.Random(20)
    leaders_killed = majorities_killed = 0
    for cycle in range(CYCLES):
        load.wait_more(400, 30, cluster.nodes)
        victims = _victims(cluster, cycle, draw)
        leaders_killed += cluster.leaders()[-1:] == victims[:1]
        majorities_killed += len(victims) > 1
        for node in victims:
            node.kill()
        if len(victims) == 1:
            load.wait_more(250, 30, cluster.nodes)  # enough that it comes back to a snapshot
        draw.shuffle(victims)
        for node in victims:
            node.start()
        cluster.wait_ready(victims)
    load.wait_more(max(200, ACKED_MIN - load.acked), 60, cluster.nodes)
    load.stop()
    _check(cluster, load, leaders_killed, majorities_killed)


def _victims(cluster: Cluster, cycle: int, draw: random.Random) -> list[Node]:
    """The leader in every third cycle, a majority with the leader in every sixth."""
    leader = cluster.leader()
    others = [node for node in cluster.nodes if node is not leader]
    if cycle % 6 == 5:
        return [leader, draw.choice(others)]
    return [leader] if cycle % 3 == 0 else [draw.choice(others)]


def _check(cluster: Cluster, load: Load, leaders: int, majorities: int) -> None:
    index = cluster.wait_level()
    counts = {load.check(cluster.client([node])) for node in cluster.nodes}
    assert len(counts) == 1, "the nodes differ"
    acked, happened = counts.pop()
    unknown = sum(len(book.unknown) for book in load.books)
    not_done = sum(len(book.not_done) for book in load.books)
    installed = cluster.events("snapshot_installed")
    taken = cluster.events("snapshot_taken")
    digests = cluster.digests()
    print(
        f"\nkill -9: {CYCLES} cycles, {leaders} of the leader, {majorities} of a majority at once\n"
        f"writes: {acked} acknowledged and found, {unknown} unknown ({happened} happened), "
        f"{not_done} certainly not done, 0 twice\n"
        f"snapshots: {taken} taken, {installed} installed; applied index {index}; "
        f"state {next(iter(digests.values())).hex()[:16]} on all nodes"
    )
    assert len(set(digests.values())) == 1, digests
    assert leaders >= 3
    assert majorities >= 1
    assert acked >= ACKED_MIN
    assert installed > 0


@pytest.mark.parametrize("order", [(2, 0, 1)])
def test_all_at_once_and_back_in_any_order(
    make_cluster: MakeCluster, order: tuple[int, ...]
) -> None:
    cluster = make_cluster(3, TINY_SNAPSHOTS).start()
    load = Load([cluster.client() for _ in range(4)]).start()
    load.wait_more(500, 20, cluster.nodes)
    for node in cluster.nodes:
        node.kill()
    for number in order:
        cluster.nodes[number].start()
        time.sleep(0.1)  # not a wait for anything: the order is the subject
    cluster.wait_ready(cluster.nodes)
    load.wait_more(200, 30, cluster.nodes)
    load.stop()
    cluster.wait_level()
    for node in cluster.nodes:
        load.check(cluster.client([node]))
    assert len(set(cluster.digests().values())) == 1


def test_single_node(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(1, TINY_SNAPSHOTS).start()
    load = Load([cluster.client() for _ in range(4)]).start()
    for _ in range(3):
        load.wait_more(300, 20, cluster.nodes)
        cluster.nodes[0].kill()
        cluster.nodes[0].start()
        cluster.wait_ready(cluster.nodes)
    load.wait_more(100, 20, cluster.nodes)
    load.stop()
    load.check(cluster.client())


@pytest.mark.soak
@pytest.mark.timeout(180)
def test_five_nodes_lose_two(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(5, TINY_SNAPSHOTS).start()
    load = Load([cluster.client() for _ in range(WRITERS)]).start()
    draw = random.Random(5)
    for _ in range(3):
        load.wait_more(300, 30, cluster.nodes)
        victims = [cluster.leader(), draw.choice(cluster.followers())]
        for node in victims:
            node.kill()
        load.wait_more(300, 30, cluster.nodes)
        for node in victims:
            node.start()
        cluster.wait_ready(victims)
    load.stop()
    cluster.wait_level()
    for node in cluster.nodes:
        load.check(cluster.client([node]))
    assert len(set(cluster.digests().values())) == 1


def test_orderly_stop_hands_over_and_loses_nothing(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(3, TINY_SNAPSHOTS).start()
    load = Load([cluster.client() for _ in range(4)]).start()
    for _ in range(3):
        load.wait_more(200, 20, cluster.nodes)
        leader, began = cluster.leader(), time.monotonic()
        assert leader.stop() == 0
        load.wait_more(200, 20, cluster.nodes)
        assert load.silence(began) < 2.0
        leader.start()
        cluster.wait_ready([leader])
    load.stop()
    cluster.wait_level()
    for node in cluster.nodes:
        load.check(cluster.client([node]))
    assert sum(len(book.unknown) for book in load.books) == 0
