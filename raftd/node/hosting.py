"""What a node offers to the machine on it: its state, and a place for snapshots it makes itself.

A snapshot stands for one index: the machine's bytes, the sessions and the configuration must all be
of that index, or commands between two of them would count as seen and be skipped. So the machine
marks an index while it is there, on its own thread; sessions and configuration are kept then and
wait for the machine's bytes, however long those take.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from raftd.core.types import Configuration, Index, RaftState, Term
from raftd.node.apply_jobs import Call
from raftd.node.applying import Applying
from raftd.node.clients import Clients
from raftd.node.driver import CoreDriver
from raftd.node.snapshot_policy import SnapshotPolicy
from raftd.wire.batch import encode_batch

MARKS_MAX = 4
"""Marked indexes not handed in yet; the oldest is forgotten, with its copy of the sessions."""


@dataclass(frozen=True, slots=True)
class Mark:
    term: Term
    configuration: Configuration
    sessions: bytes


class Hosting:
    """The node's NodeHandle. state, now, hand_in: any thread; the rest: the machine's owner."""

    def __init__(
        self,
        driver: CoreDriver,
        applying: Applying,
        snapshot_policy: SnapshotPolicy,
        clients: Clients,
    ) -> None:
        self._driver = driver
        self._applying = applying
        self._apply = applying.worker
        self._snapshot_policy = snapshot_policy
        self._clients = clients
        self._lock = threading.Lock()
        self._marks: dict[Index, Mark] = {}
        self._writing: Index = 0

    def state(self) -> RaftState:
        """The core hears of what was applied a slice later; here it is exact."""
        return replace(self._driver.state(), applied_index=self._apply.applied_index)

    def now(self) -> float:
        return self._driver.clock.now()

    def call_later(self, seconds: float, call: Callable[[], None]) -> None:
        """It becomes a job of the machine's owner, so a restore or a slice is over before it."""
        driver, applying = self._driver, self._applying

        def due() -> None:
            applying.put(Call(call))
            applying.resume()

        if self._apply.quick:  # its thread is the network thread: no need to wake it for that
            driver.later(seconds, due)
        else:
            driver.post(lambda: driver.later(seconds, due))

    def propose(self, command: bytes, term: Term) -> None:
        payload = encode_batch(b"", 0, [(0, command)])
        self._driver.post(lambda: self._clients.propose_in(term, payload))

    def mark_snapshot(self) -> tuple[Index, bytes]:
        """(index, sessions' bytes). Raises RuntimeError off the owner's thread or inside apply."""
        index, term, sessions = self._apply.mark()
        mark = Mark(term, self._driver.configuration_at(index), sessions)
        with self._lock:
            self._marks[index] = mark
            while len(self._marks) > MARKS_MAX:
                del self._marks[min(self._marks)]
        return index, sessions

    def hand_in(self, index: Index, chunks: Iterable[bytes]) -> None:
        """Have `chunks` stored as the snapshot at `index`; they are iterated on raft-snapshot.

        Returns at once; the outcome is an event, snapshot_taken or snapshot_failed. A mark is good
        for one. Raises ValueError if `index` is not marked, RuntimeError while the last is written.
        """
        with self._lock:
            if self._writing:
                raise RuntimeError(
                    f"hand_in: the snapshot at {self._writing} is still being written; "
                    "wait for its event and try again"
                )
            mark = self._marks.pop(index, None)
            if mark is None:
                known = ", ".join(map(str, sorted(self._marks))) or "none"
                raise ValueError(
                    f"hand_in: index {index} is not marked (marked: {known}); "
                    "call mark_snapshot first, and hand in once"
                )
            self._writing = index
        what = (index, mark.term, mark.sessions, chunks)
        handed_in = self._snapshot_policy.handed_in
        self._driver.post(lambda: handed_in(what, mark.configuration, self._written))

    def _written(self) -> None:
        with self._lock:
            self._writing = 0
