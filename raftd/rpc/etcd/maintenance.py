"""etcdserverpb.Maintenance: status, hashes, snapshot, leadership. Network thread only."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

from raftd._pb import etcd_pb2 as pb
from raftd.core.types import Role
from raftd.machine.protocol import MachineError
from raftd.node.outcomes import Answered, Applied, Outcome, Refused
from raftd.rpc.api import Node
from raftd.rpc.etcd.backend import Backend
from raftd.rpc.etcd.calls import Caller, Conversation
from raftd.rpc.etcd.faults import Code, Fault, fault, refused_here
from raftd.rpc.etcd.header import Headers, member_named, member_number
from raftd.rpc.etcd.hub import WatchedStore
from raftd.rpc.etcd.long_answers import LONG, LongAnswers
from raftd.rpc.etcd.translate import encoded, one
from raftd.rpc.plumbing.later import Later, NotLoaded
from raftd.rpc.plumbing.pace import PACE_BYTES_PER_SECOND, Pace
from raftd.wire import alarms as wire
from raftd.wire import leases
from raftd.wire.kv_results import KeyValue
from raftd.wire.principal import OWN
from raftd.wire.txn import RangeOp
from raftd.wire.txn_answers import PAIRS_AT_ONCE, RangeAnswer, decoding

VERSION = "3.5.21"
"""Of the etcd whose API this is, not raftd's own: clients read it to know what they may ask."""
PAGE_KEYS = 1000
BLOB_BYTES = 32 << 10
TRANSFER_SECONDS = 5.0


def _load() -> Callable[[Iterable[bytes], int], Iterator[bytes]]:
    from raftd.wire.etcd_snapshot import snapshot_blobs

    return snapshot_blobs


_BLOBS = Later("snapshots for etcd's clients", _load)


def _hashed(kvs: Sequence[KeyValue], crc: int) -> Generator[None, None, int]:
    """Gives way now and then."""
    for number, kv in enumerate(kvs, 1):
        head = f"{kv.create_revision} {kv.mod_revision} {kv.version} {kv.lease} ".encode()
        crc = zlib.crc32(kv.value, zlib.crc32(kv.key, zlib.crc32(head, crc)))
        if number % PAIRS_AT_ONCE == 0:
            yield
    return crc


def _as_etcd_says(alarm: pb.AlarmMember) -> str:
    return f"memberID:{alarm.memberID} alarm:{pb.AlarmType.Name(alarm.alarm)} "


