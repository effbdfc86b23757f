"""Damage to what entries became on disk, and what a whole cluster makes of it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from raftd.core.types import Index, NodeId
from raftd.storage import framing, record
from raftd.storage.framing import BATCH_HEADER
from raftd.storage.record import RECORD, RecordType
from tests.storage.member import NAMES, Image, Ledger, disk_with
from tests.storage.trio import Trio

AFTER = b"after the damage"
"""The command that a restarted cluster must be able to commit, or is not available."""


class Place(NamedTuple):
    """Where one entry lies: alone in a batch of its own. end: of the batch, in bytes."""

    path: str
    offset: int
    end: int

    @property
    def payload(self) -> int:
        return self.offset + BATCH_HEADER.size + RECORD.size


class Base(NamedTuple):
    """A cluster at rest. ledger: all that it has acknowledged, and no less."""

    images: dict[NodeId, Image]
    ledger: Ledger
    segment_bytes: int


class Verdict(NamedTuple):
    """wrong: why it was not safe, empty if it was.

    available: a new entry was committed, and the old ones are all there.
    """

    available: bool
    wrong: tuple[str, ...]


def places_of(image: Image) -> dict[Index, Place]:
    """Every entry that is alone in its batch."""
    found = {}
    for path, data in image.items():
        if not path.endswith(".wal"):
            continue
        for batch in framing.find_batches(data, 0, len(data), None):
            start = batch.offset + BATCH_HEADER.size
            records = list(record.decode_records(data, start, batch.end))
            if len(records) == 1 and records[0].type == RecordType.ENTRY:
                found[records[0].position] = Place(path, batch.offset, batch.end)
    return found


def flipped(content: bytes, start: int, end: int, rng: random.Random) -> bytes:
    """One bit of it."""
    at = rng.randrange(start, end)
    return content[:at] + bytes((content[at] ^ (1 << rng.randrange(8)),)) + content[at + 1 :]


def replaced(content: bytes, start: int, new: bytes) -> bytes:
    return content[:start] + new + content[start + len(new) :]


def in_the_payload(content: bytes, place: Place, rng: random.Random) -> bytes:
    return flipped(content, place.payload, place.end, rng)


def in_any_way(content: bytes, place: Place, rng: random.Random) -> bytes:
    """A flip in a header or length field, zeros, noise, or the batch before in its place."""
    start, end = place.offset, place.end
    kind = rng.randrange(6)
    if kind == 0:
        return flipped(content, start, start + BATCH_HEADER.size, rng)
    if kind == 1:
        length = start + BATCH_HEADER.size + 4
        return replaced(content, length, rng.randbytes(3) + b"\x80")
    if kind == 2:
        return replaced(content, start, bytes(end - start))
    if kind == 3:
        return replaced(content, start, rng.randbytes(end - start))
    if kind == 4:
        return replaced(content, start, content[start - (end - start) : start])
    return replaced(content, place.payload - 8, bytes(end - place.payload + 8))


def run_cluster(
    images: Mapping[NodeId, Image],
    ledger: Ledger,
    order: Sequence[NodeId] = NAMES,
    segment_bytes: int = 4096,
) -> Verdict:
    """Restart with these directories (no others), try to commit and to read, then look."""
    disks = {name: disk_with(image) for name, image in images.items()}
    return judge(Trio(disks, ledger.copy(), order, segment_bytes))


def judge(trio: Trio, meanwhile: Callable[[Trio], None] = lambda trio: None) -> Verdict:
    """meanwhile: something that happens when all have started and nobody leads yet."""
    acknowledged = trio.ledger.state(max(trio.ledger.chosen))
    trio.start()
    meanwhile(trio)
    available = trio.commit(AFTER)
    wrong = trio.ledger.wrong
    served = trio.read() if available else None
    if available and served is None:
        wrong.append("it commits and does not answer a read")
    if served is not None and served != [*acknowledged, AFTER]:
        wrong.append(f"it serves {served}")
    if available:
        trio.run(lambda: False, 0.3)  # whoever is behind catches up, or does not
    for member in trio.up.values():
        if member.state != trio.ledger.state(member.applied):
            wrong.append(f"{member.name} has another state at {member.applied}")
    return Verdict(available and not wrong, tuple(wrong))


def masks() -> Iterator[tuple[int, int, int]]:
    """Every combination of damaged entries: bit i of a node's mask is its i-th entry."""
    for number in range(1 << 12):
        yield number & 15, number >> 4 & 15, number >> 8


def block(content: bytes, rng: random.Random) -> bytes:
    """A bit, a few bytes or a block of a file: flipped, zeros, noise, or from elsewhere in it."""
    used = max(1, len(content.rstrip(b"\0")))
    size = rng.choice((1, 16, 64, 512))
    reach = used if rng.random() < 0.8 else len(content)
    start = rng.randrange(reach) // size * size
    size = min(size, len(content) - start)
    kind = rng.randrange(4)
    if kind == 0:
        return flipped(content, start, start + size, rng)
    if kind == 1:
        return replaced(content, start, bytes(size))
    if kind == 2:
        return replaced(content, start, rng.randbytes(size))
    source = rng.randrange(used) // size * size
    return replaced(content, start, content[source : source + size])
