"""What answers tell of revisions that nobody owns up to, and what they make likely."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from typing import Final

from raftd.check.cells import Cell, Changes
from raftd.check.operations import BATCH, CAS, DELETE, GET, PUT, Item, Op

NEEDED: Final = 0
NEUTRAL: Final = 1
UNLIKELY: Final = 2
ELSEWHERE: Final = 3
"""What it wrote was seen, but of another revision."""


class Anchors:
    """Per revision what was seen of it; per key the versions that are known, by revision."""

    def __init__(self, known: Sequence[Op], writer: Mapping[int, Op]) -> None:
        self._seen: dict[int, dict[bytes, Item]] = {}
        self._witnesses: dict[int, Op] = {}
        self._gone: dict[int, list[bytes]] = {}
        self._revision_of: dict[tuple[bytes, bytes], int] = {}
        versions: dict[bytes, dict[int, int]] = {}
        told = any(_tells_version(op) for op in known)
        pinned: dict[bytes, set[int]] = {}
        self._pinned_by_write: set[tuple[bytes, int]] = set()
        for op in known:
            for key in _settled_by(op, told):
                pinned.setdefault(key, set()).add(op.level)
                if writer.get(op.revision or 0) is op:
                    self._pinned_by_write.add((key, op.revision or 0))
            if op.kind == GET and op.done and op.found is None:
                self._gone.setdefault(op.level, []).append(op.key)
            for key, item in shown_by(op):
                if item is None:
                    versions.setdefault(key, {}).setdefault(op.level, 0)
                elif item.mod_revision is not None:
                    if item.version is not None:
                        versions.setdefault(key, {})[item.mod_revision] = item.version
                    if item.mod_revision not in writer:
                        self._saw(key, item, item.mod_revision, op)
            for key, version in _made_by(op):
                versions.setdefault(key, {})[op.revision or 0] = version
        self._versions = {key: sorted(known.items()) for key, known in versions.items()}
        self._pinned = {key: sorted(known) for key, known in pinned.items()}

    def _saw(self, key: bytes, item: Item, revision: int, op: Op) -> None:
        self._seen.setdefault(revision, {}).setdefault(key, item)
        self._witnesses.setdefault(revision, op)
        if item.value is not None:
            self._revision_of.setdefault((key, item.value), revision)

    def gone_at(self, revision: int) -> Sequence[bytes]:
        """Keys that watchers saw deleted at this revision."""
        return self._gone.get(revision, ())

    def seen_at(self, revision: int) -> Mapping[bytes, Item]:
        """Keys that answers showed as last put at this revision, which no answer made."""
        return self._seen.get(revision, {})

    def pinned_below(self, key: bytes, revision: int, start: int) -> int:
        """The last revision before this one at which an answer told all about the key."""
        known = self._pinned.get(key, [])
        at = bisect_left(known, revision)
        return known[at - 1] if at else start

    def is_pinned_by_write(self, key: bytes, revision: int) -> bool:
        """The write that made this revision was told all about the key."""
        return (key, revision) in self._pinned_by_write

    def witnesses(self, revision: int) -> list[Op]:
        """Who saw it."""
        witness = self._witnesses.get(revision)
        return [witness] if witness is not None else []

    def likely(self, changes: Changes, cells: Mapping[bytes, Cell], revision: int) -> int:
        """How well these changes agree with what is known of later versions. A guess: it only
        orders what is tried.
        """
        best = UNLIKELY
        for key, cell in changes.items():
            if cell is not None:
                elsewhere = self._revision_of.get((key, cell.value), revision)
                if elsewhere != revision:
                    return ELSEWHERE
            best = min(best, self._wanted(key, cell, cells.get(key), revision))
        return best

    def _wanted(self, key: bytes, cell: Cell | None, before: Cell | None, revision: int) -> int:
        known = self._versions.get(key, [])
        at = bisect_right(known, revision, key=lambda pair: pair[0])
        if at == len(known):
            return NEUTRAL
        wanted = known[at][1] - 1  # the version before that one; -1: absent there or deleted there
        now = before.version if before is not None else 0
        if wanted < 0:
            return NEUTRAL
        if cell is None:
            return NEEDED if wanted < now else UNLIKELY
        return NEEDED if wanted >= cell.version else UNLIKELY


def shown_by(op: Op) -> list[tuple[bytes, Item | None]]:
    """Keys that a read, or a cas that failed, was shown."""
    if op.kind == GET or op.told:
        return [(op.key, op.found)]
    return list(op.items)


def _made_by(op: Op) -> list[tuple[bytes, int]]:
    """Versions that a write was told, by key; 0 after a delete."""
    if op.kind in (PUT, CAS) and op.version is not None:
        return [(op.key, op.version)]
    if op.kind == BATCH and op.versions is not None:
        return [(key, version) for (key, _), version in zip(op.operations, op.versions)]
    return [(op.key, 0)] if op.kind == DELETE and op.done else []


def _tells_version(op: Op) -> bool:
    if op.version is not None or op.versions is not None:
        return True
    if op.expect is not None and op.expect.kind == "version":
        return True
    return any(item is not None and item.version is not None for _, item in shown_by(op))


def _settled_by(op: Op, versions: bool) -> list[bytes]:
    """Keys of which the answer leaves nothing open: absent, or value, revision and, where any
    answer tells versions, version.
    """
    settled = [
        key
        for key, item in shown_by(op)
        if item is None
        or (
            item.value is not None
            and item.mod_revision is not None
            and (item.version is not None or not versions)
        )
    ]
    if op.kind == PUT and (op.version is not None or not versions):
        settled.append(op.key)
    elif op.kind == CAS and op.done:
        if op.value is None or op.version is not None or not versions:
            settled.append(op.key)
    elif op.kind == DELETE:
        settled.append(op.key)
    elif op.kind == BATCH:
        told = op.versions is not None or not versions
        settled += [key for key, value in op.operations if value is None or told]
    return settled
