"""Clients that write all the time and keep book of what they were promised."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from harness.nodes import Node, wait_until
from raftd.client import Client, OutcomeUnknown, RaftdError

CALL_SECONDS = 20.0


@dataclass
class Book:
    """What one writer was told."""

    acked: dict[bytes, bytes] = field(default_factory=dict)
    unknown: dict[bytes, bytes] = field(default_factory=dict)
    not_done: set[bytes] = field(default_factory=set)


class Load:
    """Writers in a closed loop, each with its own client (so its own session) and its own keys."""

    def __init__(self, clients: Sequence[Client], value_bytes: int = 64) -> None:
        self.books = [Book() for _ in clients]
        self.ack_times: list[float] = []
        self._padding = b"x" * value_bytes
        self._stop = threading.Event()
        self._broken: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._run, args=(number, client), daemon=True)
            for number, client in enumerate(clients)
        ]

    @property
    def acked(self) -> int:
        return len(self.ack_times)

    def start(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(CALL_SECONDS + 10)
        assert not any(thread.is_alive() for thread in self._threads), "a call never came back"
        self._raise_if_broken()

    def wait_more(self, count: int, timeout: float, nodes: Sequence[Node]) -> float:
        """Until `count` more writes are acknowledged. Returns the seconds that took."""
        goal = self.acked + count

        def reached() -> bool:
            self._raise_if_broken()
            return self.acked >= goal

        return wait_until(reached, timeout, f"{count} more acknowledged writes", nodes)

    def silence(self, since: float) -> float:
        """The longest time without an acknowledgement that ended after `since`."""
        times = sorted(self.ack_times)
        return max(
            (late - early for early, late in itertools.pairwise(times) if late >= since),
            default=float("inf"),
        )

    def check(self, client: Client) -> tuple[int, int]:
        """Compare with what one node holds. Returns (acknowledged, unknown outcomes that happened).

        Every key is written by one call: version 1, or that call was executed twice.
        """
        found = read_all(client, b"load/")
        happened = 0
        for book in self.books:
            for key, value in book.acked.items():
                assert key in found, f"{key!r} was acknowledged and is not there"
                assert found.pop(key) == (value, 1), key
            for key, value in book.unknown.items():
                if key in found:
                    happened += 1
                    assert found.pop(key) == (value, 1), key
        assert not found, f"there, but certainly not done: {sorted(found)[:5]}"
        return sum(len(book.acked) for book in self.books), happened

    def _raise_if_broken(self) -> None:
        if self._broken:
            raise self._broken[0]

    def _run(self, number: int, client: Client) -> None:
        book = self.books[number]
        count = 0
        try:
            while not self._stop.is_set():
                key = b"load/%03d/%07d" % (number, count)
                value = key + self._padding
                count += 1
                try:
                    client.put(key, value)
                except OutcomeUnknown:
                    book.unknown[key] = value
                except RaftdError:
                    book.not_done.add(key)
                    self._stop.wait(0.02)
                else:
                    book.acked[key] = value
                    self.ack_times.append(time.monotonic())
        except BaseException as error:  # noqa: BLE001 - raised again on the test's thread
            self._broken.append(error)


def read_all(client: Client, prefix: bytes) -> dict[bytes, tuple[bytes, int]]:
    """key -> (value, version), from one node's own state."""
    found: dict[bytes, tuple[bytes, int]] = {}
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
