"""etcdserverpb.KV: range, put, delete, transaction, compaction. Network thread only."""

from __future__ import annotations

from raftd._pb import etcd_pb2 as pb
from raftd.rpc.etcd import checks, translate
from raftd.rpc.etcd.backend import Backend
from raftd.rpc.etcd.calls import Caller
from raftd.rpc.etcd.faults import fault
from raftd.rpc.etcd.header import Headers
from raftd.rpc.etcd.long_answers import LongAnswers
from raftd.wire import leases
from raftd.wire import txn as wire
from raftd.wire.kv import decode_put
from raftd.wire.look import decode_look_answer
from raftd.wire.txn_answers import (
    DeleteAnswer,
    PutAnswer,
    RangeAnswer,
    TxnResult,
    decoding,
)


class KVService:
    def __init__(self, backend: Backend, headers: Headers, long: LongAnswers | None = None) -> None:
        """long: of all services."""
        self._long = long or LongAnswers()
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
        result, size_bytes = await self._read(txn, request.serializable, caller)
        answer = result.responses[0]
        assert isinstance(answer, RangeAnswer)
        made = translate.range_answer(self._headers.make(result.revision), answer)
        return await self._long.made(made, size_bytes)

    async def Put(self, request: pb.PutRequest, caller: Caller) -> pb.PutResponse:
        checks.check_put(request)
        if translate.is_plain(request):
            command = translate.plain_put(request)
            done = decode_put(await self._backend.write(command, caller.principal))
            return pb.PutResponse(header=self._headers.make(done.revision))
        result, _ = await self._write(translate.one(translate.put_op(request)), caller)
        answer = result.responses[0]
        assert isinstance(answer, PutAnswer)
        return translate.put_answer(self._headers.make(result.revision), answer)

    async def DeleteRange(
        self, request: pb.DeleteRangeRequest, caller: Caller
    ) -> pb.DeleteRangeResponse:
        checks.check_delete(request)
        op = translate.one(translate.delete_op(request))
        result, size_bytes = await self._write(op, caller)
        answer = result.responses[0]
        assert isinstance(answer, DeleteAnswer)
        made = translate.delete_answer(self._headers.make(result.revision), answer)
        return await self._long.made(made, size_bytes)

    async def Txn(self, request: pb.TxnRequest, caller: Caller) -> pb.TxnResponse:
        checks.check_txn(request)
        txn = translate.txn_op(request)
        if txn.writes:
            result, size_bytes = await self._write(txn, caller)
        else:
            result, size_bytes = await self._read(txn, _serializable(request), caller)
        made = translate.txn_answer(self._headers.make(result.revision), result)
        return await self._long.made(made, size_bytes)

    async def Compact(self, request: pb.CompactionRequest, caller: Caller) -> pb.CompactionResponse:
        if request.revision < 0:
            raise fault("compacted")
        command = leases.encode_compact(request.revision)
        answer = await self._backend.write(command, caller.principal)
        revision = leases.decode_compact_answer(answer).revision
        return pb.CompactionResponse(header=self._headers.make(revision))

    async def _read(
        self, txn: wire.Txn, serializable: bool, caller: Caller
    ) -> tuple[TxnResult, int]:
        """(the answer, its size in bytes as the store gave it)."""
        query = translate.encoded(txn)
        answer = await self._backend.read(query, serializable, caller.principal)
        return await self._long.made(decoding(answer), len(answer)), len(answer)

    async def _write(self, txn: wire.Txn, caller: Caller) -> tuple[TxnResult, int]:
        """The same."""
        command = translate.encoded(txn)
        answer = await self._backend.write(command, caller.principal)
        return await self._long.made(decoding(answer), len(answer)), len(answer)


def _serializable(request: pb.TxnRequest) -> bool:
    """Is every range in it, and nothing else, content with this member's own state?"""
    return all(
        operation.request_range.serializable
        if operation.HasField("request_range")
        else _serializable(operation.request_txn)
        for operation in (*request.success, *request.failure)
    )
