"""Random damage to whole clusters with a past: nothing acknowledged is lost, or served otherwise.

Where a majority of nodes has lost the end of its log, beyond what anything on disk could still
prove, an acknowledged entry can be lost; such cases are told apart exactly, and counted.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import NamedTuple

import pytest

from raftd.core.types import Entry, NodeId, Recovered
from raftd.storage.errors import StorageError
from raftd.storage.framing import MARK, Proof, find_batches, find_proofs
from tests.conftest import Count
from tests.storage.aged import Aged
from tests.storage.corruption import Base, Verdict, block, judge, replaced
from tests.storage.member import NAMES, Image, disk_with, opened
from tests.storage.memory_fs import MemoryFileSystem, Operation
from tests.storage.trio import Trio

pytestmark = pytest.mark.long
TIMES = 10 if os.environ.get("RAFTD_SOAK") else 1
BASES = 24
OUTCOMES = (
    "clusters",
    "available",
    "unsafe",
    "nodes damaged",
    "refuse to start",
    "unharmed",
    "drop a tail that nothing proves",
    "clusters whose majority did that to an acknowledged entry",
    "of them lost it",
)
HEAD_BYTES = 32
"""Of a batch: what its own checksum covers, and that checksum."""
UNREADABLE = b"unreadable"
"""In the place of a file's content: the device gives an error."""


@cache
def base_of(number: int, behind: bool) -> Base:
    return Aged(number, behind=behind).base()


def disk_with_errors(image: Image) -> MemoryFileSystem:
    fs = disk_with(image)
    bad = {path for path, content in image.items() if content is UNREADABLE}

    def hook(operation: Operation) -> None:
        if operation.name == "read" and operation.path in bad:
            raise OSError(5, "injected", operation.path)

    if bad:
        fs.before = hook
    return fs


class Looked:
    """What one node's recovery makes of a directory. None: it refuses."""

    def __init__(self, name: NodeId, image: Image, base: Base) -> None:
        self.found: Recovered | None = None
        self.why = ""
        try:
            self.found = opened(disk_with_errors(image), name, base.segment_bytes).recover()
        except (StorageError, OSError) as error:
            self.why = type(error).__name__

    def lacks(self, entry: Entry) -> bool:
        """Whether it takes part without this entry."""
        found = self.found
        if found is None or (found.snapshot is not None and entry.index <= found.snapshot.index):
            return False
        return entry not in found.entries


@cache
def undamaged(number: int, behind: bool, name: NodeId) -> Looked:
    base = base_of(number, behind)
    return Looked(name, base.images[name], base)


def same(found: Recovered, state: Recovered) -> bool:
    """Entries that the snapshot covers may be missing in front: a whole segment of them was."""
    floor = 0 if state.snapshot is None else state.snapshot.index
    kept = tuple(entry for entry in state.entries if entry.index > floor)
    covered = len(found.entries) - len(kept)
    first = found.entries[0].index if found.entries else 0
    return (
        replace(found, entries=()) == replace(state, entries=())
        and covered >= 0
        and found.entries[covered:] == kept
        and found.entries[:covered] == tuple(e for e in state.entries if first <= e.index <= floor)
    )


class Earlier(NamedTuple):
    """What a node finds that drops its last segment from some batch on.

    proofs: where that lies which says that this batch was synced; start, end.
    """

    state: Recovered
    path: str
    proofs: tuple[tuple[int, int], ...]

    def permitted(self, image: Image, whole: Image) -> bool:
        """Whether no proof is left. Judged by the bytes, not by what storage makes of them."""
        now, before = image.get(self.path, b""), whole[self.path]
        return all(now[start:end] != before[start:end] for start, end in self.proofs)


def proofs_in(content: bytes) -> list[Proof]:
    owner = int.from_bytes(content[16:24], "little")  # as its header says
    return list(find_proofs(content, 0, len(content), owner))


