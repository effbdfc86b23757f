"""Who works beside the callers of one process: watchers, holders of locks, tenants of leases, and
one who compacts.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections.abc import Callable, Sequence

from raftd.check.operations import COMPACT, PUT, Op
from raftd.client import Client
from tests.chaos.book import Book
from tests.chaos.holding import Holder, Tenant
from tests.chaos.watching import LAST, Witness

CALL_SECONDS = 3.0
END_SECONDS = 25.0
"""For watchers to be given everything once all is quiet."""
COMPACT_SECONDS = 8.0
KEPT_REVISIONS = 1000
LOST = 4
"""The exit code when a watcher was not given the last event."""


class Company:
    """Starts and ends them. One thread."""

    def __init__(self, arguments: argparse.Namespace, endpoints: Sequence[str], book: Book) -> None:
        self._book = book
        self._number: int = arguments.number
        self._stop, self._stop_watching = threading.Event(), threading.Event()
        self._last = LAST + b"%d" % self._number
        self._client = Client(endpoints, timeout=CALL_SECONDS)
        self._clients: list[Client] = []
        self._threads: list[threading.Thread] = []
        self.witnesses: list[Witness] = []
        self._watching: list[threading.Thread] = []
        for number in range(arguments.watchers):
            name, seed = f"{self._number}w{number}", f"{arguments.seed} watcher {number}"
            witness = Witness(number + self._number, name, endpoints, book, seed)
            self.witnesses.append(witness)
            self._watching.append(self._thread(witness.run, self._stop_watching, self._last))
        for number in range(arguments.holders):
            for kind in (Holder, Tenant):
                client = Client(endpoints, timeout=CALL_SECONDS)
                self._clients.append(client)
                name = f"{self._number}{kind.__name__[0].lower()}{number}"
                one = kind(name, client, book, f"{arguments.seed} {name}")
                self._threads.append(self._thread(one.run, self._stop))
        if arguments.watchers and not self._number:
            self._threads.append(self._thread(self._compact))

    def _thread(self, run: Callable[..., None], *arguments: object) -> threading.Thread:
        return threading.Thread(target=run, args=arguments, daemon=True)

    def start(self) -> None:
        for thread in (*self._watching, *self._threads):
            thread.start()

    def rest(self) -> None:
        """Nobody changes anything from now on; watchers go on."""
        self._stop.set()
        deadline = time.monotonic() + END_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def finish(self) -> int:
        """0, or LOST: somebody was not given the end of what it watches."""
        for prefix in sorted({witness.prefix for witness in self.witnesses}):
            self._put_last(prefix + self._last)
        deadline = time.monotonic() + END_SECONDS
        for thread in self._watching:
            thread.join(max(0.0, deadline - time.monotonic()))
        lost = [witness for witness in self.witnesses if not witness.done]
        for witness in lost:
            print(f"never saw the end of {witness.prefix!r}: {witness.name}", file=sys.stderr)
        self._stop_watching.set()
        for client in (self._client, *self._clients):
            client.close()
        return LOST if lost else 0

    def _put_last(self, key: bytes) -> None:
        op = Op(PUT, key, 0.0, client="end", value=b"%d" % self._number)

        def act() -> None:
            op.revision = self._client.put(key, b"%d" % self._number, timeout=END_SECONDS).revision

        self._book.do(op, act)

    def _compact(self) -> None:
        while not self._stop.wait(COMPACT_SECONDS):
            at = self._book.revision - KEPT_REVISIONS
            if at > 1:
                self._compact_at(at)

    def _compact_at(self, at: int) -> None:
        def act() -> None:
            self._client.compact(at)

        self._book.do(Op(COMPACT, b"", 0.0, at=at, client="compactor"), act)
