"""Four acknowledged entries on three nodes, each intact or damaged: all 4,096 clusters.

The matrix is that of "Protocol-Aware Recovery for Consensus-Based Storage" (FAST 2018). Asked of
each cluster after a restart: is it safe (nothing acknowledged is missing or another), and is it
available (it elects, commits a new entry, and serves it beside the old ones)?
"""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import permutations
from typing import NamedTuple

import pytest

from raftd.core.types import NodeId
from raftd.storage import recovery
from raftd.storage.errors import CorruptLog
from tests.conftest import Count
from tests.storage.corruption import (
    Base,
    Place,
    in_any_way,
    in_the_payload,
    masks,
    places_of,
    run_cluster,
)
from tests.storage.member import NAMES, Image, Ledger, disk_with, opened
from tests.storage.memory_fs import MemoryFileSystem
from tests.storage.trio import Trio

ENTRIES = (2, 3, 4, 5)
"""Entry 1 is the leader's own, of its election."""
ORDERS = tuple(permutations(NAMES))
CLEAN = 0
LAST = 0b1000
"""Damage to the last entry alone. Any other is proven by the header of a later batch."""

Damage = Callable[[bytes, Place, random.Random], bytes]
Masks = tuple[int, int, int]


def four_entries(idle: bool) -> Base:
    """A cluster that has acknowledged four commands, all of them durable on all three nodes.

    idle: it was left alone for 10 ms, so something on each disk says that the last was synced.
    """
    trio = Trio({name: MemoryFileSystem() for name in NAMES}, Ledger())
    trio.start()
    for number in range(4):
        assert trio.commit(b"command %d" % number, copies=3)
    if idle:
        trio.idle()
    trio.kill()
    images: dict[NodeId, Image] = {name: trio.disks[name].files() for name in NAMES}
    assert all(set(ENTRIES) <= set(places_of(image)) for image in images.values())
    return Base(images, trio.ledger, trio.segment_bytes)


class Node(NamedTuple):
    """One of the 16 directories of a node. last: the end of its log, None: it refuses to start."""

    image: Image
    last: int | None


def damaged_nodes(base: Base, damage: Damage, seed: int) -> dict[tuple[NodeId, int], Node]:
    found = {}
    for name in NAMES:
        places = places_of(base.images[name])
        for mask in range(16):
            rng = random.Random(f"{seed} {name} {mask}")
            exact = damage is in_the_payload
            files = dict(base.images[name])
            for bit, index in enumerate(ENTRIES):
                if mask >> bit & 1:
                    place = places[index]
                    files[place.path] = damage(files[place.path], place, rng)
            found[name, mask] = Node(files, last_index(name, files, places, mask, exact))
    return found


def last_index(
    name: NodeId, image: Image, places: dict[int, Place], mask: int, exact: bool
) -> int | None:
    """Start the node by itself; its refusal must name file, offset and index of the first damage.

    (A damaged entry 2 is found after entry 1, and so on.)
    """
    fs = disk_with(image)
    directory = opened(fs, name, 4096)
    before = fs.files()
    try:
        return directory.recover().entries[-1].index
    except CorruptLog as error:
        refusal = error
    first = ENTRIES[(mask & -mask).bit_length() - 1]
    assert refusal.path == places[first].path
    if exact:  # of a batch that is all zeros only the lane is known
        assert refusal.offset == places[first].offset
    assert refusal.index == first - 1
    assert fs.files() == before, "a refusal changes nothing"
    return None


class Tally:
    """Which of the clusters came out how."""

    def __init__(self) -> None:
        self.available: set[Masks] = set()
        self.lost: set[Masks] = set()
        self.refused_nodes = 0


def run_matrix(base: Base, nodes: dict[tuple[NodeId, int], Node], seed: int) -> Tally:
    tally, rng = Tally(), random.Random(seed)
    for combination in masks():
        images = images_of(nodes, combination)
        tally.refused_nodes += len(NAMES) - len(images)
        verdict = run_cluster(images, base.ledger, rng.choice(ORDERS))
        if verdict.available:
            tally.available.add(combination)
        if verdict.wrong:
            tally.lost.add(combination)
    return tally


def images_of(nodes: dict[tuple[NodeId, int], Node], combination: Masks) -> dict[NodeId, Image]:
    """The directories of those that start."""
    chosen = {name: nodes[name, mask] for name, mask in zip(NAMES, combination)}
    return {name: node.image for name, node in chosen.items() if node.last is not None}


def clean_majority(combination: Masks) -> bool:
    return combination.count(CLEAN) >= 2


def every_entry_somewhere(combination: Masks) -> bool:
    """What a repair from other nodes could bring back."""
    one, two, three = combination
    return one & two & three == 0


