"""v3electionpb.Election: campaign, proclaim, observe, resign. Network thread only."""

from __future__ import annotations

import asyncio

from raftd._pb import etcd_pb2 as pb
from raftd.rpc.etcd.calls import Caller, Conversation
from raftd.rpc.etcd.faults import Code, Fault
from raftd.rpc.etcd.kv import KVService
from raftd.rpc.etcd.recipes import Place, Queues
from raftd.wire.spans import prefix_end

NO_LEADER = "election: no leader"
NOT_LEADER = "election: not leader"
NO_KEY = '"leader" field must be provided'


class ElectionService:
    def __init__(self, kv: KVService, queues: Queues) -> None:
        self._kv = kv
        self._queues = queues

    async def Campaign(self, request: pb.CampaignRequest, caller: Caller) -> pb.CampaignResponse:
        """Waits until it is elected. A caller that goes before gives up its candidacy."""
        place = await self._queues.join(request.name, request.lease, request.value, caller)
        leader = pb.LeaderKey(
            name=request.name, key=place.key, rev=place.revision, lease=place.lease
        )
        try:
            if place.value != request.value:
                proclaim = pb.ProclaimRequest(leader=leader, value=request.value)
                await self.Proclaim(proclaim, caller)
            header = await self._queues.first(place, caller)
        except (asyncio.CancelledError, Fault):
            await asyncio.shield(self._queues.leave(place, caller))
            raise
        return pb.CampaignResponse(header=header, leader=leader)

    async def Proclaim(self, request: pb.ProclaimRequest, caller: Caller) -> pb.ProclaimResponse:
        """Another value, as long as the leader is the one that it was."""
        leader = _named(request.leader)
        put = pb.PutRequest(key=leader.key, value=request.value, lease=leader.lease)
        answer = await self._kv.Txn(
            pb.TxnRequest(
                compare=[
                    pb.Compare(
                        key=leader.key,
                        target=pb.Compare.CREATE,
                        result=pb.Compare.EQUAL,
                        create_revision=leader.rev,
                    )
                ],
                success=[pb.RequestOp(request_put=put)],
            ),
            caller,
        )
        if not answer.succeeded:
            raise Fault(Code.UNKNOWN, NOT_LEADER)
        return pb.ProclaimResponse(header=answer.header)

    async def Leader(self, request: pb.LeaderRequest, caller: Caller) -> pb.LeaderResponse:
        found = await self._oldest(request.name + b"/", caller)
        if not found.kvs:
            raise Fault(Code.UNKNOWN, NO_LEADER)
        return pb.LeaderResponse(header=found.header, kv=found.kvs[0])

    async def _oldest(self, prefix: bytes, caller: Caller) -> pb.RangeResponse:
        return await self._kv.Range(
            pb.RangeRequest(
                key=prefix,
                range_end=prefix_end(prefix),
                sort_order=pb.RangeRequest.ASCEND,
                sort_target=pb.RangeRequest.CREATE,
                limit=1,
            ),
            caller,
        )

    async def Observe(self, talk: Conversation) -> None:
        """The leader's key and value, and again whenever either changes."""
        request = await talk.receive()
        if request is None:
            return
        prefix = request.name + b"/"
        told: pb.KeyValue | None = None
        while True:
            found = await self._oldest(prefix, talk.caller)
            now = found.kvs[0] if found.kvs else None
            if now is not None and now != told:
                told = now
                await talk.send(pb.LeaderResponse(header=found.header, kv=now))
            start = found.header.revision + 1
            async with self._queues.changes(prefix, prefix_end(prefix), start) as changes:
                async for _ in changes:
                    break

    async def Resign(self, request: pb.ResignRequest, caller: Caller) -> pb.ResignResponse:
        leader = _named(request.leader)
        place = Place(leader.name + b"/", leader.key, leader.rev, leader.lease)
        return pb.ResignResponse(header=await self._queues.leave(place, caller))


def _named(leader: pb.LeaderKey) -> pb.LeaderKey:
    """Raises Fault if the request names no leader."""
    if not leader.key:
        raise Fault(Code.UNKNOWN, NO_KEY)
    return leader
