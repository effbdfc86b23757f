"""The watchers of one stream: requests in, answers out; nothing waits here. Network thread only."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from raftd._pb import etcd_pb2 as pb
from raftd.rpc.etcd.header import Headers
from raftd.rpc.etcd.hub import Change, Delivery, Hub, Taken
from raftd.rpc.etcd.translate import key_value
from raftd.rpc.etcd.watch_rights import WatchRights

NOTES_MAX = 128
"""Answers to requests that wait to be sent: past it the stream is not read."""
EVENTS_MAX = 1000
BYTES_MAX = 1 << 20
"""What is taken from the hub at a time. One revision is never cut, however large it is."""
FRAGMENT_BYTES_MAX = 1_572_864
NO_WATCHER = -1
FIRST_CHANGE = 2
"""Revision 1 is the empty store."""

EMPTY_RANGE = "mvcc: watcher range is empty"
DUPLICATE = "mvcc: duplicate watch ID provided on the WatchStream"
COMPACTED = "etcdserver: mvcc: required revision has been compacted"


@dataclass(frozen=True, slots=True)
class WatchLimits:
    """Watchers of one stream; of all streams, and of the recipes that wait: about a kilobyte each.

    Named as the settings are.
    """

    stream_watchers_max: int = 10_000
    watchers_max: int = 100_000


@dataclass(slots=True, eq=False)
class Watcher:
    """One of them. keys: key and range_end. quiet: nothing was sent since progress was last due.

    rests: it has not been told everything, and there is nothing to take until a snapshot is
    restored.
    """

    number: int
    taken: Taken
    progress: bool
    fragment: bool
    keys: tuple[bytes, bytes]
    quiet: bool = True
    rests: bool = False


class StreamWatchers:
    def __init__(
        self,
        hub: Hub,
        revision: Callable[[], int],
        headers: Headers,
        rights: WatchRights | None = None,
        limits: WatchLimits | None = None,
    ) -> None:
        self._limits = limits or WatchLimits()
        self._rights = rights or WatchRights()
        self._hub = hub
        self._revision = revision
        self._headers = headers
        self._watchers: dict[int, Watcher] = {}
        self._ended: set[int] = set()
        """Numbers of those that a compaction ended: as in etcd, each is in use until cancelled."""
        self._next = 0
        self._notes: deque[pb.WatchResponse] = deque()
        self._ready: dict[Watcher, None] = {}
        self._progress_wanted = 0
        self._something = asyncio.Event()
        self.told = asyncio.Event()
        """Set when notes were taken to be sent."""

    @property
    def notes(self) -> int:
        return len(self._notes) + self._progress_wanted

    async def wait(self) -> None:
        """Until there may be something in `answers`."""
        await self._something.wait()

    def wake(self) -> None:
        """There may be nothing to send, and yet something to look at."""
        self._something.set()

    def close(self) -> None:
        for watcher in self._watchers.values():
            watcher.taken.cancel()
        self._watchers.clear()

    def look(self) -> None:
        """Whose keys may not be read any more is told so, also while nothing happens to them."""
        if self._rights.moved():
            self._end_forbidden()

    # --- requests -------------------------------------------------------------------------------

    def on_request(self, request: pb.WatchRequest) -> None:
        kind = request.WhichOneof("request_union")
        if kind == "create_request":
            self._create(request.create_request)
        elif kind == "cancel_request":
            self._cancel(request.cancel_request.watch_id)
        elif kind == "progress_request":
            self._progress_wanted += 1
            self._something.set()

    def _create(self, request: pb.WatchCreateRequest) -> None:
        key, end = request.key or b"\0", request.range_end
        refused = self._refusal(request, key, end)
        if refused:
            self._note(NO_WATCHER, created=True, canceled=True, cancel_reason=refused)
            return
        number, start = request.watch_id or self._number(), request.start_revision
        self._note(number, created=True)
        taken = self._hub.subscribe(
            key,
            end,
            start_revision=start and max(start, FIRST_CHANGE),
            on_ready=lambda: self._is_ready(number),
            no_put=pb.WatchCreateRequest.NOPUT in request.filters,
            no_delete=pb.WatchCreateRequest.NODELETE in request.filters,
            prev_kv=request.prev_kv,
        )
        watcher = Watcher(number, taken, request.progress_notify, request.fragment, (key, end))
        self._watchers[number] = watcher
        self._is_ready(number)

    def _refusal(self, request: pb.WatchCreateRequest, key: bytes, end: bytes) -> str:
        if refused := self._rights.refusal(key, end):
            return refused
        if request.start_revision < 0:
            return COMPACTED
        if end not in (b"", b"\0") and key >= end:
            return EMPTY_RANGE
        if request.watch_id and self._in_use(request.watch_id):
            return DUPLICATE
        return self._too_many()

    def _too_many(self) -> str:
        if len(self._hub) >= (most := self._limits.watchers_max):
            return f"etcdserver: too many watchers on this member: watchers_max ({most}) is reached"
        if len(self._watchers) + len(self._ended) >= (most := self._limits.stream_watchers_max):
            return (
                "etcdserver: too many watchers on this stream: "
                f"stream_watchers_max ({most}) is reached"
            )
        return ""

    def _in_use(self, number: int) -> bool:
        return number in self._watchers or number in self._ended

    def _number(self) -> int:
        while self._in_use(self._next):
            self._next += 1
        self._next += 1
        return self._next - 1

    def _cancel(self, number: int) -> None:
        """An unknown number gets no answer, as in etcd."""
        watcher = self._watchers.pop(number, None)
        if watcher is not None:
            watcher.taken.cancel()
            self._ready.pop(watcher, None)
            self._note(number, canceled=True)
        elif number in self._ended:
            self._ended.discard(number)
            self._note(number, canceled=True)

    def _end_forbidden(self) -> None:
        """Those whose keys may not be read any more hear nothing more, and are told."""
        for watcher in list(self._watchers.values()):
            if why := self._rights.refusal(*watcher.keys):
                watcher.taken.cancel()
                del self._watchers[watcher.number]
                self._ready.pop(watcher, None)
                self._note(watcher.number, canceled=True, cancel_reason=why)

    def _note(self, number: int, **fields: Any) -> None:
        header = self._headers.make(self._revision())
        self._notes.append(pb.WatchResponse(header=header, watch_id=number, **fields))
        self._something.set()

    def _is_ready(self, number: int) -> None:
        watcher = self._watchers.get(number)
        if watcher is not None:
            self._ready[watcher] = None
            self._something.set()

    # --- answers --------------------------------------------------------------------------------

    def answers(self) -> Iterator[pb.WatchResponse]:
        """What is to be sent now, made as it is sent: what waits to be sent is one answer."""
        self._something.clear()
        while self._notes or self._ready:
            while self._notes:
                yield self._notes.popleft()
                self.told.set()
            watcher = next(iter(self._ready), None)
            if watcher is not None:
                del self._ready[watcher]
                yield from self._take(watcher)
        if self._progress_wanted:
            yield from self._progress()
        self.told.set()

    def _take(self, watcher: Watcher) -> Iterator[pb.WatchResponse]:
        """What the hub has for it. After a cancel there may be nothing to take any more."""
        self.look()
        if self._watchers.get(watcher.number) is watcher:
            yield from self._taken(watcher, watcher.taken.take(EVENTS_MAX, BYTES_MAX))

    def _taken(self, watcher: Watcher, delivery: Delivery) -> Iterator[pb.WatchResponse]:
        watcher.rests = not delivery.more and delivery.revision < self._revision()
        if delivery.more:
            self._ready[watcher] = None
        if delivery.revisions:
            watcher.quiet = False
            yield from self._events(watcher, delivery)
        if delivery.compacted:
            self._watchers.pop(watcher.number, None)
            self._ended.add(watcher.number)
            self._ready.pop(watcher, None)
            yield pb.WatchResponse(
                header=self._headers.make(0),
                watch_id=watcher.number,
                canceled=True,
                compact_revision=delivery.compacted,
            )

    def _events(self, watcher: Watcher, delivery: Delivery) -> Iterator[pb.WatchResponse]:
        answer = pb.WatchResponse(
            header=self._headers.make(delivery.revision), watch_id=watcher.number
        )
        size = 0
        for revision, events in delivery.revisions:
            for event in events:
                made = answer.events.add()
                _fill(made, revision, event)
                if watcher.fragment:
                    size += made.ByteSize()
                    if size > FRAGMENT_BYTES_MAX and len(answer.events) > 1:
                        yield from self._fragment(answer)
                        size = answer.ByteSize()
        yield answer

    def _fragment(self, answer: pb.WatchResponse) -> Iterator[pb.WatchResponse]:
        """All but the last event, which stays in `answer`."""
        last = pb.Event()
        last.CopyFrom(answer.events[-1])
        part = pb.WatchResponse()
        part.CopyFrom(answer)
        del part.events[-1]
        part.fragment = True
        del answer.events[:]
        answer.events.append(last)
        yield part

    def _progress(self) -> Iterator[pb.WatchResponse]:
        """One answer for all watchers, once each of them has been told everything up to there."""
        revision = self._revision()
        self.look()
        for watcher in list(self._watchers.values()):
            delivery = watcher.taken.take(EVENTS_MAX, BYTES_MAX)
            yield from self._taken(watcher, delivery)
            if delivery.revisions or delivery.more or delivery.compacted:
                self._ready[watcher] = None
        if self._ready:
            self._something.set()
            return
        if any(watcher.rests for watcher in self._watchers.values()):
            return
        wanted, self._progress_wanted = self._progress_wanted, 0
        if not all(watcher.taken.progress for watcher in self._watchers.values()):
            return  # as etcd: to one that waits for a later revision it would name an earlier place
        for _ in range(wanted):
            yield pb.WatchResponse(header=self._headers.make(revision), watch_id=NO_WATCHER)

    def progress_is_due(self) -> None:
        """Whoever wants it and heard nothing since the last time is told the revision.

        Not while it waits for a revision in the future: a client goes on behind what it was told,
        so after a new connection it would see what it never asked for.
        """
        for watcher in self._watchers.values():
            wants = watcher.progress and watcher.quiet and watcher not in self._ready
            if wants and watcher.taken.progress:
                self._note(watcher.number)
            watcher.quiet = True


def _fill(made: pb.Event, revision: int, event: Change) -> None:
    if event.kv is None:
        made.type = pb.Event.DELETE
        made.kv.key = event.key
        made.kv.mod_revision = revision
    else:
        made.kv.CopyFrom(key_value(event.kv))
    if event.previous is not None:
        made.prev_kv.CopyFrom(key_value(event.previous))