@pytest.mark.parametrize(
    ("damage", "what"), [(in_the_payload, "bit flips"), (in_any_way, "all sorts")]
)
def test_every_combination_is_safe(damage: Damage, what: str, count: Count) -> None:
    base = four_entries(idle=True)
    nodes = damaged_nodes(base, damage, seed=1)
    assert {key[1] for key, node in nodes.items() if node.last is not None} == {CLEAN}
    tally = run_matrix(base, nodes, seed=2)
    assert tally.lost == set()
    assert tally.available == set(filter(clean_majority, masks()))
    assert (len(tally.available), tally.refused_nodes) == (46, 11_520)
    assert sum(map(every_entry_somewhere, masks())) == 2401
    count(f"matrix, {what}: clusters", 1 << 12)
    count(f"matrix, {what}: available", len(tally.available))
    count(f"matrix, {what}: unsafe", len(tally.lost))


def dropped(combination: Masks) -> int:
    """Nodes that take the damage to their last entry for a torn write."""
    return combination.count(LAST)


CAN_LOSE = frozenset(combination for combination in masks() if dropped(combination) >= 2)
UNDECIDED = frozenset(combination for combination in CAN_LOSE if CLEAN in combination)


def unmarked_nodes(base: Base) -> dict[tuple[NodeId, int], Node]:
    """Before anything says that the last entry was synced, its damage looks like a torn write."""
    nodes = damaged_nodes(base, in_the_payload, seed=3)
    assert {key[1] for key, node in nodes.items() if node.last is not None} == {CLEAN, LAST}
    assert all(nodes[name, LAST].last == 4 for name in NAMES)
    return nodes


@pytest.mark.long
def test_what_can_be_lost_in_the_first_ten_milliseconds(count: Count) -> None:
    """A node drops its last batch if that alone is bad; a cluster loses it where two do so."""
    base = four_entries(idle=False)
    tally = run_matrix(base, unmarked_nodes(base), seed=4)
    assert CAN_LOSE - UNDECIDED <= tally.lost <= CAN_LOSE
    safe = tally.available - CAN_LOSE
    assert (len(CAN_LOSE), len(safe)) == (46, 130)
    count("matrix, last entry not marked as synced: clusters", 1 << 12)
    count("matrix, last entry not marked as synced: available", len(safe))
    count("matrix, last entry not marked as synced: lost it, a majority of nodes", len(CAN_LOSE))
    count("matrix, last entry not marked as synced: unsafe otherwise", len(tally.lost - CAN_LOSE))


@pytest.mark.long
def test_what_can_be_lost_if_the_headers_go_too(count: Count) -> None:
    """Whatever is left of the last batches then, a node drops nothing that anything proves."""
    base = four_entries(idle=False)
    nodes = damaged_nodes(base, in_any_way, seed=7)
    drops = {key for key, node in nodes.items() if node.last is not None and node.last < 5}
    assert {mask for _, mask in drops} <= {0b1000, 0b1100, 0b1110, 0b1111}
    tally = run_matrix(base, nodes, seed=8)
    can_lose = {
        combination
        for combination in masks()
        if sum(key in drops for key in zip(NAMES, combination)) >= 2
    }
    assert tally.lost <= can_lose
    what = "matrix, not marked, headers too"
    count(f"{what}: clusters", 1 << 12)
    count(f"{what}: available", len(tally.available - can_lose))
    count(f"{what}: where a majority dropped it", len(can_lose))
    count(f"{what}: of them lost it", len(tally.lost))


def test_who_campaigns_first_decides_where_one_of_three_still_has_it() -> None:
    """The one that has it keeps it for all if it is the first; else the two may not ask it."""
    base = four_entries(idle=False)
    nodes = unmarked_nodes(base)
    assert len(UNDECIDED) == 3
    for combination in UNDECIDED:
        images = images_of(nodes, combination)
        verdicts = {order: run_cluster(images, base.ledger, order) for order in ORDERS}
        lost = {order for order, verdict in verdicts.items() if verdict.wrong}
        assert lost == {order for order, verdict in verdicts.items() if not verdict.available}
        assert lost, "two that dropped it are a majority"
        assert not any(combination[NAMES.index(first)] == CLEAN for first, *_ in lost)


def test_cutting_the_log_at_damage_would_lose_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """The matrix with the mistake it is for, on a part of it: it must notice."""

    monkeypatch.setattr(recovery._Reader, "_refuse_proven", lambda *of: None)
    base = four_entries(idle=True)
    nodes = damaged_nodes(base, in_the_payload, seed=5)
    assert all(node.last is not None for node in nodes.values())
    lost = 0
    for mask in range(1, 16):
        combination = {"n1": mask, "n2": mask, "n3": CLEAN}
        images = {name: nodes[name, of].image for name, of in combination.items()}
        lost += bool(run_cluster(images, base.ledger).wrong)
    assert lost == 15
