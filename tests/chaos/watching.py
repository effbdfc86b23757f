"""Watchers that write down all that they are told. Each goes to another node now and then, for no
reason, and asks for what comes after the last that it has seen.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Sequence

from raftd.check.notices import BEGIN, COMPACTED, EVENTS, PROGRESS, Change, Notice
from raftd.check.operations import Item
from raftd.client import Client, Compacted, NotDone
from raftd.client.recipes.watch import WatchEvent
from raftd.wire.kv_results import KeyValue
from tests.chaos.book import Book

PREFIXES = (b"", b"hot/", b"", b"lock/")
LAST = b"~end"
"""Put under each prefix when all is over: whoever sees it has been given everything."""
TAKE_SECONDS = 0.3
STAY_SECONDS = (1.0, 20.0)


class Witness:
    """One watcher, on a thread of its own."""

    def __init__(self, number: int, name: str, endpoints: Sequence[str], book: Book, seed: str):
        self._draw = random.Random(seed)
        self.name = name
        self._endpoints = endpoints
        self._book = book
        self.prefix = PREFIXES[number % len(PREFIXES)]
        self._next = 0
        self.done = False
        """It has seen the last event."""

    def run(self, stop: threading.Event, last: bytes) -> None:
        """Until `last` was put under its prefix, or `stop` is set."""
        while not stop.is_set() and not self.done:
            first = self._draw.choice(self._endpoints)
            others = [each for each in self._endpoints if each != first]
            with Client([first, *others]) as client:
                try:
                    self._stay(client, stop, self.prefix + last)
                except Compacted as error:
                    self._tell(Notice(self.name, COMPACTED, 0.0, error.oldest))
                    self._next = 0
                except NotDone:
                    continue  # nobody was up for the client's timeout, or it was starved

    def _stay(self, client: Client, stop: threading.Event, last: bytes) -> None:
        begin = Notice(self.name, BEGIN, 0.0, self._next, self.prefix, prefix=True, previous=True)
        self._tell(begin)
        until = time.monotonic() + self._draw.uniform(*STAY_SECONDS)
        with client.watch(prefix=self.prefix, start_revision=self._next, previous=True) as watch:
            while time.monotonic() < until and not stop.is_set() and not self.done:
                events = watch.take(TAKE_SECONDS)
                if events:
                    self._tell(Notice(self.name, EVENTS, 0.0, changes=(*map(_change, events),)))
                    self.done = any(event.key == last for event in events)
                    self._next = events[-1].revision + 1
                elif watch.revision >= max(self._next, 1):
                    self._tell(Notice(self.name, PROGRESS, 0.0, watch.revision))
                    self._next = watch.revision + 1

    def _tell(self, notice: Notice) -> None:
        notice.time = time.monotonic()
        self._book.notice(notice)


def _change(event: WatchEvent) -> Change:
    item = None
    if event:
        item = Item(event.value, event.version, event.revision, event.create_revision, event.lease)
    previous = _item(event.previous) if event.previous is not None else None
    return Change(event.key, event.revision, item, previous, told_previous=True)


def _item(pair: KeyValue) -> Item:
    return Item(pair.value, pair.version, pair.mod_revision, pair.create_revision, pair.lease)
