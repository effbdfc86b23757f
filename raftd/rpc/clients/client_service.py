"""Commands: opaque bytes for anybody's state machine, unary and as a pipelined stream."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc

from raftd._pb import client_pb2 as pb
from raftd._pb import client_pb2_grpc
from raftd.node.outcomes import Answered, Applied, Outcome
from raftd.rpc.clients import errors
from raftd.rpc.clients.errors import CallFailed
from raftd.rpc.clients.gate import UNREAD, Context, Gate
from raftd.rpc.plumbing.direct_streams import server_stream
from raftd.rpc.plumbing.streams import Ended, ServerStream
from raftd.wire import batch
from raftd.wire.errors import WireError
from raftd.wire.principal import NOBODY

STOPPING = Ended(grpc.StatusCode.UNAVAILABLE, "this node is stopping: use another one")


class StreamRegistry:
    """The open client streams of a server, so that it can drain them. Network thread only."""

    def __init__(self) -> None:
        self._streams: set[ServerStream[Any, Any]] = set()
        self._draining = False

    def __len__(self) -> int:
        return len(self._streams)

    async def serve(self, stream: ServerStream[Any, Any], context: Context) -> None:
        if self._draining:
            await context.abort(STOPPING.code, STOPPING.message)
        self._streams.add(stream)
        try:
            await stream.run()
        except Ended as ended:
            await context.abort(ended.code, ended.message)
        finally:
            self._streams.discard(stream)

    def drain(self) -> None:
        """What was taken is still answered; then the streams end."""
        self._draining = True
        for stream in list(self._streams):
            stream.drain(STOPPING)


class CommandsService(client_pb2_grpc.CommandsServicer):
    """Network thread only."""

    def __init__(self, gate: Gate, streams: StreamRegistry) -> None:
        self._gate = gate
        self._streams = streams

    async def OpenSession(
        self, request: pb.OpenSessionRequest, context: Context
    ) -> pb.OpenSessionReply:
        try:
            payload = encoded(lambda: batch.encode_open(request.nonce))
            _, answer = await self._gate.apply(payload, context)
            return pb.OpenSessionReply(session=answer)
        except CallFailed as failed:
            await errors.abort(context, failed.failure)

    async def CloseSession(
        self, request: pb.CloseSessionRequest, context: Context
    ) -> pb.CloseSessionReply:
        try:
            await self._gate.apply(encoded(lambda: batch.encode_close(request.session)), context)
            return pb.CloseSessionReply()
        except CallFailed as failed:
            await errors.abort(context, failed.failure)

    async def Submit(self, request: pb.SubmitRequest, context: Context) -> pb.SubmitReply:
        try:
            payload = encoded(lambda: one_command(request.session, request.command))
            applied, answer = await self._gate.apply(payload, context)
            return pb.SubmitReply(result=answer, index=applied.index, term=applied.term)
        except CallFailed as failed:
            await errors.abort(context, failed.failure)

    async def Query(self, request: pb.QueryRequest, context: Context) -> pb.QueryReply:
        try:
            stale = request.consistency == pb.STALE
            applied_index, answer = await self._gate.ask(request.query, stale, context)
            return pb.QueryReply(result=answer, applied_index=applied_index)
        except CallFailed as failed:
            await errors.abort(context, failed.failure)

    async def Pipeline(self, _frames: object, context: Context) -> None:  # type: ignore[override]
        gate, limits, callers = self._gate, self._gate.limits, self._gate.callers
        who, known = NOBODY, 0

        on_commands = gate.connections.on_commands

        def on_frame(frame: pb.PipelineRequest) -> None:
            nonlocal who, known
            on_commands()
            number, payload = frame.number, frame.batch
            size = len(payload)
            principal = who

            def done(outcome: Outcome) -> None:
                waits = 0
                if callers.asked:
                    _audit(gate, outcome, principal, context)
                if isinstance(outcome, Applied):
                    waits = len(outcome.results)
                    reply = pb.PipelineReply(
                        number=number,
                        results=outcome.results,
                        index=outcome.index,
                        term=outcome.term,
                    )
                elif not isinstance(outcome, Answered):
                    reply = pb.PipelineReply(number=number, failure=gate.failure(outcome))
                elif stream.room(waits := gate.bytes_of(outcome)):
                    reply = gate.pages(number, outcome)
                else:
                    reply = pb.PipelineReply(number=number, failure=errors.overloaded(UNREAD))
                    waits = 0
                stream.answer(reply, size, waits)

            if known != callers.revision:  # somebody's rights have moved: who is this now?
                known = 0
                try:
                    who = principal = gate.principal("a stream", context)
                    known = callers.revision
                except CallFailed as failed:
                    stream.take(0)
                    reply = pb.PipelineReply(number=number, failure=failed.failure)
                    stream.answer(reply, 0)
                    return
            if payload:
                stream.take(size)
                start: Callable[[], None] = lambda: gate.submit(payload, done, principal)  # noqa: E731
            else:
                queries = list(frame.queries.query)
                size = sum(map(len, queries))
                stream.take(size)
                stale = frame.queries.consistency == pb.STALE
                start = lambda: gate.query(queries, stale, done, principal)  # noqa: E731
            try:
                start()
            except WireError as error:
                failure = errors.invalid(str(error))
                stream.answer(pb.PipelineReply(number=number, failure=failure), size)

        stream: ServerStream[pb.PipelineRequest, pb.PipelineReply] = server_stream(
            context,
            on_frame,
            limits.stream_frames_max,
            limits.stream_bytes_max,
            gate.connections.of(context.peer()),
        )
        await self._streams.serve(stream, context)


def _audit(gate: Gate, outcome: Outcome, principal: bytes, context: Context) -> None:
    if isinstance(outcome, Applied):
        gate.audit_results(outcome.results, principal, context.peer())
    elif isinstance(outcome, Answered):
        gate.audit_answers(outcome.results, principal, context.peer())


def one_command(session: pb.Session, command: bytes) -> bytes:
    """A batch of one. Raises WireError.

    A number without an id is what programs of version 1 send: were it taken for no session, what
    they repeat would be done twice.
    """
    if not session.id and (session.seq or session.floor):
        raise WireError(
            f"session: number {session.seq} and floor {session.floor} without an id: name the"
            " session that OpenSession gave, or send none of them; an older program: upgrade it"
        )
    return batch.encode_batch(session.id, session.floor, ((session.seq, command),))


def encoded(encode: Callable[[], bytes]) -> bytes:
    """What `encode` makes; a WireError becomes the failure that the caller sees."""
    try:
        return encode()
    except WireError as error:
        raise CallFailed(errors.invalid(str(error))) from None