@cache
def earlier_states(number: int, behind: bool, name: NodeId) -> list[Earlier]:
    """All that a dropped tail may leave; nothing dropped comes first."""
    base = base_of(number, behind)
    image = base.images[name]
    path = max(path for path in image if path.endswith(".wal"))
    content = image[path]
    batches = sorted(find_batches(content, 0, len(content), None), key=lambda one: one.sequence)
    marks = [proof for proof in proofs_in(content) if proof.what == "a mark"]
    whole = undamaged(number, behind, name).found
    assert whole is not None
    found = [Earlier(whole, path, ())]
    for place, batch in enumerate(batches):
        gone = [(one.offset, one.end) for one in batches[place:]]
        cut = content
        for start, end in [*gone, *((one.offset, one.offset + MARK.size) for one in marks)]:
            cut = replaced(cut, start, bytes(end - start))
        state = Looked(name, {**image, path: cut}, base).found
        heads = [(one.offset, one.offset + HEAD_BYTES) for one in batches[place + 1 :]]
        heads += [
            (one.offset, one.offset + MARK.size)
            for one in marks
            if one.synced_before > batch.sequence
        ]
        if state is not None:
            found.append(Earlier(state, path, tuple(heads)))
    return found


@cache
def with_only(number: int, behind: bool, up: frozenset[NodeId]) -> Verdict:
    """These nodes, undamaged, without the others."""
    base = base_of(number, behind)
    return verdict_on(base, number, {name: base.images[name] for name in sorted(up)})


def verdict_on(
    base: Base,
    number: int,
    images: dict[NodeId, Image],
    meanwhile: Callable[[Trio], None] = lambda trio: None,
) -> Verdict:
    disks = {name: disk_with_errors(image) for name, image in images.items()}
    order = NAMES[number % 3 :] + NAMES[: number % 3]
    return judge(Trio(disks, base.ledger.copy(), order, base.segment_bytes), meanwhile)


def damaged(image: Image, others: list[Image], paths: list[str], rng: random.Random) -> Image:
    """One of these files: a block of it, or the whole file missing, cut, foreign, unreadable."""
    files = dict(image)
    path = rng.choice(paths)
    content = files[path]
    kind = rng.randrange(20)
    if not content or content is UNREADABLE:
        return files
    if kind == 0:
        del files[path]
    elif kind == 1:
        files[path] = content[: rng.randrange(len(content))]
    elif kind == 2:
        files[path] = rng.choice(others).get(path, b"")
    elif kind <= 4:
        files[path] = UNREADABLE
    else:
        files[path] = block(content, rng)
    return files


def data_files(image: Image) -> list[str]:
    return sorted(path for path in image if not path.endswith("/lock"))


def snapshot_files(image: Image) -> list[str]:
    return sorted(path for path in image if path.endswith(".snap"))


