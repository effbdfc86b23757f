"""Watchers: every change of the keys that they name, in order, each once, a revision at a time.

Theory of operation. A watcher is a place in the history and, while it keeps up, a short queue of
what came since it last took. The hub looks at each new revision once an entry is applied, finds who
watches the keys in it, and queues one shared event for all of them. A watcher whose queue is full,
or that began in the past, or whose node installed a snapshot, is *behind*: nothing is queued for
it, and when it takes, it reads the history from its place until it has caught up. So no watcher
holds up anybody, and none costs more than its queue. What is compacted before it has come so far is
held for it, up to a limit; beyond that, and by a snapshot, a watcher can lose what it has not seen:
it is told so, and has ended. While a snapshot is restored nobody reads the history.

One revision may have changed a million keys, and a hundred thousand may watch one key. So the look
at a new revision gives way now and then (`busy`), while nothing else is applied: what is queued
meanwhile is handed over when it is through. Of a long revision a watcher gets parts, each by a take
of its own, and whoever would have much of it queued reads it from the history instead.

Machine's thread.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol, cast

from raftd.machine.kv.history import Before, History, Item, changes_of
from raftd.machine.kv.interest import Interest
from raftd.machine.kv.reading import Reader
from raftd.machine.kv.retention import Behind
from raftd.machine.kv.watcher import (
    LONG,
    LONG_BYTES,
    QUEUE_EVENTS_MAX,
    Change,
    Delivery,
    Event,
    Queued,
    Scan,
    Watcher,
    cost_of,
)
from raftd.machine.kv.whole import Whole
from raftd.machine.pieces import Effort, Pieces, some_of
from raftd.wire.spans import span_of

QUEUED_BYTES_MAX: Final = 64 << 20
"""Of all watchers together; who needs more room falls behind."""
LATE_AT_ONCE: Final = 64
"""Each of them may make the next one more work."""


class Watched(Protocol):
    """What the hub needs of the store."""

    @property
    def history(self) -> History: ...

    @property
    def revision(self) -> int: ...


class WatchHub:
    """All watchers of one node's store."""

    def __init__(self, store: Watched, reader: Reader) -> None:
        self._store = store
        self._reader = reader
        self._scan = Scan(store.history, reader)
        self.whole = Whole()
        self._interest: Interest[Watcher] = Interest()
        self._behind = Behind(store.history)
        self.queue_events_max = QUEUE_EVENTS_MAX
        self.live = 0
        """How many keep up; with none, nothing need be flushed."""
        self._all: dict[Watcher, None] = {}
        self._queued_bytes = 0
        self.seen = store.revision
        """The newest revision that was looked at."""
        self.busy = False
        """Later ones are being looked at."""
        self.late: dict[Watcher, None] = {}
        """Those who came, or took, when they could neither be told nor wait: `_over` sees to it."""

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
            self._wait(watcher)
        else:
            self._behind.join(watcher)
        return watcher

    def cancel(self, watcher: Watcher) -> None:
        self._leave(watcher)
        self._behind.leave(watcher)
        self._all.pop(watcher, None)
        self.late.pop(watcher, None)
        self._drop_queue(watcher)
        watcher.ended = True

    def flush(self) -> Pieces[None]:
        """After an entry: queue what it changed, and call who had nothing to take until now."""
        effort, ready = Effort(), dict[Watcher, None]()
        self.busy = True
        for number, item in self._store.history.items(self.seen + 1):
            yield from self._queue(number, item, ready, effort)
        yield from self._over(ready, effort)

    def resync(self) -> Pieces[None]:
        """A snapshot was installed: everybody reads on from the history that it brought."""
        effort, ready = Effort(), dict[Watcher, None]()
        self.busy, before, revision = True, self.seen, self._store.revision
        self._behind.clear()
        interest = self._interest
        for some in some_of(iter(list(self._all)), interest.at_once):
            for watcher in some:
                if watcher.live:
                    watcher.next = max(watcher.next, before + 1)
                if watcher.next <= revision and not watcher.ended:
                    self._leave(watcher)
                    self._behind.join(watcher)
                    ready[watcher] = None
            if effort.took(len(some) * interest.looks):
                yield
        yield from self._over(ready, effort)

    def _over(self, ready: dict[Watcher, None], effort: Effort) -> Pieces[None]:
        """All is queued: it may be taken from now on."""
        self.seen, self.busy = self._store.revision, False
        late, self.late = self.late, {}
        for some in some_of(iter(late), LATE_AT_ONCE):
            for watcher in some:
                if watcher.ended:
                    continue
                if watcher.next <= self.seen:
                    self._behind.join(watcher)
                    ready[watcher] = None
                elif not watcher.live:
                    self._join(watcher)
            if effort.took(len(some) * self._interest.looks):
                yield
        for some in some_of(iter(ready)):
            for watcher in some:
                self._call(watcher)
            if effort.took(len(some)):
                yield

    def take(self, watcher: Watcher, events_max: int, bytes_max: int) -> Delivery:
        if watcher.queue and watcher.queue[0].revision <= self.seen:
            return self._take_queue(watcher, events_max, bytes_max)
        watcher.told = False
        if watcher.live or watcher.ended:
            return Delivery([], self.seen, False)
        with self.whole.lock:
            if self.whole.apart:  # it read puts as deletes
                self.late[watcher] = None
                return Delivery([], watcher.next - 1, False, goes_on=watcher.place > 0)
            history = self._store.history
            if self._behind.lacks(watcher):
                self.cancel(watcher)
                return Delivery([], watcher.next - 1, False, max(history.compacted, history.first))
            if watcher.next > self.seen:
                self._wait(watcher)
                return Delivery([], self.seen, False)
            delivery = self._scan.read(watcher, self.seen, events_max, bytes_max)
        if delivery.more:
            watcher.told = True
            self._behind.join(watcher)
        else:
            self._wait(watcher)
        return delivery

    def _take_queue(self, watcher: Watcher, events_max: int, bytes_max: int) -> Delivery:
        taken: list[tuple[int, list[Event]]] = []
        queue, count, size = watcher.queue, 0, 0
        for queued in queue:
            events, cost = queued.events, queued.cost
            if queued.revision > self.seen:
                break
            if taken and (count + len(events) > events_max or size + cost > bytes_max):
                break
            taken.append((queued.revision, events))
            count, size = count + len(events), size + cost
        del queue[: len(taken)]
        watcher.queued_events -= count
        self._queued_bytes -= size
        more = not watcher.live or (bool(queue) and queue[0].revision <= self.seen)
        if not more:
            watcher.told = False
        done = taken[-1][0] if more else self.seen
        return Delivery(taken, done, more)

    def _queue(
        self, revision: int, item: Item, ready: dict[Watcher, None], effort: Effort
    ) -> Pieces[None]:
        changes = item if type(item) is list else [cast(Before, item)]
        interest = self._interest
        looks, at_once = interest.looks, interest.at_once
        for some in some_of(iter(changes), at_once):
            for key, before in changes_of(some):
                groups = interest.of(key)
                if interest.ranges:
                    groups += yield from interest.of_ranges(key, effort)
                if not groups:
                    continue
                record = yield from self._reader.looking(key, revision, effort)
                change = self._scan.change(revision, key, record, before)
                for group in groups:
                    for watchers in some_of(iter(list(group))):
                        self._tell(watchers, revision, change, ready)
                        if effort.took(len(watchers)):
                            yield
            if effort.took(len(some) * looks):
                yield

    def _tell(
        self, watchers: list[Watcher], revision: int, change: Change, ready: dict[Watcher, None]
    ) -> None:
        made = change.record is not None
        for watcher in watchers:
            queue = watcher.queue
            begun_before = bool(queue) and queue[-1].revision == revision
            if not watcher.live or (watcher.next > revision and not begun_before):
                continue
            if watcher.wants(made):
                ready[watcher] = None
                self._add(watcher, revision, change.event(watcher.prev_kv), begun_before)

    def _add(self, watcher: Watcher, revision: int, event: Event, begun_before: bool) -> None:
        queue, cost = watcher.queue, cost_of(event)
        if not begun_before:
            queue.append(Queued(revision))
            watcher.next = revision + 1
        queued = queue[-1]
        queued.events.append(event)
        queued.cost += cost
        watcher.queued_events += 1
        self._queued_bytes += cost
        is_full = len(queue) > 1 and watcher.queued_events > self.queue_events_max
        is_long = len(queued.events) > LONG or queued.cost > 4 * LONG_BYTES
        if is_full or is_long or self._queued_bytes > QUEUED_BYTES_MAX:
            self._drop(watcher, queue.pop())
            watcher.next = revision
            self._leave(watcher)

    def _call(self, watcher: Watcher) -> None:
        if not watcher.told and not watcher.ended:
            watcher.told = True
            watcher.on_ready()

    def _wait(self, watcher: Watcher) -> None:
        """For what is to come. While the hub is busy nobody can tell how much of that it passed."""
        if self.busy:
            watcher.told = False
            self.late[watcher] = None
        else:
            self._join(watcher)

    def _join(self, watcher: Watcher) -> None:
        self._behind.leave(watcher)
        watcher.live = True
        watcher.told = False
        self.live += 1
        self._interest.add(watcher.span, watcher)

    def _leave(self, watcher: Watcher) -> None:
        if not watcher.live:
            return
        watcher.live = False
        self._behind.join(watcher)
        self.live -= 1
        self._interest.remove(watcher.span, watcher)

    def _drop_queue(self, watcher: Watcher) -> None:
        for queued in watcher.queue:
            self._drop(watcher, queued)
        watcher.queue.clear()

    def _drop(self, watcher: Watcher, queued: Queued) -> None:
        watcher.queued_events -= len(queued.events)
        self._queued_bytes -= queued.cost
