"""Clients that write all the time, and the book of their answers to compare nodes with."""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import dataclass, field

from raftd.client import Client, OutcomeUnknown, RaftdError

PREFIX = b"compose/"
CALL_SECONDS = 30.0
PACE_SECONDS = 0.004
"""Between two writes of a thread: the machine has better to do than to store our numbers."""

Found = dict[bytes, tuple[bytes, int]]
"""key -> (value, version), as one node holds it."""


class WrongState(Exception):
    """A node does not hold what clients were promised."""


@dataclass
class Book:
    """What the callers were told. Every key is written by one call only."""

    acked: dict[bytes, bytes] = field(default_factory=dict)
    unknown: dict[bytes, bytes] = field(default_factory=dict)
    ack_times: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def silence(self, since: float, until: float) -> float:
        """Seconds of the longest time without an acknowledgement between the two moments."""
        inside = [moment for moment in sorted(self.ack_times) if since <= moment <= until]
        marks = [since, *inside, until]
        return max(late - early for early, late in itertools.pairwise(marks))

    def check(self, where: str, found: Found) -> int:
        """Returns how many acknowledged writes the node holds: all. Raises WrongState.

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
        return len(self.acked)


class Writers:
    """Threads that put new keys through one client. start, stop: one thread."""

    def __init__(self, client: Client, threads: int) -> None:
        self.book = Book()
        self._client = client
        self._stop = threading.Event()
        self._broken: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._run, args=(number,), name=f"writer-{number}", daemon=True)
            for number in range(threads)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Raises what broke a writer."""
        self._stop.set()
        for thread in self._threads:
            thread.join(CALL_SECONDS + 5)
        if self._broken:
            raise self._broken[0]
        if any(thread.is_alive() for thread in self._threads):
            raise WrongState("a call of a client did not come back")

    def _run(self, number: int) -> None:
        book = self.book
        try:
            for count in itertools.count():
                key = b"%s%d/%07d" % (PREFIX, number, count)
                value = b"written by thread %d as number %d" % (number, count)
                try:
                    self._client.put(key, value, timeout=CALL_SECONDS)
                except OutcomeUnknown as error:
                    book.unknown[key] = value
                    book.errors.append(str(error))
                except RaftdError as error:
                    book.errors.append(str(error))
                else:
                    book.acked[key] = value
                    book.ack_times.append(time.monotonic())
                if self._stop.wait(PACE_SECONDS):
                    return
        except BaseException as error:  # noqa: BLE001 - raised again by stop
            self._broken.append(error)


def read_all(client: Client) -> Found:
    """All that the client's one node has applied under our prefix."""
    found: Found = {}
    after = b""
    while True:
        page = client.range(PREFIX, limit=5_000, after=after, consistency="stale")
        found.update({kv.key: (kv.value, kv.version) for kv in page.kvs})
        if not page.more:
            return found
        after = page.kvs[-1].key
