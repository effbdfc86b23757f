"""KV: the built-in store with types. Messages become raftd.wire.kv's bytes here, and come back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from raftd._pb import client_pb2 as pb
from raftd._pb import client_pb2_grpc
from raftd.node.outcomes import Answered, Applied, Outcome
from raftd.rpc.clients import errors
from raftd.rpc.clients.client_service import StreamRegistry, encoded, one_command
from raftd.rpc.clients.errors import CallFailed
from raftd.rpc.clients.gate import UNREAD, Context, Gate
from raftd.rpc.plumbing.direct_streams import server_stream
from raftd.rpc.plumbing.streams import ServerStream
from raftd.wire import kv
from raftd.wire.errors import WireError


class KvService(client_pb2_grpc.KVServicer):
    """Network thread only."""

    def __init__(self, gate: Gate, streams: StreamRegistry) -> None:
        self._gate = gate
        self._streams = streams

    async def Put(self, request: pb.PutRequest, context: Context) -> pb.PutReply:
        reply: pb.PutReply = await self._change(PUT, request, context)
        return reply

    async def Delete(self, request: pb.DeleteRequest, context: Context) -> pb.DeleteReply:
        reply: pb.DeleteReply = await self._change(DELETE, request, context)
        return reply

    async def CompareAndSet(
        self, request: pb.CompareAndSetRequest, context: Context
    ) -> pb.CompareAndSetReply:
        reply: pb.CompareAndSetReply = await self._change(COMPARE_AND_SET, request, context)
        return reply

    async def Batch(self, request: pb.BatchRequest, context: Context) -> pb.BatchReply:
        reply: pb.BatchReply = await self._change(BATCH, request, context)
        return reply

    async def Get(self, request: pb.GetRequest, context: Context) -> pb.GetReply:
        reply: pb.GetReply = await self._read(GET, request, context)
        return reply

    async def Range(self, request: pb.RangeRequest, context: Context) -> pb.RangeReply:
        reply: pb.RangeReply = await self._read(RANGE, request, context)
        return reply

    async def _change(self, kind: Kind, request: Any, context: Context) -> Any:
        try:
            payload = encoded(lambda: one_command(request.session, kind.encode(request)))
            applied, answer = await self._gate.apply(payload, context)
            return decoded(kind, answer, applied.index)
        except CallFailed as failed:
            await errors.abort(context, failed.failure)

    async def _read(self, kind: Kind, request: Any, context: Context) -> Any:
        try:
            query = encoded(lambda: kind.encode(request))
            stale = request.consistency == pb.STALE
            applied_index, answer = await self._gate.ask(query, stale, context)
            return decoded(kind, answer, applied_index)
        except CallFailed as failed:
            await errors.abort(context, failed.failure)

    async def Pipeline(self, _frames: object, context: Context) -> None:  # type: ignore[override]
        gate, limits = self._gate, self._gate.limits

        def on_frame(frame: pb.KvRequest) -> None:
            number, what = frame.number, frame.WhichOneof("what")
            kind = KINDS.get(what or "")
            size = frame.ByteSize()
            stream.take(size)

            def done(outcome: Outcome) -> None:
                waits = 0
                try:
                    if isinstance(outcome, Applied):
                        waits = len(outcome.results)
                    elif isinstance(outcome, Answered):
                        waits = gate.bytes_of(outcome)
                        if not stream.room(waits):
                            raise CallFailed(errors.overloaded(UNREAD))
                    reply = pb.KvReply(number=number, **{what: self._answer(kind, outcome)})
                except CallFailed as failed:
                    reply, waits = pb.KvReply(number=number, failure=failed.failure), 0
                stream.answer(reply, size, waits)

            try:
                if what is None or kind is None:
                    raise WireError("a frame without an operation this version of raftd knows")
                request = getattr(frame, what)
                if kind.reads:
                    gate.query((kind.encode(request),), request.consistency == pb.STALE, done)
                else:
                    gate.submit(one_command(request.session, kind.encode(request)), done)
            except WireError as error:
                failure = errors.invalid(str(error))
                stream.answer(pb.KvReply(number=number, failure=failure), size)

        stream: ServerStream[pb.KvRequest, pb.KvReply] = server_stream(
            context,
            on_frame,
            limits.stream_frames_max,
            limits.stream_bytes_max,
            gate.connections.of(context.peer()),
        )
        await self._streams.serve(stream, context)

    def _answer(self, kind: Kind | None, outcome: Outcome) -> Any:
        assert kind is not None
        if isinstance(outcome, Applied) and not kind.reads:
            return decoded(kind, self._gate.one_of(outcome.results), outcome.index)
        if isinstance(outcome, Answered) and kind.reads:
            return decoded(kind, self._gate.only(outcome.results), outcome.applied_index)
        raise CallFailed(self._gate.failure(outcome))


class Kind(NamedTuple):
    """One operation: from message to bytes (raises WireError), from answer and index to message."""

    encode: Callable[[Any], bytes]
    decode: Callable[[bytes, int], Any]
    reads: bool = False


def decoded(kind: Kind, answer: bytes, index: int) -> Any:
    """Raises CallFailed where the node runs another state machine than the built-in store."""
    try:
        return kind.decode(answer, index)
    except WireError as error:
        raise CallFailed(
            errors.unknown(f"the answer is not the built-in store's: {error}")
        ) from None


def _put_in(request: pb.PutRequest) -> bytes:
    return kv.encode_put(request.key, request.value)


def _put_out(answer: bytes, _index: int) -> pb.PutReply:
    revision, version = kv.decode_put(answer)
    return pb.PutReply(revision=revision, version=version)


def _delete_in(request: pb.DeleteRequest) -> bytes:
    return kv.encode_delete(request.key)


def _delete_out(answer: bytes, _index: int) -> pb.DeleteReply:
    revision, deleted = kv.decode_delete(answer)
    return pb.DeleteReply(revision=revision, deleted=deleted)


_EXPECTATIONS: dict[str, Callable[[pb.CompareAndSetRequest], kv.Expect]] = {
    "expect_value": lambda request: kv.expect_value(request.expect_value),
    "expect_version": lambda request: kv.expect_version(request.expect_version),
    "expect_absent": lambda request: kv.expect_absent(),
    "expect_mod_revision": lambda request: kv.expect_mod_revision(request.expect_mod_revision),
}


def _compare_and_set_in(request: pb.CompareAndSetRequest) -> bytes:
    expected = request.WhichOneof("expect")
    if expected is None:
        raise WireError("compare_and_set without `expect`: say what must hold")
    if expected == "expect_absent" and not request.expect_absent:
        raise WireError("expect_absent is false: leave it out, or expect a value or version")
    if request.delete and request.value:
        raise WireError("compare_and_set with both `value` and `delete`")
    value = None if request.delete else request.value
    return kv.encode_cas(request.key, value, _EXPECTATIONS[expected](request))


def _compare_and_set_out(answer: bytes, _index: int) -> pb.CompareAndSetReply:
    revision, succeeded, current = kv.decode_cas(answer)
    return pb.CompareAndSetReply(revision=revision, succeeded=succeeded, current=_found(current))


def _batch_in(request: pb.BatchRequest) -> bytes:
    operations: list[tuple[bytes, bytes | None]] = []
    for operation in request.operations:
        what = operation.WhichOneof("what")
        if what == "put":
            operations.append((operation.put.key, operation.put.value))
        elif what == "delete":
            operations.append((operation.delete.key, None))
        else:
            raise WireError("an operation of the batch is neither put nor delete")
    return kv.encode_batch_ops(operations)


def _batch_out(answer: bytes, _index: int) -> pb.BatchReply:
    revision, versions = kv.decode_batch_ops(answer)
    return pb.BatchReply(revision=revision, version=versions)


def _get_in(request: pb.GetRequest) -> bytes:
    return kv.encode_get(request.key)


def _get_out(answer: bytes, index: int) -> pb.GetReply:
    revision, found = kv.decode_get(answer)
    return pb.GetReply(revision=revision, kv=_found(found), applied_index=index)


def _range_in(request: pb.RangeRequest) -> bytes:
    return kv.encode_range(request.prefix, request.limit, request.after)


def _range_out(answer: bytes, index: int) -> pb.RangeReply:
    revision, found, more = kv.decode_range(answer)
    kvs = [_pair(one) for one in found]
    return pb.RangeReply(revision=revision, kvs=kvs, more=more, applied_index=index)


def _found(found: kv.KeyValue | None) -> pb.KeyValue | None:
    return None if found is None else _pair(found)


def _pair(found: kv.KeyValue) -> pb.KeyValue:
    return pb.KeyValue(
        key=found.key,
        value=found.value,
        create_revision=found.create_revision,
        mod_revision=found.mod_revision,
        version=found.version,
    )


PUT = Kind(_put_in, _put_out)
DELETE = Kind(_delete_in, _delete_out)
COMPARE_AND_SET = Kind(_compare_and_set_in, _compare_and_set_out)
BATCH = Kind(_batch_in, _batch_out)
GET = Kind(_get_in, _get_out, reads=True)
RANGE = Kind(_range_in, _range_out, reads=True)
KINDS = {
    "put": PUT,
    "delete": DELETE,
    "compare_and_set": COMPARE_AND_SET,
    "batch": BATCH,
    "get": GET,
    "range": RANGE,
}
