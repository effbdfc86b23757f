"""One watcher: what it watches, how far it has come, and what waits for it. Machine's thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from raftd.wire.kv_results import KeyValue
from raftd.wire.spans import Span

QUEUE_EVENTS_MAX: Final = 1024
"""Of one watcher."""
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
        self.on_ready = on_ready
        self.no_put, self.no_delete = skips
        self.prev_kv = prev_kv
        self.queue: list[tuple[int, list[Event], int]] = []
        self.queued_events = 0
        self.live = False
        self.ended = False
        self.told = True
        """on_ready was called, and nothing was taken since."""

    @property
    def progress(self) -> int:
        """The revision up to which everything was taken; 0 while there is more to take, or while
        it waits for a revision in the future.
        """
        revision = self._hub.revision
        caught_up = self.live and not self.queue and self.next <= revision + 1
        return revision if caught_up else 0

    def take(self, events_max: int = QUEUE_EVENTS_MAX, bytes_max: int = 1 << 20) -> Delivery:
        """What comes next: whole revisions, one at least if there is one."""
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
