"""One watcher: what it watches, how far it has come, and what waits for it. Machine's thread."""

from __future__ import annotations

from collections.abc import Callable
from types import GeneratorType
from typing import Final, NamedTuple, Protocol, cast

from raftd.machine.kv.history import Before, History, Item, changes_of
from raftd.machine.kv.reading import Reader
from raftd.machine.kv.retention import Mark
from raftd.machine.pieces import SOME, Effort, begun
from raftd.wire.kv_results import KeyValue
from raftd.wire.spans import Span
from raftd.wire.txn_answers import decode_record

QUEUE_EVENTS_MAX: Final = 1024
"""Of one watcher."""
SCAN_REVISIONS: Final = 2048
"""Of the history, in one take: some milliseconds at worst."""
SCAN_CHANGES: Final = 8192
"""As well, for a revision may have changed thousands of keys."""
LONG: Final = SOME
LONG_BYTES: Final = 1 << 20
"""A revision that changed more keys, or replaced more bytes, is handed over in parts."""
EVENT_BYTES: Final = 400
"""What an event costs beside its keys and values."""


class Event(NamedTuple):
    """kv None: deleted. previous: what was there before, if the watcher asked for it."""

    key: bytes
    kv: KeyValue | None
    previous: KeyValue | None


class Delivery(NamedTuple):
    """See the package's docstring."""

    revisions: list[tuple[int, list[Event]]]
    revision: int
    more: bool
    compacted: int = 0
    goes_on: bool = False


class Change:
    """One change of one key. record: what is there since; None: it was deleted. before: None also
    where it is compacted.
    """

    __slots__ = ("_full", "_plain", "before", "key", "record")

    def __init__(self, key: bytes, record: bytes | None, before: bytes | None) -> None:
        self.key = key
        self.record = record
        self.before = before
        self._plain: Event | None = None
        self._full: Event | None = None

    def event(self, full: bool) -> Event:
        """The same for all who want it. full: with what was there before."""
        made = self._full if full else self._plain
        if made is None:
            kv = None if self.record is None else decode_record(self.key, self.record)
            if not full:
                made = self._plain = Event(self.key, kv, None)
            else:
                before = None if self.before is None else decode_record(self.key, self.before)
                made = self._full = Event(self.key, kv, before)
        return made


class Queued:
    """What one revision changed of what a watcher watches. cost: as `cost_of`."""

    __slots__ = ("cost", "events", "revision")

    def __init__(self, revision: int) -> None:
        self.revision = revision
        self.events: list[Event] = []
        self.cost = 0


class Hub(Protocol):
    """The watcher's side of WatchHub."""

    @property
    def revision(self) -> int: ...

    def take(self, watcher: Watcher, events_max: int, bytes_max: int) -> Delivery: ...

    def cancel(self, watcher: Watcher) -> None: ...


class Watcher:
    """Made by WatchHub.subscribe."""

    def __init__(
        self,
        hub: Hub,
        span: Span,
        start: int,
        on_ready: Callable[[], None],
        skips: tuple[bool, bool],
        prev_kv: bool,
    ) -> None:
        self._hub = hub
        self.span = span
        self.next = start
        """Nothing below is to come. While it is live, the revisions that the hub has seen are done
        as well, though this does not say so.
        """
        self.place = 0
        """So many changes of revision `next` were handed over, or passed over."""
        self.on_ready = on_ready
        self.no_put, self.no_delete = skips
        self.prev_kv = prev_kv
        self.queue: list[Queued] = []
        self.queued_events = 0
        self.live = False
        self.ended = False
        self.told = True
        """on_ready was called, and nothing was taken since."""
        self.mark: Mark | None = None

    @property
    def progress(self) -> int:
        """The revision up to which everything was taken; 0 while there is more to take, or while
        it waits for a revision in the future.
        """
        revision = self._hub.revision
        caught_up = self.live and not self.queue and self.next <= revision + 1
        return revision if caught_up else 0

    def take(self, events_max: int = QUEUE_EVENTS_MAX, bytes_max: int = 1 << 20) -> Delivery:
        """What comes next: whole revisions, or a part of a long one."""
        return self._hub.take(self, events_max, bytes_max)

    def cancel(self) -> None:
        """No call of on_ready comes any more. Harmless when it is over."""
        self._hub.cancel(self)

    def wants(self, made: bool) -> bool:
        """Does it want puts (made), or deletes?"""
        return not (self.no_put if made else self.no_delete)


