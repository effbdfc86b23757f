"""A caller that reads nothing, at real servers: what waits for it is bounded, then it is cut."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from struct import pack

import grpc.aio
import pytest

from raftd._pb import client_pb2 as pb
from raftd._pb import client_pb2_grpc
from raftd.node.outcomes import Answered, Applied, Done
from raftd.rpc.plumbing.connections import UnreadLimits
from raftd.wire.batch import encode_results
from raftd.wire.session_id import with_index
from tests.harsh.flood import DATA, frame, opened, request_headers
from tests.rpc.fakes import one_side, until

ANSWER = b"x" * (512 << 10)
LIMITS = UnreadLimits(connection_bytes_max=2 << 20, node_bytes_max=8 << 20, seconds=0.5)
CALLS = 40


def long_answer(queries: Sequence[bytes], stale: bool, done: Done) -> None:
    done(Answered(6, [(0, ANSWER) for _ in queries]))


def long_result(batch: bytes, done: Done) -> None:
    done(Applied(5, 3, encode_results([(0, ANSWER)])))


def message(stream: int, body: bytes, *, last: bool) -> bytes:
    return frame(DATA, int(last), stream, b"\0" + pack(">I", len(body)) + body)


def unary(path: bytes, body: bytes) -> bytes:
    return b"".join(
        request_headers(path, stream) + message(stream, body, last=True)
        for stream in range(1, 2 * CALLS, 2)
    )


def streamed() -> bytes:
    parts = []
    for stream in (1, 3, 5, 7):
        parts.append(request_headers(b"/raftd.client.v1.Commands/Pipeline", stream))
        for number in range(1, CALLS):
            asked = pb.PipelineRequest(number=number, queries=pb.QueryBatch(query=[b"q"]))
            parts.append(message(stream, asked.SerializeToString(), last=False))
    return b"".join(parts)


QUERY = pb.QueryRequest(query=b"q").SerializeToString()
SESSION = with_index(bytes(range(16)), 1)
SUBMIT = pb.SubmitRequest(session=pb.Session(id=SESSION, seq=1), command=b"c").SerializeToString()


@pytest.mark.parametrize(
    "calls",
    [
        unary(b"/raftd.client.v1.Commands/Query", QUERY),
        unary(b"/raftd.client.v1.Commands/Submit", SUBMIT),
        streamed(),
    ],
    ids=["queries", "results", "streams"],
)
def test_what_nobody_reads_is_bounded_and_given_back(calls: bytes) -> None:
    async def main() -> None:
        async with one_side(unread=LIMITS) as one:
            one.node.on_query, one.node.on_submit = long_answer, long_result
            connections = one.servers._connections
            most = 0

            def look() -> int:
                nonlocal most
                most = max(most, connections.unread)
                return connections.unread

            with opened(one.servers.client_port, calls) as to:
                await until(look, "answers that wait")
                await until(lambda: (look(), one.servers.connections_cut)[1], "the cut")
                await until(lambda: not look(), "all to be given back")
                to.settimeout(5)
                with contextlib.suppress(ConnectionError):
                    while to.recv(1 << 20):
                        pass
            assert most <= 3 * LIMITS.connection_bytes_max
            async with grpc.aio.insecure_channel(one.client_address) as channel:
                stub = client_pb2_grpc.CommandsStub(channel)
                reply = await stub.Query(pb.QueryRequest(query=b"x"), timeout=30)
                assert reply.result == ANSWER

    asyncio.run(main())
