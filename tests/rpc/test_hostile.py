"""What a port may be sent by accident or on purpose, and that nothing of it reaches the core."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import Any

import grpc
import grpc.aio
import pytest

from raftd._pb import client_pb2, client_pb2_grpc, raft_pb2, raft_pb2_grpc
from raftd.core import messages as m
from raftd.core.types import Configuration, SnapshotMeta
from raftd.quiet import QuietLog, hush_grpc
from raftd.rpc.directory import PeerAddress
from raftd.rpc.peers import codec
from raftd.rpc.peers.envelope import Envelopes
from raftd.rpc.peers.link import ENVELOPE_KEY
from raftd.rpc.plumbing.ports import H2
from tests.rpc import fakes
from tests.rpc.fakes import FakeNode, Side, append, one_side, until

UNARY: dict[str, type[Any]] = {
    "Hello": raft_pb2.HelloRequest,
    "RequestVote": raft_pb2.VoteRequest,
    "Heartbeat": raft_pb2.AppendRequest,
    "InstallSnapshot": raft_pb2.SnapshotRequest,
    "ReadIndex": raft_pb2.ReadIndexRequest,
    "TimeoutNow": raft_pb2.TimeoutNowRequest,
    "Probe": raft_pb2.ProbeRequest,
}


def envelope(addressee: Side, sender: str = "n2") -> raft_pb2.Envelope:
    other = FakeNode(sender)
    return Envelopes(other.identity, other.expected_incarnation).request_to(
        addressee.node.identity.node
    )


async def status_of(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), caught.value.details() or ""


async def still_fine(side: Side) -> None:
    async with grpc.aio.insecure_channel(side.client_address) as channel:
        reply = await client_pb2_grpc.CommandsStub(channel).Query(
            client_pb2.QueryRequest(query=b"x"), timeout=30
        )
        assert reply.result == b"saw x"


def test_all_default_and_unaddressed_messages_are_refused_on_every_method() -> None:
    async def main() -> None:
        async with one_side() as one, grpc.aio.insecure_channel(one.peer_address) as channel:
            stub: Any = raft_pb2_grpc.RaftStub(channel)
            for method, kind in UNARY.items():
                code, text = await status_of(getattr(stub, method)(kind(), timeout=30))
                assert code == grpc.StatusCode.INVALID_ARGUMENT, method
                assert "envelope.sender" in text
                foreign = envelope(one)
                stranger = raft_pb2.Envelope()
                stranger.CopyFrom(foreign)
                stranger.cluster = "another"
                code, text = await status_of(
                    getattr(stub, method)(kind(envelope=stranger), timeout=30)
                )
                assert code == grpc.StatusCode.FAILED_PRECONDITION, method
                assert "log says why" in text
                assert one.node.identity.cluster not in text, "a stranger was told"
            assert one.node.stepped == []

    asyncio.run(main())


def test_malformed_fields_and_bytes_change_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with one_side() as one, grpc.aio.insecure_channel(one.peer_address) as channel:
            stub: Any = raft_pb2_grpc.RaftStub(channel)
            high = raft_pb2.VoteRequest(envelope=envelope(one), term=2**63)
            code, text = await status_of(stub.RequestVote(high, timeout=30))
            assert code == grpc.StatusCode.INVALID_ARGUMENT
            assert text == "VoteRequest: term 9223372036854775808 is outside 1..2^62"
            loaded = codec.encode_append(append(1), envelope(one))
            code, text = await status_of(stub.Heartbeat(loaded, timeout=30))
            assert code == grpc.StatusCode.INVALID_ARGUMENT
            for method in UNARY:
                for junk in (b"\xff" * 20, b"\x0a\xff\xff\xff\xff\x0f", os.urandom(100)):
                    raw: Any = channel.unary_unary(f"/raftd.raft.v1.Raft/{method}")
                    code, _ = await status_of(raw(junk, timeout=30))
                    assert code == grpc.StatusCode.INVALID_ARGUMENT
            raw = channel.unary_unary("/raftd.raft.v1.Raft/Nonsense")
            code, _ = await status_of(raw(b""))
            assert code == grpc.StatusCode.UNIMPLEMENTED
            assert one.node.stepped == []
        assert not [record for record in caplog.records if record.levelname == "ERROR"]

    asyncio.run(main())


@pytest.mark.parametrize("method", ["AppendEntries", "Heartbeats"])
def test_a_stream_is_refused_without_or_with_a_wrong_envelope(method: str) -> None:
    async def main() -> None:
        async with one_side() as one, grpc.aio.insecure_channel(one.peer_address) as channel:
            opened: Any = getattr(raft_pb2_grpc.RaftStub(channel), method)
            good = envelope(one).SerializeToString()
            for metadata, code in (
                ((), grpc.StatusCode.INVALID_ARGUMENT),
                (((ENVELOPE_KEY, b"\xff\xff"),), grpc.StatusCode.INVALID_ARGUMENT),
                (((ENVELOPE_KEY, b""),), grpc.StatusCode.INVALID_ARGUMENT),
            ):
                call = opened(metadata=metadata)
                assert await call.code() == code

            for spoiled in (
                codec.encode_append(append(1), raft_pb2.Envelope()),
                codec.encode_append(append(1), envelope(one, "n3")),
                raft_pb2.AppendRequest(envelope=envelope(one), term=0),
            ):
                call = opened(metadata=((ENVELOPE_KEY, good),))
                await call.write(spoiled)
                assert await call.code() in (
                    grpc.StatusCode.INVALID_ARGUMENT,
                    grpc.StatusCode.FAILED_PRECONDITION,
                )
            assert one.node.stepped == []

    asyncio.run(main())


def test_a_stream_of_garbage_ends_with_one_line() -> None:
    async def main() -> None:
        async with one_side() as one, grpc.aio.insecure_channel(one.client_address) as channel:
            raw: Any = channel.stream_stream("/raftd.client.v1.Commands/Pipeline")
            call = raw()
            await call.write(b"\xff" * 20)
            assert await call.code() == grpc.StatusCode.INVALID_ARGUMENT
            raw = channel.unary_stream("/raftd.admin.v1.Admin/Events")
            call = raw(b"\xff" * 20)
            assert await call.code() == grpc.StatusCode.INVALID_ARGUMENT
            await still_fine(one)

    asyncio.run(main())


class Babbler(grpc.GenericRpcHandler):
    """Answers every call of every method with bytes that mean nothing."""

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        async def unary(request: bytes, context: Any) -> bytes:
            return b"\xff\xff"

        async def stream(requests: Any, context: Any) -> None:
            await context.write(b"\xff\xff")
            await context.read()

        if details.method.endswith(("AppendEntries", "Heartbeats")):
            return grpc.stream_stream_rpc_method_handler(stream)
        return grpc.unary_unary_rpc_method_handler(unary)


def test_a_peer_that_answers_garbage_counts_as_unreachable() -> None:
    async def main() -> None:
        babbler = grpc.aio.server()
        babbler.add_generic_rpc_handlers((Babbler(),))
        port = babbler.add_insecure_port("127.0.0.1:0")
        await babbler.start()
        async with one_side() as one:
            one.directory.advertise("n2", PeerAddress(f"127.0.0.1:{port}", ""))
            meta = SnapshotMeta(5, 2, Configuration(("n1", "n2")), 10, 77)
            for channel, request in (
                (m.Channel.CONTROL, m.VoteRequest(4, "n1", 9, 3, number=1)),
                (m.Channel.CONTROL, m.HelloRequest(one.node.identity, (), number=2)),
                (m.Channel.BULK, m.SnapshotRequest(3, "n1", meta, 0, number=3)),
                (m.Channel.APPEND, append(4)),
            ):
                one.node.owed["n2", channel].append(request)
                one.peers.wake("n2", channel)
            await until(lambda: len(one.node.lost) == 4, "four reports")
            assert not await one.peers.probe("n2")
        await babbler.stop(0)

    asyncio.run(main())


def test_other_protocols_on_either_port_disturb_nobody() -> None:
    hellos = [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(60),
        b"PRI * HTTP/2.0\r\n\r\nSM",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(range(256)),
        bytes(200),
        b"",
    ]

    async def visit(port: int, data: bytes) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(data)
        await writer.drain()
        writer.write_eof()
        try:
            await asyncio.wait_for(reader.read(), 2.0)
        except (TimeoutError, ConnectionError):
            pass
        finally:
            writer.close()

    async def main() -> None:
        async with one_side() as one:
            for port in (one.servers.peer_port, one.servers.client_port):
                await asyncio.gather(*(visit(port, data) for data in hellos * 10))
            await still_fine(one)

    asyncio.run(main())


def test_metadata_without_bound_is_refused() -> None:
    async def main() -> None:
        async with one_side() as one, grpc.aio.insecure_channel(one.client_address) as channel:
            stub = client_pb2_grpc.CommandsStub(channel)
            code, _ = await status_of(
                stub.Query(
                    client_pb2.QueryRequest(query=b"x"),
                    metadata=(("x", "y" * 40_000),),
                    timeout=30,
                )
            )
            assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
            await still_fine(one)

    asyncio.run(main())


def test_a_flood_of_calls_is_cut_at_the_limit_and_peers_do_not_feel_it() -> None:
    async def main() -> None:
        async with (
            one_side(client_calls_max=8) as one,
            grpc.aio.insecure_channel(one.client_address) as channel,
        ):
            one.node.on_submit = lambda payload, done: None
            stub = client_pb2_grpc.CommandsStub(channel)
            flood = [
                asyncio.ensure_future(
                    stub.Submit(client_pb2.SubmitRequest(command=b"x"), timeout=30)
                )
                for _ in range(40)
            ]
            await until(lambda: len(one.node.submitted) == 8, "eight calls in the node")
            await until(lambda: sum(call.done() for call in flood) == 32, "the others refused")
            for call in flood:
                if call.done():
                    code, why = await status_of(call)
                    assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
                    if fakes.transport == H2:  # gRPC has its own words
                        assert why.startswith("client_calls_max (8) is reached")
            async with grpc.aio.insecure_channel(one.peer_address) as peers:
                heartbeat = m.AppendRequest(3, "n2", 10, 2, (), 9, number=1)
                reply = await raft_pb2_grpc.RaftStub(peers).Heartbeat(
                    codec.encode_append(heartbeat, envelope(one)), timeout=30
                )
                assert reply.ok
            for call in flood:
                call.cancel()
            await asyncio.gather(*flood, return_exceptions=True)

    asyncio.run(main())


def test_a_call_that_is_cut_leaves_no_stack(caplog: pytest.LogCaptureFixture) -> None:
    hush_grpc()
    logger = logging.getLogger("grpc._cython.cygrpc")
    text = "ExecuteBatchError raised in core by servicer method [%s]"
    logger.error(text, "/raftd.client.v1.Commands/Query")
    logger.error(text, "/somebody.else/Call")
    assert [record.args for record in caplog.records] == [("/somebody.else/Call",)]


def test_warnings_are_counted_not_repeated(caplog: pytest.LogCaptureFixture) -> None:
    now = [100.0]
    quiet = QuietLog(logging.getLogger("raftd.test"), lambda: now[0])
    for _ in range(50):
        quiet.warning("key", "broken")
    quiet.warning("other", "also broken")
    now[0] += 6.0
    quiet.warning("key", "broken")
    assert [record.getMessage() for record in caplog.records] == [
        "broken",
        "also broken",
        "broken (49 more like it since)",
    ]