class Campaign:
    """Random cases over clusters with a past, and what came of them."""

    def __init__(self, behind: bool) -> None:
        self.behind = behind
        self.counts = dict.fromkeys(OUTCOMES, 0)

    def case(self, number: int, images: dict[NodeId, Image]) -> None:
        """`images`: of all three; those of undamaged nodes are the base's own."""
        base = base_of(number, self.behind)
        looked = {name: undamaged(number, self.behind, name) for name in NAMES}
        for name, image in images.items():
            if image is not base.images[name]:
                looked[name] = Looked(name, image, base)
                self._look(number, name, image, looked[name])
        starting = {name: images[name] for name in NAMES if looked[name].found is not None}
        if all(image is base.images[name] for name, image in starting.items()):
            verdict = with_only(number, self.behind, frozenset(starting))
        else:
            verdict = verdict_on(base, number, starting)
        self.note(verdict, self._majority_lacks(base, looked))

    def note(self, verdict: Verdict, majority_lacks: bool = False) -> None:
        self.counts["clusters"] += 1
        self.counts["available"] += verdict.available
        self.counts["clusters whose majority did that to an acknowledged entry"] += majority_lacks
        if verdict.wrong:
            assert majority_lacks, verdict.wrong
            self.counts["of them lost it"] += 1

    def _look(self, number: int, name: NodeId, image: Image, node: Looked) -> None:
        """A damaged directory is refused, unharmed, or loses a tail that nothing there proves."""
        whole = base_of(number, self.behind).images[name]
        earlier = earlier_states(number, self.behind, name)
        self.counts["nodes damaged"] += 1
        if node.found is None:
            self.counts["refuse to start"] += 1
        elif same(node.found, earlier[0].state):
            self.counts["unharmed"] += 1
        else:
            permitted = [one.state for one in earlier if one.permitted(image, whole)]
            assert any(same(node.found, state) for state in permitted), "it dropped proven entries"
            self.counts["drop a tail that nothing proves"] += 1

    def _majority_lacks(self, base: Base, looked: dict[NodeId, Looked]) -> bool:
        """Some acknowledged entry, of those that take part."""
        return any(
            sum(node.lacks(entry) for node in looked.values()) >= 2
            for entry in base.ledger.chosen.values()
        )

    def report(self, count: Count, what: str) -> None:
        for name, number in self.counts.items():
            if number or name == "unsafe":
                count(f"{what}: {name}", number)


@pytest.mark.parametrize("thousand", range(5 if TIMES > 1 else 2))
def test_random_blocks(thousand: int, count: Count) -> None:
    campaign = Campaign(behind=False)
    for seed in range(thousand * 1000 * TIMES, (thousand + 1) * 1000 * TIMES):
        rng = random.Random(seed)
        number = rng.randrange(BASES)
        images = dict(base_of(number, False).images)
        for name in rng.sample(NAMES, rng.choice((1, 2, 2, 3))):
            others = [image for other, image in images.items() if other != name]
            for _ in range(rng.choice((1, 1, 2))):
                images[name] = damaged(images[name], others, data_files(images[name]), rng)
        campaign.case(number, images)
    campaign.report(count, "random blocks")


def test_a_node_is_behind_or_has_entries_of_its_own(count: Count) -> None:
    campaign = Campaign(behind=True)
    for seed in range(1000 * TIMES):
        rng = random.Random(seed)
        number = rng.randrange(BASES)
        images = dict(base_of(number, True).images)
        for name in rng.sample(NAMES, rng.choice((0, 1, 1, 2))):
            others = [image for other, image in images.items() if other != name]
            images[name] = damaged(images[name], others, data_files(images[name]), rng)
        campaign.case(number, images)
    campaign.report(count, "a node is behind")


@pytest.mark.parametrize("running", [False, True], ids=["at rest", "running"])
def test_snapshots(running: bool, count: Count) -> None:
    """While it runs: before a node that is behind asks for it."""
    campaign = Campaign(behind=True)
    for seed in range(500 * TIMES):
        rng = random.Random(seed)
        number = rng.randrange(BASES)
        base = base_of(number, True)
        images = dict(base.images)
        for name, image in base.images.items():
            if (paths := snapshot_files(image)) and rng.random() < 0.7:
                others = [image for other, image in images.items() if other != name]
                images[name] = damaged(image, others, paths, rng)
        if running:
            campaign.note(verdict_on(base, number, dict(base.images), becoming(images)))
        else:
            campaign.case(number, images)
    campaign.report(count, "snapshots of running nodes" if running else "snapshots")


def becoming(images: dict[NodeId, Image]) -> Callable[[Trio], None]:
    """The snapshots change under the running nodes."""

    def change(trio: Trio) -> None:
        for name, image in images.items():
            fs = trio.disks[name]
            for path in snapshot_files(fs.files()):
                if path not in image:
                    fs.remove(path)
                elif image[path] != fs.files()[path]:
                    fs.put(path, image[path])

    return change
