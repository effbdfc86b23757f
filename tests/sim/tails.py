"""The end of a log goes bad at rest, where nothing on that disk says that it was synced.

A recovery takes it for a torn write, and the node comes back without what it had acknowledged. That
is physics (docs/proof.md, "Disks"); the rules hold all the same as long as a majority of the others
has on its disks what goes, so it goes only then. What must follow is that the node gets it again.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from raftd.core.types import Recovered
from raftd.storage.errors import StorageError
from raftd.storage.framing import find_batches
from raftd.storage.recovery import read_whole
from raftd.storage.segment import segment_name, segment_numbers
from tests.sim.stores import ROOT, DiskImage

if TYPE_CHECKING:
    from tests.sim.node import Node


def lose(node: Node) -> bool:
    """A bit of the last batch on the disk of this node, which has just died, is another one."""
    image, rng = node.image, node.disk.rng
    path = f"{ROOT}/{segment_name(segment_numbers(image.fs.listdir(ROOT))[-1])}"
    data = read_whole(image.fs, path)
    held = [batch for batch in find_batches(data, 0, len(data), None) if not batch.idle]
    if not held:
        return False
    batch = max(held, key=lambda each: each.sequence)
    place = rng.randrange(batch.offset, batch.end)
    changed = bytes([data[place] ^ (1 << rng.randrange(8))])
    found = _found_with(node, path, place, changed)
    if found is None or not node.cluster.checkers.tail_may_go(node.name, found):
        return False
    image.fs.poke(path, place, changed)
    return True


def _found_with(node: Node, path: str, place: int, changed: bytes) -> Recovered | None:
    """What a recovery finds then; None: it refuses, since something proves the batch."""
    other = DiskImage(random.Random(0))
    other.fs = node.image.fs.clone()
    other.fs.poke(path, place, changed)
    try:
        cluster = node.cluster
        opened = other.open_directory(cluster.cluster_id, node.name, cluster.plan.segment_bytes)
        return opened.recover()
    except StorageError:
        return None
