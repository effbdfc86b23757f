"""The film of a running node: its last minute as records, for whoever wants to look.

Votes are recorded one by one, and all else that goes to a peer as numbers since the last look, so
that the price is a dictionary look-up a message. Without a film nothing of this is there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from raftd.core.core import RaftCore
from raftd.core.effects import Event
from raftd.core.messages import (
    AppendRequest,
    Reply,
    Request,
    TimeoutNowRequest,
    VoteReply,
    VoteRequest,
)
from raftd.core.types import Index
from raftd.node import film_records as records
from raftd.node.apply_jobs import Call
from raftd.node.applying import Applying
from raftd.node.driver import CoreDriver
from raftd.node.film_latencies import Latencies
from raftd.node.film_records import Record
from raftd.node.measures import Measures
from raftd.node.ports import Clock
from raftd.node.ring import Reader, Ring

LOOK_SECONDS = 0.1
RECORDS_MAX = 4096
"""Kept for readers: about a minute of an idle leader of five."""

FilmReader = Reader[Record]

Change = tuple[int, str, bytes, int]
"""(revision, what was done, key, bytes of the value)."""
LastChanges = Callable[[int, int], Sequence[Change]]
"""(after a revision, how many at most) -> the newest of them, oldest first. Machine's thread."""

CHANGES_MAX = 8
"""Of the store's changes between two looks, the newest."""


class Film:
    """Network thread, but `read`: any thread."""

    def __init__(self, core: RaftCore, clock: Clock, measures: Measures) -> None:
        self._core = core
        self._clock = clock
        self._latencies = Latencies(core, measures)
        self._driver: CoreDriver
        self._applying: Applying
        self._last_changes: LastChanges | None = None
        self._changed = False
        self._asked = False
        self._revision = 0
        self._ring: Ring[Record] = Ring(RECORDS_MAX)
        self._sums: dict[tuple[str, str, str], Record] = {}

    def follow(self, driver: CoreDriver, applying: Applying) -> None:
        """Hear of all that happens. Before start."""
        self._driver, self._applying = driver, applying
        driver.on_event(self.event)
        applying.on_applied(self._applied)

    def show_changes(self, last_changes: LastChanges | None) -> None:
        """Ask the machine for its last changes from now on. None: it shows none. Any thread."""
        self._last_changes = last_changes

    def _ask_for_changes(self, last_changes: LastChanges) -> None:
        def tell() -> None:
            """On the machine's thread, between two entries."""
            found = last_changes(self._revision, CHANGES_MAX)
            driver.post(lambda: self._take_changes(found))

        driver, applying = self._driver, self._applying
        applying.put(Call(tell))
        applying.resume()

    def _applied(self, index: Index, size: int, restored: bool) -> None:
        self._changed = True
        self._latencies.applied(index, self._clock.now())

    def _take_changes(self, found: Sequence[Change]) -> None:
        self._asked = False
        if found:
            self._revision = found[-1][0]
            self._ring.put(self._clock.now(), records.of_changes(found))

    def start(self, later: Callable[[float, Callable[[], None]], None]) -> None:
        """Look at the node from now on; later(seconds, call) is the loop's."""
        self.look()
        if self._changed and not self._asked and self._last_changes is not None:
            self._changed, self._asked = False, True
            self._ask_for_changes(self._last_changes)
        later(LOOK_SECONDS, lambda: self.start(later))

    def read(self, after: int | None, wake: Callable[[], None]) -> FilmReader:
        """As Ring.read. Any thread."""
        return self._ring.read(after, wake)

    def look(self) -> None:
        """Record what was sent since the last look, and what the node looks like."""
        now = self._clock.now()
        sums, self._sums = self._sums, {}
        for record in sums.values():
            self._ring.put(now, record)
        self._ring.put(now, {**records.of_state(self._core, now), "ms": self._latencies.take(now)})

    def event(self, event: Event) -> None:
        """Record it, and what the node looks like after it."""
        self._ring.put(self._clock.now(), records.of_event(event))
        self.look()

    def sent(self, peer: str, request: Request) -> None:
        """A request leaves."""
        if isinstance(request, VoteRequest | TimeoutNowRequest):
            self._ring.put(self._clock.now(), records.of_request(peer, request))
            return
        if isinstance(request, AppendRequest):
            self._latencies.sent(request, self._clock.now())
        key = ("send", peer, records.name_of(request))
        record = self._sums.get(key)
        if record is None:
            self._sums[key] = records.of_request(peer, request)
            return
        record["count"] += 1
        if isinstance(request, AppendRequest):
            record["entries"] += len(request.entries)

    def lost(self, peer: str, request: Request) -> None:
        """Its answer will not come."""
        record = self._sums.setdefault(
            ("lost", peer, records.name_of(request)), {**records.of_loss(peer, request), "count": 0}
        )
        record["count"] += 1

    def asked(self, request: Request, reply: Callable[[Reply], None]) -> Callable[[Reply], None]:
        """A peer's request is about to be judged. Returns what to reply with instead of `reply`."""
        if not isinstance(request, VoteRequest):
            return reply
        why = self._core.closer(self._clock.now(), request).refusal

        def replied(answer: Reply) -> None:
            if isinstance(answer, VoteReply):
                self._ring.put(self._clock.now(), records.of_vote(request, answer, why))
            reply(answer)

        return replied
