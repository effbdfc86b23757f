"""v3lockpb.Lock: a lock that is held as long as its key exists. Network thread only."""

from __future__ import annotations

import asyncio

from raftd._pb import etcd_pb2 as pb
from raftd.rpc.etcd.calls import Caller
from raftd.rpc.etcd.faults import Code, Fault, fault
from raftd.rpc.etcd.kv import KVService
from raftd.rpc.etcd.recipes import Place, Queues

EXPIRED = "mutex: session is expired"


class LockService:
    def __init__(self, kv: KVService, queues: Queues) -> None:
        self._kv = kv
        self._queues = queues
        self._leaving: set[asyncio.Task[pb.ResponseHeader]] = set()

    async def Lock(self, request: pb.LockRequest, caller: Caller) -> pb.LockResponse:
        """Waits for its turn. A caller that goes before leaves the queue."""
        place = await self._queues.join(request.name, request.lease, b"", caller)
        try:
            header = await self._queues.first(place, caller)
            mine = await self._kv.Range(pb.RangeRequest(key=place.key), caller)
            if not mine.kvs:
                raise Fault(Code.UNKNOWN, EXPIRED)
        except (asyncio.CancelledError, Fault):
            self._leave(place, caller)
            raise
        return pb.LockResponse(header=header, key=place.key)

    def _leave(self, place: Place, caller: Caller) -> None:
        task = asyncio.ensure_future(self._queues.leave(place, caller))
        self._leaving.add(task)
        task.add_done_callback(self._left)

    def _left(self, task: asyncio.Task[pb.ResponseHeader]) -> None:
        """Whether it could leave or not: its lease ends the key in any case."""
        self._leaving.discard(task)
        if not task.cancelled():
            task.exception()

    async def Unlock(self, request: pb.UnlockRequest, caller: Caller) -> pb.UnlockResponse:
        if not request.key:
            raise fault("empty_key")
        answer = await self._kv.DeleteRange(pb.DeleteRangeRequest(key=request.key), caller)
        return pb.UnlockResponse(header=answer.header)
