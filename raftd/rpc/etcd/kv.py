"""etcdserverpb.KV: range, put, delete, transaction, compaction. Network thread only."""

from __future__ import annotations

from raftd._pb import etcd_pb2 as pb
from raftd.rpc.etcd import checks, translate
from raftd.rpc.etcd.backend import Backend
from raftd.rpc.etcd.calls import Caller
from raftd.rpc.etcd.faults import fault
from raftd.rpc.etcd.header import Headers
from raftd.wire import leases
from raftd.wire import txn as wire
from raftd.wire.kv import decode_put
from raftd.wire.look import decode_look_answer
from raftd.wire.txn_answers import (
    DeleteAnswer,
    PutAnswer,
    RangeAnswer,
    TxnResult,
    decode_txn_answer,
)


class KVService:
    def __init__(self, backend: Backend, headers: Headers) -> None:
        self._backend = backend
        self._headers = headers

    async def Range(self, request: pb.RangeRequest, caller: Caller) -> pb.RangeResponse:
        checks.check_range(request)
        if translate.is_look(request):
            query = translate.look(request)
            read = self._backend.read(query, request.serializable, caller.principal)
            found = decode_look_answer(await read)
            return translate.look_answer(self._headers.make(found.revision), found)
        txn = translate.one(translate.range_op(request))
        result = await self._read(txn, request.serializable, caller)
        answer = result.responses[0]
        assert isinstance(answer, RangeAnswer)
        return translate.range_answer(self._headers.make(result.revision), answer)

    async def Put(self, request: pb.PutRequest, caller: Caller) -> pb.PutResponse:
        checks.check_put(request)
        if translate.is_plain(request):
            command = translate.plain_put(request)
            done = decode_put(await self._backend.write(command, caller.principal))
            return pb.PutResponse(header=self._headers.make(done.revision))
        result = await self._write(translate.one(translate.put_op(request)), caller)
        answer = result.responses[0]
        assert isinstance(answer, PutAnswer)
        return translate.put_answer(self._headers.make(result.revision), answer)

    async def DeleteRange(
        self, request: pb.DeleteRangeRequest, caller: Caller
    ) -> pb.DeleteRangeResponse:
        checks.check_delete(request)
        result = await self._write(translate.one(translate.delete_op(request)), caller)
        answer = result.responses[0]
        assert isinstance(answer, DeleteAnswer)
        return translate.delete_answer(self._headers.make(result.revision), answer)

    async def Txn(self, request: pb.TxnRequest, caller: Caller) -> pb.TxnResponse:
        checks.check_txn(request)
        txn = translate.txn_op(request)
        if txn.writes:
            result = await self._write(txn, caller)
        else:
            result = await self._read(txn, _serializable(request), caller)
        return translate.txn_answer(self._headers.make(result.revision), result)

    async def Compact(self, request: pb.CompactionRequest, caller: Caller) -> pb.CompactionResponse:
        if request.revision < 0:
            raise fault("compacted")
        command = leases.encode_compact(request.revision)
        answer = await self._backend.write(command, caller.principal)
        revision = leases.decode_compact_answer(answer).revision
        return pb.CompactionResponse(header=self._headers.make(revision))

    async def _read(self, txn: wire.Txn, serializable: bool, caller: Caller) -> TxnResult:
        query = translate.encoded(txn)
        return decode_txn_answer(await self._backend.read(query, serializable, caller.principal))

    async def _write(self, txn: wire.Txn, caller: Caller) -> TxnResult:
        command = translate.encoded(txn)
        return decode_txn_answer(await self._backend.write(command, caller.principal))


def _serializable(request: pb.TxnRequest) -> bool:
    """Is every range in it, and nothing else, content with this member's own state?"""
    return all(
        operation.request_range.serializable
        if operation.HasField("request_range")
        else _serializable(operation.request_txn)
        for operation in (*request.success, *request.failure)
    )