class MaintenanceService:
    def __init__(
        self,
        node: Node,
        backend: Backend,
        headers: Headers,
        store: WatchedStore,
        long: LongAnswers | None = None,
    ) -> None:
        """long: of all services."""
        self._long = long or LongAnswers()
        self._node = node
        self._backend = backend
        self._headers = headers
        self._store = store

    async def Alarm(self, request: pb.AlarmRequest, caller: Caller) -> pb.AlarmResponse:
        """As in etcd: raised and cleared through the log, so that all members know the same."""
        action = pb.AlarmRequest
        if request.action == action.GET:
            found = wire.decode_alarms_answer(
                await self._backend.read(wire.encode_alarms(), False, OWN)
            )
            wanted = [a for a in found.alarms if request.alarm in (pb.NONE, a.kind)]
        elif request.action in (action.ACTIVATE, action.DEACTIVATE) and request.alarm:
            found = await self._change_alarm(request, caller.principal)
            wanted = found.alarms
        else:
            found, wanted = wire.AlarmsResult(self._store.revision, []), []
        return pb.AlarmResponse(
            header=self._headers.make(found.revision), alarms=map(self._alarm, wanted)
        )

    async def _change_alarm(self, request: pb.AlarmRequest, principal: bytes) -> wire.AlarmsResult:
        """What the request named is in the answer, as in etcd."""
        raises = request.action == pb.AlarmRequest.ACTIVATE
        members = self._node.state().configuration.members()
        member = member_named(self._node.identity.cluster, request.memberID, members)
        try:
            alarm = wire.Alarm(wire.Kind(request.alarm), member or "")
        except ValueError:
            raise Fault(Code.INVALID_ARGUMENT, f"etcdserver: alarm {request.alarm}") from None
        if member is None and (raises or request.memberID):
            raise fault("member_not_found")
        action = wire.Action.RAISE if raises else wire.Action.CLEAR
        before = wire.decode_alarms_answer(
            await self._backend.read(wire.encode_alarms(), False, OWN)
        )
        command = wire.encode_alarm(action, alarm)
        after = wire.decode_alarms_answer(await self._backend.write(command, principal))
        differ = set(before.alarms) ^ set(after.alarms)
        return wire.AlarmsResult(after.revision, sorted(differ))

    def _alarm(self, alarm: wire.Alarm) -> pb.AlarmMember:
        number = member_number(self._node.identity.cluster, alarm.member)
        return pb.AlarmMember(memberID=number, alarm=pb.AlarmType.Name(alarm.kind))

    async def _alarms(self) -> list[pb.AlarmMember]:
        """As this member knows them."""
        answer = await self._backend.read(wire.encode_alarms(), True, OWN)
        return [self._alarm(alarm) for alarm in wire.decode_alarms_answer(answer).alarms]

    async def Status(self, request: pb.StatusRequest, caller: Caller) -> pb.StatusResponse:
        state, identity = self._node.state(), self._node.identity
        answer = await self._backend.read(leases.encode_status(), True, OWN)
        store = leases.decode_status_answer(answer)
        size_bytes = store.size_bytes + store.history_bytes
        return pb.StatusResponse(
            header=self._headers.make(store.revision),
            version=VERSION,
            dbSize=size_bytes,
            dbSizeInUse=size_bytes,
            leader=member_number(identity.cluster, state.leader) if state.leader else 0,
            raftIndex=state.last_index,
            raftTerm=state.term,
            raftAppliedIndex=state.applied_index,
            errors=[*map(_as_etcd_says, await self._alarms()), *self._node.problems()],
            isLearner=identity.node not in state.configuration.voters,
            storageVersion=VERSION.rpartition(".")[0] + ".0",
        )

    async def Defragment(
        self, request: pb.DefragmentRequest, caller: Caller
    ) -> pb.DefragmentResponse:
        """Nothing to do: the store is in memory, and the log is cut by snapshots."""
        return pb.DefragmentResponse(header=self._headers.make(self._store.revision))

    async def Hash(self, request: pb.HashRequest, caller: Caller) -> pb.HashResponse:
        answer = await self.HashKV(pb.HashKVRequest(), caller)
        return pb.HashResponse(header=answer.header, hash=answer.hash)

    async def HashKV(self, request: pb.HashKVRequest, caller: Caller) -> pb.HashKVResponse:
        """A CRC over all keys at a revision: equal on equal members. It is not etcd's number."""
        answer = await self._backend.read(leases.encode_status(), True, OWN)
        status = leases.decode_status_answer(answer)
        revision = request.revision or status.revision
        crc, start = 0, b"\0"
        while start:
            page = await self._page(start, revision)
            crc = await self._long.made(_hashed(page.kvs, crc), LONG)
            start = page.kvs[-1].key + b"\0" if page.more else b""
        return pb.HashKVResponse(
            header=self._headers.make(status.revision),
            hash=crc,
            compact_revision=status.compacted or -1,
            hash_revision=revision,
        )

    async def _page(self, start: bytes, revision: int) -> RangeAnswer:
        """As many keys as an answer has room for: one of them may have a megabyte."""
        most = PAGE_KEYS
        while True:
            query = encoded(one(RangeOp(start, b"\0", most, revision)))
            try:
                answer = await self._backend.read(query, True, OWN)
            except Fault as error:
                if most == 1 or error.name != "request_too_large":
                    raise
                most = -(-most // 8)
                continue
            result = await self._long.made(decoding(answer), len(answer))
            page = result.responses[0]
            assert isinstance(page, RangeAnswer)
            return page

    async def Snapshot(self, talk: Conversation) -> None:
        """This member's store, as in wire/etcd_snapshot: `raftd restore` reads what is saved."""
        if await talk.receive() is None:
            return
        try:
            blobs = await _BLOBS.get()
        except NotLoaded as error:
            raise refused_here(str(error)) from None
        await self._backend.catch_up()  # with all that was acknowledged before, wherever
        if why := self._node.refusal():
            raise refused_here(why)
        header = self._headers.make(self._store.revision)
        now = asyncio.get_running_loop().time
        pace = Pace(PACE_BYTES_PER_SECOND, now())
        try:
            captured = self._store.capture()
        except MachineError as error:
            raise refused_here(str(error)) from None
        for blob in blobs(captured, BLOB_BYTES):
            await talk.send(pb.SnapshotResponse(header=header, blob=blob, version=VERSION))
            await asyncio.sleep(pace.rest(len(blob), self._node.state().commit_index, now()))

    async def MoveLeader(
        self, request: pb.MoveLeaderRequest, caller: Caller
    ) -> pb.MoveLeaderResponse:
        state, own = self._node.state(), self._node.identity.node
        if state.role is not Role.LEADER:
            raise fault("not_leader")
        target = member_named(
            self._node.identity.cluster, request.targetID, state.configuration.voters
        )
        if target is None:
            raise fault("bad_transferee")
        if target != own:
            await self._transfer(target)
        return pb.MoveLeaderResponse(header=self._headers.make(self._store.revision))

    async def _transfer(self, target: str) -> None:
        ended: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

        def done(outcome: Outcome) -> None:
            if not ended.done():
                ended.set_result(outcome)

        self._node.transfer(target, done)
        try:
            async with asyncio.timeout(TRANSFER_SECONDS):
                outcome = await ended
        except TimeoutError:
            raise fault("timeout_transfer") from None
        if isinstance(outcome, Refused):
            raise fault("not_leader")
        if not isinstance(outcome, Applied | Answered):
            raise fault("timeout_transfer")
