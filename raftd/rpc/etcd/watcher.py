"""The watchers of one stream: requests in, answers out; nothing waits here. Network thread only."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Generator, Iterator
from itertools import islice
from typing import Any

from raftd._pb import etcd_pb2 as pb
from raftd.rpc.etcd.header import Headers
from raftd.rpc.etcd.hub import Delivery, Hub
from raftd.rpc.etcd.long_answers import Bench
from raftd.rpc.etcd.one_watcher import (
    DUPLICATE,
    LONG_BYTES_MAX,
    LOOKS,
    TOO_LONG,
    LongEvents,
    Watcher,
    WatchLimits,
    WatchRights,
    filled,
    never,
    swept,
)

NOTES_MAX = 128
"""Answers to requests that wait to be sent: past it the stream is not read."""
EVENTS_MAX = 128
BYTES_MAX = 128 << 10
"""What is taken from the hub at a time: a millisecond of work, or two."""
NO_WATCHER = -1
FIRST_CHANGE = 2
"""Revision 1 is the empty store."""


class StreamWatchers:
    def __init__(
        self,
        hub: Hub,
        revision: Callable[[], int],
        headers: Headers,
        rights: WatchRights | None = None,
        limits: WatchLimits | None = None,
        bench: Bench | None = None,
    ) -> None:
        """bench: of all streams of the node; None: there are no others."""
        self._bench = bench or Bench()
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
        self._sweeps: deque[Iterator[None]] = deque()
        """Looks at all watchers, some at a time."""
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

    def close(self, most: int | None = None) -> bool:
        """Cancel `most` of the watchers, or all. True: some are left."""
        for number in list(islice(self._watchers, most)):
            self._watchers.pop(number).taken.cancel()
        self._ready.clear()
        return bool(self._watchers)

    def look(self) -> None:
        """Whose keys may not be read any more is told so, also while nothing happens to them."""
        if self._rights.moved():
            self._sweep(self._forbid)

    def _sweep(self, look: Callable[[Watcher], object]) -> None:
        """`look` at every watcher there is now."""
        self._sweeps.append(swept(self._watchers, look))
        self._something.set()

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
        watcher = Watcher(
            number,
            taken,
            request.progress_notify,
            request.fragment,
            (key, end),
            self._rights.revision,
        )
        self._watchers[number] = watcher
        self._is_ready(number)

    def _refusal(self, request: pb.WatchCreateRequest, key: bytes, end: bytes) -> str:
        if refused := self._rights.refusal(key, end):
            return refused
        if refused := never(request, key, end):
            return refused
        if request.watch_id and self._in_use(request.watch_id):
            return DUPLICATE
        return self._limits.refusal(len(self._hub), len(self._watchers) + len(self._ended))

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

    def _forbid(self, watcher: Watcher) -> bool:
        """True: its keys may not be read any more. It hears nothing more, and is told."""
        if watcher.allowed == (now := self._rights.revision):
            return False
        if why := self._rights.refusal(*watcher.keys):
            self._end(watcher, why)
            return True
        watcher.allowed = now
        return False

    def _end(self, watcher: Watcher, why: str) -> None:
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

    def answers(self) -> Iterator[Any]:
        """What is to be sent now, made as it is sent: what waits to be sent is one answer."""
        return (answer for answer in self.steps() if answer is not None)

    def steps(self) -> Iterator[Any]:
        """`answers`, in steps of which none takes long. None: there is no answer yet."""
        self._something.clear()
        while self._sweeps or self._notes or self._ready:
            if self._sweeps:
                if next(self._sweeps[0], False) is False:
                    self._sweeps.popleft()
                yield None
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

    def _take(self, watcher: Watcher) -> Generator[Any, None, bool]:
        """What the hub has for it. True: something was told, or there is more."""
        delivery = self._next_of(watcher)
        if delivery is None:
            return False
        if delivery.goes_on and not watcher.fragment:
            whole = yield from self._whole(watcher, delivery)
            if whole is None:
                return False
            delivery = whole
        elif delivery.revisions or watcher.goes_on:
            yield from self._events(watcher, delivery)
        if delivery.compacted:
            yield self._compacted(watcher, delivery.compacted)
        elif delivery.more:
            yield None
        return bool(delivery.revisions or delivery.more or delivery.compacted)

    def _next_of(self, watcher: Watcher) -> Delivery | None:
        """None: it was cancelled, or is now, for its keys may not be read any more."""
        if self._watchers.get(watcher.number) is not watcher or self._forbid(watcher):
            return None
        delivery = watcher.taken.take(EVENTS_MAX, BYTES_MAX)
        watcher.rests = not delivery.more and delivery.revision < self._revision()
        if delivery.more:
            self._ready[watcher] = None
        return delivery

    def _whole(self, watcher: Watcher, delivery: Delivery) -> Generator[Any, None, Delivery | None]:
        """All parts of a revision become one answer, as whoever takes no fragments knows it.

        Returns the last delivery; None: it was cancelled meanwhile. One such answer is made at a
        time, on all streams of the node: each may take as much memory as all that waits unread.
        """
        while not self._bench.take(self):
            yield None
        long = LongEvents()
        try:
            last = yield from long.all(delivery, lambda: self._next_of(watcher))
        finally:
            self._bench.leave(self)
        if last is not None and long.bytes > LONG_BYTES_MAX:
            self._end(watcher, TOO_LONG)
            return None
        if last is not None and long.parts and not last.compacted:
            watcher.quiet = False
            yield long.answer(self._head(watcher, last.revision))
        return last

    def _events(self, watcher: Watcher, delivery: Delivery) -> Iterator[pb.WatchResponse]:
        """For fragments: whatever is not the last of its revision says that it goes on."""
        watcher.quiet = False
        revisions = delivery.revisions
        answer = self._head(watcher, max(delivery.revision, revisions[-1][0] if revisions else 0))
        yield from filled(answer, revisions, watcher.fragment)
        watcher.goes_on = answer.fragment = delivery.goes_on
        if not delivery.compacted:
            yield answer

    def _head(self, watcher: Watcher, revision: int) -> pb.WatchResponse:
        return pb.WatchResponse(header=self._headers.make(revision), watch_id=watcher.number)

    def _compacted(self, watcher: Watcher, revision: int) -> pb.WatchResponse:
        self._watchers.pop(watcher.number, None)
        self._ended.add(watcher.number)
        self._ready.pop(watcher, None)
        answer = self._head(watcher, 0)
        answer.canceled, answer.compact_revision = True, revision
        return answer

    def _progress(self) -> Iterator[Any]:
        """One answer for all watchers, once each of them has been told everything up to there."""
        revision = self._revision()
        for number, watcher in enumerate(list(self._watchers.values()), 1):
            if (yield from self._take(watcher)):
                self._ready[watcher] = None
            if number % LOOKS == 0:
                yield None
        if self._ready or self._sweeps or self._notes:
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
        self._sweep(self._due)

    def _due(self, watcher: Watcher) -> None:
        wants = watcher.progress and watcher.quiet and watcher not in self._ready
        if wants and watcher.taken.progress:
            self._note(watcher.number)
        watcher.quiet = True