def cost_of(event: Event) -> int:
    """Bytes, roughly."""
    size = EVENT_BYTES + len(event.key)
    if event.kv is not None:
        size += len(event.kv.value)
    return size + (len(event.previous.value) if event.previous is not None else 0)


class Scan:
    """Reads the history for watchers that are behind."""

    def __init__(self, history: History, reader: Reader) -> None:
        self._history = history
        self._reader = reader

    def read(self, watcher: Watcher, seen: int, events_max: int, bytes_max: int) -> Delivery:
        """What comes next for it, up to revision `seen`."""
        taken: list[tuple[int, list[Event]]] = []
        count = size = looked = 0
        effort = Effort()
        last = min(watcher.next + SCAN_REVISIONS - 1, seen)
        for revision, item in self._history.items(watcher.next):
            if revision > last:
                break
            if is_long(item):
                assert type(item) is list
                if not taken:
                    return self._part(watcher, revision, item, events_max, bytes_max)._replace(
                        more=watcher.next <= seen
                    )
                last = revision - 1
                break
            looked += len(item) if type(item) is list else 1
            if looked >= SCAN_CHANGES:
                last = revision
            events = self._events_for(watcher, revision, item, effort)
            if not events:
                if events is None:
                    last = revision - 1
                    break
                continue
            cost = sum(map(cost_of, events))
            if taken and (count + len(events) > events_max or size + cost > bytes_max):
                last = revision - 1
                break
            taken.append((revision, events))
            count, size = count + len(events), size + cost
        _is_at(watcher, last + 1)
        return Delivery(taken, last, watcher.next <= seen)

    def _part(
        self, watcher: Watcher, revision: int, item: list[Before], events_max: int, bytes_max: int
    ) -> Delivery:
        """Of one revision, from where the last part ended."""
        _is_at(watcher, revision)
        events: list[Event] = []
        size, effort, place = 0, Effort(), watcher.place
        for key, before in changes_of(item[place : place + SCAN_CHANGES]):
            if len(events) >= events_max or size >= bytes_max:
                break
            if watcher.span.holds(key):
                found = self._wanted(watcher, revision, key, before, effort)
                if found is None:
                    break
                events += found
                size += sum(map(cost_of, found))
            place += 1
        watcher.place = place
        taken = [(revision, events)] if events else []
        if place < len(item):
            return Delivery(taken, revision - 1, True, goes_on=True)
        _is_at(watcher, revision + 1)
        return Delivery(taken, revision, False)

    def _events_for(
        self, watcher: Watcher, revision: int, item: Item, effort: Effort
    ) -> list[Event] | None:
        """None: not yet, as in `_wanted`."""
        holds = watcher.span.holds
        if type(item) is bytes and not holds(item):
            return []
        events: list[Event] = []
        for key, before in changes_of(item):
            if holds(key):
                found = self._wanted(watcher, revision, key, before, effort)
                if found is None:
                    return None
                events += found
        return events

    def _wanted(
        self, watcher: Watcher, revision: int, key: bytes, before: bytes | None, effort: Effort
    ) -> list[Event] | None:
        """None: what was under the key cannot be told yet. A piece of the index that tells it was
        made, and the next take goes on with that.
        """
        work = begun(self._reader.looking(key, revision, effort))
        if isinstance(work, GeneratorType):
            return None
        record = cast(bytes | None, work)
        if not watcher.wants(record is not None):
            return []
        return [self.change(revision, key, record, before).event(watcher.prev_kv)]

    def change(
        self, revision: int, key: bytes, record: bytes | None, before: bytes | None
    ) -> Change:
        is_known = revision != self._history.compacted  # as etcd; what is before it is held
        return Change(key, record, before if is_known else None)


def _is_at(watcher: Watcher, revision: int) -> None:
    """All that is before it was handed over."""
    if watcher.next != revision:
        watcher.next, watcher.place = revision, 0


def is_long(item: Item) -> bool:
    """Is it handed over in parts?"""
    if type(item) is not list:
        return False
    if len(item) > LONG:
        return True
    return sum(len(before[1]) for before in item if type(before) is tuple) > LONG_BYTES
