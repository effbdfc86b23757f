"""The rules for what a watcher is given: those of etcd's robustness suite, each a name of its own.

watch-ordered       revisions only grow
watch-unique        no event comes twice, not even after a move to another node
watch-atomic        a revision comes whole
watch-reliable      none that matches is left out
watch-resumable     the same holds from any revision that is not compacted, on any node
watch-bookmarkable  what is reported as handed over has been, and progress is never ahead
watch-filtered      nothing comes that was not asked for
watch-previous      the previous value is the one before this revision
watch-created       a put says truly whether it made its key
watch-compacted     a watcher is told of a compaction only if one took what it had not seen

The naive store says what happened; the simulator and the campaign without Raft ask the same judge.
"""

from __future__ import annotations

import io

from raftd.machine.kv.store import KvStore
from raftd.machine.kv.watcher import Delivery, Event
from raftd.machine.protocol import SnapshotFormatError
from raftd.wire.kv import KeyValue
from tests.machine.naive import Cell, Naive


class BrokenRule(Exception):
    """rule: its name."""

    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(f"{rule}: {detail}")
        self.rule = rule
        self.detail = detail


def restored(store: KvStore, data: bytes, name: str) -> None:
    """Restore what a store has captured; it must be taken, and be the same again."""
    try:
        store.restore(io.BytesIO(data))
    except SnapshotFormatError as error:
        detail = f"{name} refuses what another captured: {error}"
        raise BrokenRule("state-machine-safety", detail) from None
    if b"".join(store.capture()) != data:
        raise BrokenRule("state-machine-safety", f"{name}: another state restored")


class WatchJudge:
    """One watcher's; it raises BrokenRule. seen: everything up to this revision was handed over."""

    def __init__(self, span: tuple[bytes, bytes], skips: tuple[bool, bool], seen: int) -> None:
        """skips: (no puts, no deletes)."""
        self.span = span
        self.skips = skips
        self.seen = seen

    def delivery(self, naive: Naive, delivery: Delivery, progress: int) -> int:
        """progress: the watcher's own, afterwards. Returns the number of events."""
        before = self.seen
        for revision, events in delivery.revisions:
            self.revision(naive, revision, events)
        if delivery.revision < self.seen and before <= delivery.revision:
            self._broken("bookmarkable", f"told {delivery.revision} after {self.seen}")
        self.nothing_between(naive, self.seen, delivery.revision)
        self.seen = max(self.seen, delivery.revision)
        if progress:
            if progress < self.seen:
                self._broken("bookmarkable", f"progress {progress} after {self.seen}")
            self.nothing_between(naive, self.seen, progress, "bookmarkable")
        return sum(len(events) for _, events in delivery.revisions)

    def compacted(self, naive: Naive, told: int) -> None:
        """The watcher has ended because of a compaction."""
        if naive.compacted <= self.seen + 1:
            self._broken("compacted", f"told {told}, it had seen {self.seen}")

    def revision(self, naive: Naive, revision: int, events: list[Event]) -> None:
        if revision <= self.seen:
            self._broken("unique", f"revision {revision} after {self.seen}")
        self.nothing_between(naive, self.seen, revision - 1)
        every = naive.events.get(revision, [])
        cells = {key: (cell, was) for key, cell, was in every}
        for event in events:
            if event.key not in cells or not self._asked(event.key, cells[event.key][0]):
                self._broken("filtered", f"{event} at {revision} was not asked for")
            self._one(naive, revision, event, *cells[event.key])
        wanted = [key for key, cell, _ in every if self._asked(key, cell)]
        if [event.key for event in events] != wanted:
            self._broken("atomic", f"revision {revision} has {wanted}, it got {events}")
        self.seen = revision

    def _one(self, naive: Naive, revision: int, event: Event, cell: Cell, was: Cell) -> None:
        shown = _shown(event.key, cell)
        if event.kv is not None and shown is not None:
            made = event.kv.create_revision == event.kv.mod_revision
            if made != (cell.create == cell.mod):
                self._broken("created", f"{event} at {revision}, it is {cell}")
        if event.kv != shown:
            self._broken("reliable", f"{event} at {revision}, it is {cell}")
        previous = _shown(event.key, was)
        if event.previous != previous and not (
            event.previous is None and revision <= naive.compacted
        ):
            self._broken("previous", f"{event} at {revision}, before it was {was}")

    def nothing_between(self, naive: Naive, after: int, upto: int, rule: str = "reliable") -> None:
        """Nothing that was asked for happened in revisions that were passed over."""
        for revision in range(after + 1, upto + 1):
            if revision not in naive.events:
                self._broken("bookmarkable", f"told {upto}, nobody has made {revision} yet")
            for key, cell, _ in naive.events[revision]:
                if self._asked(key, cell):
                    self._broken(rule, f"{key!r} at {revision} was left out, told {upto}")

    def _asked(self, key: bytes, cell: Cell) -> bool:
        start, end = self.span
        within = key == start if not end else start <= key and (end == b"\0" or key < end)
        return within and not self.skips[0 if cell.value is not None else 1]

    def _broken(self, rule: str, detail: str) -> None:
        raise BrokenRule(f"watch-{rule}", f"{self.span}: {detail}")


def _shown(key: bytes, cell: Cell) -> KeyValue | None:
    if cell.value is None:
        return None
    return KeyValue(key, cell.value, cell.create, cell.mod, cell.version, cell.lease)
