"""etcdserverpb.Watch: one stream, many watchers. Network thread only.

A stream has a task that reads requests and one that writes answers. The hub keeps what a watcher
has not taken, within its bounds; here only the notes wait that say which watchers to ask.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from raftd.rpc.clients.callers import EVERYBODY, Callers
from raftd.rpc.etcd.calls import Conversation
from raftd.rpc.etcd.faults import fault, refused_here
from raftd.rpc.etcd.header import Headers
from raftd.rpc.etcd.hub import Hub
from raftd.rpc.etcd.long_answers import Bench, Shares
from raftd.rpc.etcd.one_watcher import WatchLimits, WatchRights
from raftd.rpc.etcd.watcher import NOTES_MAX, StreamWatchers

LOOK_SECONDS = 0.25
PROGRESS_SECONDS = 600.0
"""A watcher that wants to hear of progress does so when nothing was sent to it for so long."""


OVER = object()
CLOSED_AT_ONCE = 128
"""Watchers of streams that have ended, in a turn of the loop."""


class LeaderLooks:
    """Looks at the leader now and then, while somebody waits. Network thread only."""

    def __init__(self, known: Callable[[], bool], patience_seconds: float) -> None:
        """known: does this member know a leader now? patience_seconds: how long it may know none,
        for a stream that was opened before; etcd's is three election timeouts.
        """
        self._known = known
        self._patience = patience_seconds
        self._loop = asyncio.get_running_loop()
        self._waiting: set[asyncio.Future[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._since: float | None = None

    async def lost(self) -> None:
        """Returns at once if there is no leader, else when there has been none for long."""
        if not self._known():
            return
        waiting = self._loop.create_future()
        self._waiting.add(waiting)
        if self._timer is None:
            self._since = None
            self._look()
        try:
            await waiting
        finally:
            self._waiting.discard(waiting)

    def _look(self) -> None:
        now = self._loop.time()
        if self._known():
            self._since = None
        elif self._since is None:
            self._since = now
        if self._since is not None and now - self._since >= self._patience:
            for waiting in self._waiting:
                if not waiting.done():
                    waiting.set_result(None)
        self._timer = None
        if self._waiting:
            self._timer = self._loop.call_later(self._patience / 4, self._look)


class WatchService:
    def __init__(
        self,
        hub: Hub,
        revision: Callable[[], int],
        headers: Headers,
        looks: LeaderLooks,
        refusal: Callable[[], str] = lambda: "",
        progress_seconds: float = PROGRESS_SECONDS,
        callers: Callers = EVERYBODY,
        limits: WatchLimits | None = None,
        seen: Callable[[], Awaitable[None]] | None = None,
        shares: Shares | None = None,
    ) -> None:
        """revision: the hub's at this moment. refusal: why this member serves nothing, or "". seen:
        waits until what was answered here is applied here (`Told`): "from now on" is after it.
        """
        self._seen = seen
        self._limits = limits
        self._callers = callers
        self._hub = hub
        self._revision = revision
        self._headers = headers
        self._looks = looks
        self._refusal = refusal
        self._open: set[StreamWatchers] = set()
        self._closing: deque[StreamWatchers] = deque()
        self._shares, self._bench = shares or Shares(), Bench()
        self._look: asyncio.TimerHandle | None = None
        self._progress_seconds = progress_seconds

    async def Watch(self, talk: Conversation) -> None:
        """Until the caller has gone. Raises Fault when a leader is required and there is none."""
        rights = WatchRights(self._callers, talk.caller.principal)
        watchers = StreamWatchers(
            self._hub, self._revision, self._headers, rights, self._limits, self._bench
        )
        self._open.add(watchers)
        if self._look is None:
            self._look_at_member()
        tasks = [
            asyncio.ensure_future(self._read(talk, watchers)),
            asyncio.ensure_future(self._write(talk, watchers)),
        ]
        if talk.caller.requires_leader:
            tasks.append(asyncio.ensure_future(self._looks.lost()))
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if tasks[-1] in done and talk.caller.requires_leader:
                raise fault("no_leader")
            for task in done:
                task.result()
        finally:
            self._open.discard(watchers)
            self._close(watchers)
            for task in tasks:
                task.cancel()
            # All are asked how they ended: what nobody hears of would stop the node.
            await asyncio.gather(*tasks, return_exceptions=True)

    def _look_at_member(self) -> None:
        """While there are streams: those that wait hear of it, too, when nothing is served here, or
        their callers may not read any more what they watch.
        """
        self._look = None
        if not self._open:
            return
        refused = self._refusal()
        for watchers in self._open:
            watchers.look()
            if refused:
                watchers.wake()
        self._look = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look_at_member)

    def _close(self, watchers: StreamWatchers) -> None:
        """A stream may have ten thousand, and a caller who goes many streams."""
        self._closing.append(watchers)
        if len(self._closing) == 1:
            self._close_some()

    def _close_some(self) -> None:
        if not self._closing[0].close(CLOSED_AT_ONCE):
            self._closing.popleft()
        if self._closing:
            asyncio.get_running_loop().call_soon(self._close_some)

    async def _read(self, talk: Conversation, watchers: StreamWatchers) -> None:
        while (request := await talk.receive()) is not None:
            if self._seen is not None and request.HasField("create_request"):
                await self._seen()
            watchers.on_request(request)
            while watchers.notes >= NOTES_MAX:
                await watchers.told.wait()
                watchers.told.clear()

    async def _write(self, talk: Conversation, watchers: StreamWatchers) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + self._progress_seconds
        while True:
            steps = watchers.steps()
            while True:
                await self._shares.turn()
                answer = next(steps, OVER)
                if answer is OVER:
                    break
                if answer is None:
                    continue
                if why := self._refusal():
                    raise refused_here(why)
                await talk.send(answer)
            if why := self._refusal():
                raise refused_here(why)
            try:
                async with asyncio.timeout_at(due):
                    await watchers.wait()
            except TimeoutError:
                due = loop.time() + self._progress_seconds
                watchers.progress_is_due()
