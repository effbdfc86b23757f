"""Watchers on both sides of a comparison: their events must be the same in the end."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc

from raftd._pb import etcd_pb2 as pb
from tests.etcd.client import EtcdClient

CREATE_SECONDS = 20.0
CATCH_UP_SECONDS = 0.3
"""etcd looks at watchers of the past every 100 ms."""


class WatchStream:
    """One stream of one side, and all that came on it, by watcher."""

    def __init__(self, client: EtcdClient) -> None:
        self._call = client.stream("Watch", "Watch")
        self._reader = asyncio.ensure_future(self._read())
        self.events: dict[int, list[bytes]] = {}
        self.said: dict[int, list[str]] = {}
        self.split: list[int] = []
        self._last: dict[int, int] = {}
        self._asked: list[pb.WatchCreateRequest] = []
        self._created: list[int] = []
        self._more = asyncio.Event()

    async def _read(self) -> None:
        try:
            while True:
                answer = await self._call.read()
                if answer is grpc.aio.EOF:
                    return
                self._take(answer)
        except (grpc.aio.AioRpcError, asyncio.CancelledError):
            return

    def _take(self, answer: Any) -> None:
        number = answer.watch_id
        if answer.created or answer.canceled:
            text = (
                f"created {answer.created} canceled {answer.canceled} "
                f"compacted {answer.compact_revision} because {answer.cancel_reason!r}"
            )
            self.said.setdefault(number, []).append(text)
        if answer.created:
            self._created.append(number)
            self._more.set()
        if answer.events and answer.events[0].kv.mod_revision == self._last.get(number):
            self.split.append(number)
        for event in answer.events:
            self.events.setdefault(number, []).append(event.SerializeToString(deterministic=True))
            self._last[number] = event.kv.mod_revision

    async def create(self, request: pb.WatchCreateRequest) -> None:
        self._asked.append(request)
        await self._call.write(pb.WatchRequest(create_request=request))

    async def answered(self, count: int) -> None:
        """Until so many watchers were made or refused."""
        while len(self._created) < count:
            self._more.clear()
            await self._more.wait()

    def asked(self, number: int) -> str:
        """The request that made a watcher, on one line."""
        place = self._created.index(number)
        return " ".join(str(self._asked[place]).split())

    async def cancel(self, number: int) -> None:
        cancel = pb.WatchCancelRequest(watch_id=number)
        await self._call.write(pb.WatchRequest(cancel_request=cancel))

    def close(self) -> None:
        self._call.cancel()
        self._reader.cancel()


class Pair:
    """The same watchers at etcd and at raftd."""

    def __init__(self, etcd: EtcdClient, raftd: EtcdClient) -> None:
        self.sides = WatchStream(etcd), WatchStream(raftd)
        self.requests: list[pb.WatchCreateRequest] = []
        self._made = float("-inf")

    @property
    def created(self) -> int:
        return len(self.requests)

    async def create(self, request: pb.WatchCreateRequest) -> None:
        """Returns when both are there: what is written next is seen by both."""
        for side in self.sides:
            await side.create(request)
        async with asyncio.timeout(CREATE_SECONDS):
            for side in self.sides:
                await side.answered(len(self.requests) + 1)
        self.requests.append(request)
        self._made = asyncio.get_running_loop().time()

    async def caught_up(self) -> None:
        """etcd reads the past for a new watcher a moment later, and a cancel or a compaction may be
        before that; raftd reads it at once. Returns when that moment is over.
        """
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, self._made + CATCH_UP_SECONDS - loop.time()))

    async def cancel(self, number: int) -> None:
        await self.caught_up()
        for side in self.sides:
            await side.cancel(number)

    async def settle(self, seconds: float) -> str:
        """Wait until both have said the same; what differs if they do not within `seconds`."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while (difference := self._difference()) and loop.time() < deadline:
            await asyncio.sleep(0.01)
        return difference

    def _difference(self) -> str:
        etcd, raftd = self.sides
        if raftd.split:
            return f"raftd split a revision on watcher {raftd.split[0]}"
        for what in ("said", "events"):
            one, other = getattr(etcd, what), getattr(raftd, what)
            for number in sorted({*one, *other}):
                if one.get(number) != other.get(number):
                    shown = _first_difference(one.get(number, []), other.get(number, []))
                    return f"watcher {number} {{{etcd.asked(number)}}}, {what}: {shown}"
        return ""

    def close(self) -> None:
        for side in self.sides:
            side.close()


def _first_difference(one: list[Any], other: list[Any]) -> str:
    for place, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return f"at {place} etcd has {_shown(left)}, raftd {_shown(right)}"
    longer = one if len(one) > len(other) else other
    name = "etcd" if longer is one else "raftd"
    place = min(len(one), len(other))
    return f"only {name} has, at {place}: {_shown(longer[place])} ({len(one)}, {len(other)})"


def _shown(one: Any) -> str:
    if isinstance(one, bytes):
        return " ".join(str(pb.Event.FromString(one)).split())
    return str(one)
