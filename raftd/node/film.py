"""The film of a running node: its last minute as records, for whoever wants to look.

Votes are recorded one by one, and all else that goes to a peer as numbers since the last look, so
that the price is a dictionary look-up a message. Without a film nothing of this is there.
"""

from __future__ import annotations

from collections.abc import Callable

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
from raftd.node import film_records as records
from raftd.node.film_records import Record
from raftd.node.ports import Clock
from raftd.node.ring import Reader, Ring

LOOK_SECONDS = 0.1
RECORDS_MAX = 4096
"""Kept for readers: about a minute of an idle leader of five."""

FilmReader = Reader[Record]


class Film:
    """Network thread, but `read`: any thread."""

    def __init__(self, core: RaftCore, clock: Clock) -> None:
        self._core = core
        self._clock = clock
        self._ring: Ring[Record] = Ring(RECORDS_MAX)
        self._sums: dict[tuple[str, str, str], Record] = {}

    def start(self, later: Callable[[float, Callable[[], None]], None]) -> None:
        """Look at the node from now on; later(seconds, call) is the loop's."""
        self.look()
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
        self._ring.put(now, records.of_state(self._core, now))

    def event(self, event: Event) -> None:
        """Record it, and what the node looks like after it."""
        self._ring.put(self._clock.now(), records.of_event(event))
        self.look()

    def sent(self, peer: str, request: Request) -> None:
        """A request leaves."""
        if isinstance(request, VoteRequest | TimeoutNowRequest):
            self._ring.put(self._clock.now(), records.of_request(peer, request))
            return
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
