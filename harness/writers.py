"""Clients that write all the time and keep book of what they were promised."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Self

from harness.nodes import Node, wait_until
from raftd.client import Client, OutcomeUnknown, RaftdError

CALL_SECONDS = 20.0
PREFIX = b"load/"
AFTER_ERROR_SECONDS = 0.02
"""A client that is closed, or whose cluster is away, refuses at once."""

Found = dict[bytes, tuple[bytes, int]]
"""key -> (value, version), as one node holds it."""


class WrongState(AssertionError):
    """A node does not hold what clients were promised."""


@dataclass
class Book:
    """What callers were told. Every key is written by one call only. Times: monotonic seconds."""

    acked: dict[bytes, bytes] = field(default_factory=dict)
    unknown: dict[bytes, bytes] = field(default_factory=dict)
    errors: list[RaftdError] = field(default_factory=list)
    ack_times: list[float] = field(default_factory=list)

    def gap(self, since: float, until: float = 0.0) -> tuple[float, float]:
        """(seconds, when it ended) of the longest time without an acknowledgement between the two
        moments. until: 0 for the last one; infinite if there was none since.
        """
        times = sorted(self.ack_times)
        until = until or (times[-1] if times else since)
        if until <= since:
            return float("inf"), since
        marks = [since, *(moment for moment in times if since <= moment <= until), until]
        return max((late - early, late) for early, late in itertools.pairwise(marks))

    def silence(self, since: float, until: float = 0.0) -> float:
        return self.gap(since, until)[0]

    def check(self, where: str, found: Found) -> int:
        """Compare with all that the node called `where` holds. Returns how many of the unknown
        writes have happened. Raises WrongState.

        A version other than 1 is a call that was executed twice; a key of neither list is a write
        that was reported as certainly not done.
        """
        for key, value in self.acked.items():
            if key not in found:
                raise WrongState(f"{where} lacks {key!r}, which was acknowledged")
            if found[key] != (value, 1):
                raise WrongState(f"{where} holds {key!r} as {found[key]}, not as written once")
        for key, held in found.items():
            if key not in self.acked and held != (self.unknown.get(key), 1):
                raise WrongState(f"{where} holds {key!r} as {held}: certainly not done, or twice")
        return len(found) - len(self.acked)


class Writers:
    """A thread for each of `clients`, which may be one client many times. One book for all.

    start, stop and waiting: one thread. pace_seconds: between two writes of a thread.
    """

    def __init__(
        self,
        clients: Sequence[Client],
        *,
        prefix: bytes = PREFIX,
        value_bytes: int = 64,
        pace_seconds: float = 0.0,
    ) -> None:
        self.book = Book()
        self.prefix = prefix
        self._padding = b"x" * value_bytes
        self._pace_seconds = pace_seconds
        self._stop = threading.Event()
        self._broken: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._run, args=(number, client), daemon=True)
            for number, client in enumerate(clients)
        ]

    @property
    def acked(self) -> int:
        return len(self.book.ack_times)

    def start(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def stop(self) -> None:
        """Raises WrongState if a call does not come back, and what ended a writer."""
        self._stop.set()
        for thread in self._threads:
            thread.join(2 * CALL_SECONDS)
        self._raise_if_broken()
        if any(thread.is_alive() for thread in self._threads):
            raise WrongState("a call of a client did not come back")

    def wait_more(self, count: int, timeout: float, nodes: Sequence[Node] = ()) -> float:
        """Until `count` more writes are acknowledged. Returns the seconds that took."""
        goal = self.acked + count

        def reached() -> bool:
            self._raise_if_broken()
            return self.acked >= goal

        return wait_until(reached, timeout, f"{count} more acknowledged writes", nodes)

    def check(self, client: Client, where: str = "the node") -> int:
        """Compare with what the client's one node has applied; as Book.check."""
        return self.book.check(where, read_all(client, self.prefix))

    def _raise_if_broken(self) -> None:
        if self._broken:
            raise self._broken[0]

    def _run(self, number: int, client: Client) -> None:
        book = self.book
        try:
            for count in itertools.count():
                key = b"%s%03d/%07d" % (self.prefix, number, count)
                value = key + self._padding
                try:
                    client.put(key, value)
                except RaftdError as error:
                    if isinstance(error, OutcomeUnknown):
                        book.unknown[key] = value
                    book.errors.append(error)
                    self._stop.wait(AFTER_ERROR_SECONDS)
                else:
                    book.acked[key] = value
                    book.ack_times.append(time.monotonic())
                if self._stop.wait(self._pace_seconds):
                    return
        except BaseException as error:  # noqa: BLE001 - raised again on the caller's thread
            self._broken.append(error)


def read_all(client: Client, prefix: bytes) -> Found:
    """What the client's one node has applied under `prefix`."""
    found: Found = {}
    after = b""
    while True:
        page = client.range(prefix, limit=1_000, after=after, consistency="stale")
        found.update({kv.key: (kv.value, kv.version) for kv in page.kvs})
        if not page.more:
            return found
        after = page.kvs[-1].key


def in_threads(count: int, act: Callable[[int], None]) -> list[threading.Thread]:
    """`act(number)` on `count` threads, started. The caller joins them."""
    threads = [threading.Thread(target=act, args=(n,), daemon=True) for n in range(count)]
    for thread in threads:
        thread.start()
    return threads
