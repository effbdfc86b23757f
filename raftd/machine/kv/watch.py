"""Watchers: every change of the keys that they name, in order, each once, a revision at a time.

Theory of operation. A watcher is a place in the history and, while it keeps up, a short queue of
what came since it last took. The hub looks at each new revision once an entry is applied, finds who
watches the keys in it, and queues one shared event for all of them. A watcher whose queue is full,
or that began in the past, or whose node installed a snapshot, is *behind*: nothing is queued for
it, and when it takes, it reads the history from its place until it has caught up. So no watcher
holds up anybody, and none costs more than its queue. Only a compaction can take what a watcher has
not seen: it is told so, and has ended. While a snapshot is restored nobody reads the history.

Machine's thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, Protocol

from raftd.machine.kv.history import History, Item, changes_of
from raftd.machine.kv.interest import Interest
from raftd.machine.kv.watcher import QUEUE_EVENTS_MAX, Delivery, Event, Watcher, cost_of
from raftd.machine.kv.whole import Whole
from raftd.wire.kv_results import KeyValue
from raftd.wire.spans import span_of
from raftd.wire.txn_answers import decode_record

QUEUED_BYTES_MAX: Final = 64 << 20
"""Of all watchers together; who needs more room falls behind."""
SCAN_REVISIONS: Final = 2048
"""Of the history, in one take: some milliseconds at worst."""
SCAN_CHANGES: Final = 8192
"""As well, for a revision may have changed thousands of keys. The last one is looked at whole."""


class Watched(Protocol):
    """What the hub needs of the store."""

    @property
    def history(self) -> History: ...

    @property
    def revision(self) -> int: ...

    def record_at(self, key: bytes, revision: int) -> bytes | None: ...


class WatchHub:
    """All watchers of one node's store."""

    def __init__(self, store: Watched) -> None:
        self._store = store
        self.whole = Whole()
        self._interest: Interest[Watcher] = Interest()
        self.queue_events_max = QUEUE_EVENTS_MAX
        self.live = 0
        """How many keep up; with none, nothing need be flushed."""
        self._all: dict[Watcher, None] = {}
        self._queued_bytes = 0
        self.seen = store.revision
        """The newest revision that was looked at."""

    def __len__(self) -> int:
        """The number of watchers."""
        return len(self._all)

    @property
    def revision(self) -> int:
        """The store's, as far as watchers have been told."""
        return self.seen

    @property
    def queued_bytes(self) -> int:
        """What all queues hold, roughly."""
        return self._queued_bytes

    def subscribe(
        self,
        key: bytes,
        range_end: bytes = b"",
        start_revision: int = 0,
        *,
        on_ready: Callable[[], None],
        no_put: bool = False,
        no_delete: bool = False,
        prev_kv: bool = False,
    ) -> Watcher:
        """See the package's docstring. Take once at the beginning if `start_revision` is past."""
        start = start_revision or self.seen + 1
        skips = no_put, no_delete
        watcher = Watcher(self, span_of(key, range_end), start, on_ready, skips, prev_kv)
        self._all[watcher] = None
        if start > self.seen:
            self._join(watcher)
        return watcher

    def cancel(self, watcher: Watcher) -> None:
        self._leave(watcher)
        self._all.pop(watcher, None)
        self._drop_queue(watcher)
        watcher.ended = True

    def flush(self) -> None:
        """After an entry: queue what it changed, and call who had nothing to take until now."""
        revision = self._store.revision
        ready: dict[Watcher, None] = {}
        for number, item in self._store.history.items(self.seen + 1):
            self._queue(number, item, ready)
        self.seen = revision
        for watcher in ready:
            self._call(watcher)

    def resync(self) -> None:
        """A snapshot was installed: everybody reads on from the history that it brought."""
        before, self.seen = self.seen, self._store.revision
        for watcher in list(self._all):
            if watcher.live:
                watcher.next = max(watcher.next, before + 1)
            if watcher.next <= self.seen:
                self._leave(watcher)
                self._call(watcher)

    def take(self, watcher: Watcher, events_max: int, bytes_max: int) -> Delivery:
        if watcher.queue:
            return self._take_queue(watcher, events_max, bytes_max)
        watcher.told = False
        if watcher.live or watcher.ended:
            return Delivery([], self.seen, False)
        with self.whole.lock:
            if self.whole.apart:  # it read puts as deletes; `resync` calls whoever is behind
                return Delivery([], watcher.next - 1, False)
            history = self._store.history
            if watcher.next < history.first:
                self.cancel(watcher)
                return Delivery([], watcher.next - 1, False, max(history.compacted, history.first))
            return self._read(watcher, events_max, bytes_max)

    def _take_queue(self, watcher: Watcher, events_max: int, bytes_max: int) -> Delivery:
        taken: list[tuple[int, list[Event]]] = []
        count = size = used = 0
        for revision, events, cost in watcher.queue:
            if taken and (count + len(events) > events_max or size + cost > bytes_max):
                break
            taken.append((revision, events))
            count, size, used = count + len(events), size + cost, used + 1
        del watcher.queue[:used]
        watcher.queued_events -= count
        self._queued_bytes -= size
        more = bool(watcher.queue) or not watcher.live
        if not more:
            watcher.told = False
        done = taken[-1][0] if more else self.seen
        return Delivery(taken, done, more)

    def _read(self, watcher: Watcher, events_max: int, bytes_max: int) -> Delivery:
        """From the history, for one that is behind."""
        taken: list[tuple[int, list[Event]]] = []
        count = size = looked = 0
        last = min(watcher.next + SCAN_REVISIONS - 1, self.seen)
        for revision, item in self._store.history.items(watcher.next):
            if revision > last:
                break
            looked += len(item) if type(item) is list else 1
            if looked >= SCAN_CHANGES:
                last = revision
            events = self._events_for(watcher, revision, item)
            if not events:
                continue
            cost = sum(map(cost_of, events))
            if taken and (count + len(events) > events_max or size + cost > bytes_max):
                last = revision - 1
                break
            taken.append((revision, events))
            count, size = count + len(events), size + cost
        watcher.next = last + 1
        more = last < self.seen
        if not more:
            self._join(watcher)
        watcher.told = more
        return Delivery(taken, last, more)

    def _events_for(self, watcher: Watcher, revision: int, item: Item) -> list[Event]:
        holds = watcher.span.holds
        if type(item) is bytes and not holds(item):
            return []
        return [
            event
            for key, before in changes_of(item)
            if holds(key)
            for event in self._wanted(watcher, revision, key, before)
        ]

    def _wanted(
        self, watcher: Watcher, revision: int, key: bytes, before: bytes | None
    ) -> Iterator[Event]:
        record = self._store.record_at(key, revision)
        if watcher.wants(record is not None):
            yield self._event(revision, key, record, before if watcher.prev_kv else None)

    def _event(
        self, revision: int, key: bytes, record: bytes | None, before: bytes | None
    ) -> Event:
        if before is not None and revision > self._store.history.compacted:
            previous: KeyValue | None = decode_record(key, before)
        else:
            previous = None
        return Event(key, decode_record(key, record) if record is not None else None, previous)

    def _queue(self, revision: int, item: Item, ready: dict[Watcher, None]) -> None:
        gathered: dict[Watcher, list[Event]] = {}
        for key, before in changes_of(item):
            groups = self._interest.of(key)
            if not groups:
                continue
            record = self._store.record_at(key, revision)
            plain = full = None
            for group in groups:
                for watcher in group:
                    if watcher.next > revision or not watcher.wants(record is not None):
                        continue
                    if watcher.prev_kv:
                        event = full = full or self._event(revision, key, record, before)
                    else:
                        event = plain = plain or self._event(revision, key, record, None)
                    gathered.setdefault(watcher, []).append(event)
        for watcher, events in gathered.items():
            if self._add(watcher, revision, events):
                ready[watcher] = None

    def _add(self, watcher: Watcher, revision: int, events: list[Event]) -> bool:
        """True if there was nothing to take before."""
        cost = sum(map(cost_of, events))
        if (
            watcher.queue and watcher.queued_events + len(events) > self.queue_events_max
        ) or self._queued_bytes + cost > QUEUED_BYTES_MAX:
            watcher.next = revision
            self._leave(watcher)
            return not watcher.queue
        watcher.queue.append((revision, events, cost))
        watcher.queued_events += len(events)
        self._queued_bytes += cost
        watcher.next = revision + 1
        return len(watcher.queue) == 1

    def _call(self, watcher: Watcher) -> None:
        if not watcher.told and not watcher.ended:
            watcher.told = True
            watcher.on_ready()

    def _join(self, watcher: Watcher) -> None:
        watcher.live = True
        watcher.told = False
        self.live += 1
        self._interest.add(watcher.span, watcher)

    def _leave(self, watcher: Watcher) -> None:
        if not watcher.live:
            return
        watcher.live = False
        self.live -= 1
        self._interest.remove(watcher.span, watcher)

    def _drop_queue(self, watcher: Watcher) -> None:
        self._queued_bytes -= sum(cost for _, _, cost in watcher.queue)
        watcher.queue.clear()
        watcher.queued_events = 0
