"""The client port with a fake node: unary calls, both pipelines, refusals, limits, stopping."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from raftd._pb import admin_pb2, admin_pb2_grpc, client_pb2, client_pb2_grpc
from raftd.core.effects import Event
from raftd.core.events import EventKind
from raftd.core.types import Role
from raftd.node.outcomes import Answered, Applied, Done, Refusal, Refused, Unknown
from raftd.rpc.clients.errors import FAILURE_KEY
from raftd.rpc.clients.gate import ClientLimits
from raftd.rpc.directory import PeerAddress
from raftd.rpc.plumbing.ports import BindError
from raftd.wire import batch
from raftd.wire.session_id import with_index
from tests.rpc.fakes import FakeNode, Side, incarnation, one_side, until

Code = grpc.StatusCode


async def failure_of(call: Any) -> tuple[grpc.StatusCode, client_pb2.Failure]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    # not dict(...): Metadata was a mapping that iterates over pairs in older grpcio
    trailing: dict[str, Any] = {key: value for key, value in caught.value.trailing_metadata()}  # noqa: C416
    return caught.value.code(), client_pb2.Failure.FromString(trailing[FAILURE_KEY])


def commands(channel: grpc.aio.Channel) -> Any:
    return client_pb2_grpc.CommandsStub(channel)


def plain(*texts: bytes) -> bytes:
    return batch.encode_batch(b"", 0, [(0, text) for text in texts])


def test_unary_calls_of_both_services() -> None:
    async def main() -> None:
        async with one_side() as one, grpc.aio.insecure_channel(one.client_address) as channel:
            stub = commands(channel)
            reply = await stub.Submit(client_pb2.SubmitRequest(command=b"it"), timeout=30)
            assert (reply.result, reply.index, reply.term) == (b"did it", 5, 3)
            query = await stub.Query(client_pb2.QueryRequest(query=b"it"), timeout=30)
            assert (query.result, query.applied_index) == (b"saw it", 6)

            results = batch.encode_results([(0, SESSION)])
            one.node.on_submit = lambda payload, done: done(Applied(8, 3, results))
            opened = await stub.OpenSession(client_pb2.OpenSessionRequest(), timeout=30)
            assert opened.session == SESSION
            assert batch.decode_batch(one.node.submitted[-1][0]).kind == batch.OPEN
            one.node.on_submit = lambda payload, done: done(
                Applied(9, 3, batch.encode_results([(0, b"")]))
            )
            await stub.CloseSession(client_pb2.CloseSessionRequest(session=SESSION), timeout=30)
            assert batch.decode_batch(one.node.submitted[-1][0]).kind == batch.CLOSE

    asyncio.run(main())


SESSION = with_index(bytes(range(1, 17)), 8)


REFUSALS = [
    (Refused(Refusal.NOT_LEADER, "ask n2", "n2"), Code.FAILED_PRECONDITION, "NOT_LEADER", True),
    (Refused(Refusal.OVERLOADED, "too much"), Code.RESOURCE_EXHAUSTED, "OVERLOADED", True),
    (Refused(Refusal.UNAVAILABLE, "no leader"), Code.UNAVAILABLE, "UNAVAILABLE", True),
    (Unknown("lost it", "n2"), Code.UNKNOWN, "OUTCOME_UNKNOWN", False),
]
STATUSES = [
    (batch.MACHINE_ERROR, Code.FAILED_PRECONDITION, "MACHINE_ERROR"),
    (batch.SESSION_EXPIRED, Code.NOT_FOUND, "SESSION_EXPIRED"),
    (batch.SEQ_STALE, Code.OUT_OF_RANGE, "SEQUENCE_STALE"),
    (batch.SEQ_REUSED, Code.ALREADY_EXISTS, "SEQUENCE_REUSED"),
    (batch.SESSION_FULL, Code.RESOURCE_EXHAUSTED, "OVERLOADED"),
    (batch.INVALID, Code.INVALID_ARGUMENT, "INVALID"),
]


def test_refusals_carry_status_failure_and_the_leaders_address() -> None:
    async def main() -> None:
        async with one_side() as one, grpc.aio.insecure_channel(one.client_address) as channel:
            stub = commands(channel)
            one.directory.advertise("n2", PeerAddress("", "somewhere:9"))
            for outcome, code, name, certain in REFUSALS:
                one.node.on_submit = lambda _, done, outcome=outcome: done(outcome)  # type: ignore[misc]
                got, failure = await failure_of(stub.Submit(client_pb2.SubmitRequest(command=b"x")))
                assert got == code
                assert client_pb2.FailureCode.Name(failure.code) == name
                assert failure.certainly_not_done == certain
                assert failure.message
                leader = "n2" if "n2" in str(outcome) else ""
                assert failure.leader_id == leader
                assert failure.leader_address == ("somewhere:9" if leader else "")
            for status, code, name in STATUSES:
                results = batch.encode_results([(status, b"said")])
                one.node.on_submit = lambda _, done, results=results: done(Applied(5, 3, results))  # type: ignore[misc]
                got, failure = await failure_of(stub.Submit(client_pb2.SubmitRequest(command=b"x")))
                assert got == code
                assert client_pb2.FailureCode.Name(failure.code) == name
                assert failure.message == "said"

    asyncio.run(main())


def test_what_can_never_work_is_refused_at_the_door() -> None:
    async def main() -> None:
        async with one_side() as one, grpc.aio.insecure_channel(one.client_address) as channel:
            for call in (
                commands(channel).CloseSession(client_pb2.CloseSessionRequest()),
                commands(channel).Submit(
                    client_pb2.SubmitRequest(command=b"c" * (batch.COMMAND_BYTES_MAX + 1))
                ),
            ):
                code, failure = await failure_of(call)
                assert code == Code.INVALID_ARGUMENT
                assert failure.certainly_not_done
            assert one.node.submitted == []

            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await commands(channel).Submit(client_pb2.SubmitRequest(command=b"c" * (5 << 20)))
            assert caught.value.code() == Code.RESOURCE_EXHAUSTED

    asyncio.run(main())


def test_a_pipeline_answers_frames_in_any_order() -> None:
    async def main() -> None:
        async with one_side() as one, grpc.aio.insecure_channel(one.client_address) as channel:
            one.node.on_submit = lambda payload, done: None
            call = commands(channel).Pipeline()
            for number in range(1, 6):
                await call.write(client_pb2.PipelineRequest(number=number, batch=plain(b"a", b"b")))
            await until(lambda: len(one.node.submitted) == 5, "five frames, none answered")
            for at, (_, done) in enumerate(reversed(one.node.submitted)):
                done(Applied(50 - at, 3, batch.encode_results([(0, b"A"), (0, b"B")])))
            for number in range(5, 0, -1):
                reply = await call.read()
                assert (reply.number, reply.index, reply.term) == (number, 45 + number, 3)
                assert batch.decode_results(reply.results) == [(0, b"A"), (0, b"B")]
            await call.done_writing()
            assert await call.read() is grpc.aio.EOF
            assert await call.code() == Code.OK

    asyncio.run(main())


def test_a_pipeline_takes_queries_and_says_which_frame_was_wrong() -> None:
    async def main() -> None:
        async with one_side() as one, grpc.aio.insecure_channel(one.client_address) as channel:
            call = commands(channel).Pipeline()
            stale: list[bool] = []

            def on_query(queries: Any, is_stale: bool, done: Done) -> None:
                stale.append(is_stale)
                done(Answered(6, [(0, query) for query in queries]))

            one.node.on_query = on_query
            asked = client_pb2.QueryBatch(query=[b"x", b"y"], consistency=client_pb2.STALE)
            await call.write(client_pb2.PipelineRequest(number=1, queries=asked))
            reply = await call.read()
            assert batch.decode_results(reply.results) == [(0, b"x"), (0, b"y")]
            assert (reply.index, stale) == (6, [True])
            for wrong in (
                client_pb2.PipelineRequest(number=2, batch=b"garbage"),
                client_pb2.PipelineRequest(number=2),
                client_pb2.PipelineRequest(number=2, queries=client_pb2.QueryBatch()),
            ):
                await call.write(wrong)
                reply = await call.read()
                assert (reply.number, reply.failure.code) == (2, client_pb2.INVALID)
                assert reply.failure.certainly_not_done
            one.node.on_submit = lambda payload, done: done(Unknown("perhaps"))
            await call.write(client_pb2.PipelineRequest(number=3, batch=plain(b"a")))
            reply = await call.read()
            assert (reply.number, reply.failure.code) == (3, client_pb2.OUTCOME_UNKNOWN)
            call.cancel()

    asyncio.run(main())


def test_a_stream_is_not_read_beyond_its_bound() -> None:
    async def main() -> None:
        limits = ClientLimits(stream_frames_max=4)
        async with (
            one_side(clients=limits) as one,
            grpc.aio.insecure_channel(one.client_address) as channel,
        ):
            one.node.on_submit = lambda payload, done: None
            call = commands(channel).Pipeline()
            for number in range(10):
                await call.write(client_pb2.PipelineRequest(number=number, batch=plain(b"a")))
            await until(lambda: len(one.node.submitted) == 4, "four frames taken")
            await asyncio.sleep(0.05)  # time in which a fifth would be taken
            assert len(one.node.submitted) == 4
            result = Applied(5, 3, batch.encode_results([(0, b"")]))
            while len(one.node.submitted) < 10:
                before = len(one.node.submitted)
                for _, done in one.node.submitted[before - 4 : before]:
                    done(result)
                await until(lambda: len(one.node.submitted) > before, "more frames taken")  # noqa: B023
            call.cancel()

    asyncio.run(main())


def test_a_call_without_an_answer_ends_as_unknown() -> None:
    async def main() -> None:
        limits = ClientLimits(answer_wait_max=0.1)
        async with (
            one_side(clients=limits) as one,
            grpc.aio.insecure_channel(one.client_address) as channel,
        ):
            one.node.on_submit = lambda payload, done: None
            one.node.on_query = lambda queries, stale, done: None
            _, failure = await failure_of(
                commands(channel).Submit(client_pb2.SubmitRequest(command=b"x"))
            )
            assert failure.code == client_pb2.OUTCOME_UNKNOWN
            assert not failure.certainly_not_done
            _, failure = await failure_of(
                commands(channel).Query(client_pb2.QueryRequest(query=b"x"))
            )
            assert failure.code == client_pb2.UNAVAILABLE
            assert failure.certainly_not_done
            one.node.submitted[0][1](Applied(5, 3, b""))  # too late: nobody minds

    asyncio.run(main())


def test_a_caller_that_goes_away_leaves_nothing_behind() -> None:
    async def main() -> None:
        async with one_side() as one, grpc.aio.insecure_channel(one.client_address) as channel:
            one.node.on_submit = lambda payload, done: None
            unary = commands(channel).Submit(client_pb2.SubmitRequest(), timeout=30)
            await until(lambda: len(one.node.submitted) == 1, "the call")
            unary.cancel()
            call = commands(channel).Pipeline()
            await call.write(client_pb2.PipelineRequest(number=1, batch=plain(b"a")))
            await until(lambda: len(one.node.submitted) == 2, "the frame")
            call.cancel()
            await until(lambda: len(one.servers._streams) == 0, "the stream's end")
            for _, done in one.node.submitted:
                done(Applied(5, 3, batch.encode_results([(0, b"")])))

    asyncio.run(main())


def test_stopping_answers_what_was_taken_and_then_ends_the_streams() -> None:
    async def main() -> None:
        async with one_side() as one, grpc.aio.insecure_channel(one.client_address) as channel:
            one.node.on_submit = lambda payload, done: None
            call = commands(channel).Pipeline()
            await call.write(client_pb2.PipelineRequest(number=1, batch=plain(b"a")))
            await until(lambda: one.node.submitted, "the frame")
            idle = commands(channel).Pipeline()
            await until(lambda: len(one.servers._streams) == 2, "both streams")
            stopping = asyncio.create_task(one.servers.stop(30.0))
            assert await idle.code() == Code.UNAVAILABLE
            one.node.submitted[0][1](Applied(5, 3, batch.encode_results([(0, b"")])))
            reply = await call.read()
            assert reply.number == 1
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call.read()
            assert caught.value.code() == Code.UNAVAILABLE
            await asyncio.wait_for(stopping, 5)

    asyncio.run(main())


def test_health_follows_the_node() -> None:
    async def main() -> None:
        async with one_side() as one, grpc.aio.insecure_channel(one.client_address) as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            kinds = health_pb2.HealthCheckResponse
            ask = health_pb2.HealthCheckRequest
            assert (await stub.Check(ask())).status == kinds.SERVING
            assert (
                await stub.Check(ask(service="raftd.client.v1.Commands"))
            ).status == kinds.SERVING
            watch: AsyncIterator[Any] = aiter(stub.Watch(ask()))
            assert (await anext(watch)).status == kinds.SERVING
            one.node.healthy = False
            assert (await anext(watch)).status == kinds.NOT_SERVING
            assert (await stub.Check(ask())).status == kinds.NOT_SERVING
            one.node.healthy = True
            assert (await anext(watch)).status == kinds.SERVING
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.Check(ask(service="nobody"))
            assert caught.value.code() == Code.NOT_FOUND
            one.servers.quiesce()
            assert (await anext(watch)).status == kinds.NOT_SERVING
            with pytest.raises(StopAsyncIteration):
                await anext(watch)

    asyncio.run(main())


def test_admin_shows_the_nodes_own_view() -> None:
    async def main() -> None:
        async with one_side() as one, grpc.aio.insecure_channel(one.client_address) as channel:
            stub = admin_pb2_grpc.AdminStub(channel)
            one.node.leads = True
            one.directory.advertise("n3", PeerAddress("three:1", "three:2"))
            status = await stub.Status(admin_pb2.StatusRequest(with_digest=True), timeout=30)
            assert (status.node_id, status.incarnation) == ("n1", f"{incarnation('n1')[:4]}...")
            assert (status.role, status.term, status.leader_id) == ("leader", 3, "n1")
            assert (status.digest, status.digest_index) == (b"digest", 7)
            assert status.healthy
            two, three = status.peers
            assert (two.id, two.match, two.mode, two.contact_age_seconds) == (
                "n2",
                8,
                "replicate",
                0.01,
            )
            assert (three.client_address, three.contact_age_seconds) == ("three:2", -1.0)
            digest = await stub.Digest(admin_pb2.DigestRequest(), timeout=30)
            assert (digest.applied_index, digest.digest) == (7, b"digest")
            snapshot = await stub.SnapshotNow(admin_pb2.SnapshotNowRequest(), timeout=30)
            assert snapshot.index == 7
            moved = await stub.Transfer(admin_pb2.TransferRequest(target="n2"), timeout=30)
            assert (moved.leader_id, moved.term) == ("n2", 3)
            code, _ = await failure_of(stub.Transfer(admin_pb2.TransferRequest(target="n9")))
            assert code == Code.INVALID_ARGUMENT
            one.node.control = Refused(Refusal.NOT_LEADER, "not here", "n2")
            code, failure = await failure_of(stub.Transfer(admin_pb2.TransferRequest()))
            assert (code, failure.leader_id) == (Code.FAILED_PRECONDITION, "n2")

    asyncio.run(main())


def test_events_are_streamed_until_the_node_stops() -> None:
    async def main() -> None:
        async with one_side() as one, grpc.aio.insecure_channel(one.client_address) as channel:
            event = Event(EventKind.ROLE, 3, Role.LEADER, "n1", "won the election", peer=None)
            one.node.events = [(4, 1.5, event)]
            call = admin_pb2_grpc.AdminStub(channel).Events(admin_pb2.EventsRequest())
            said = await call.read()
            assert isinstance(said, admin_pb2.EventReply)
            assert (said.number, said.kind, said.role) == (4, "role", "leader")
            one.servers.quiesce()
            assert await call.read() is grpc.aio.EOF
            await until(lambda: one.node.feeds[0].closed, "the feed is closed")

    asyncio.run(main())


def test_a_taken_port_is_one_line() -> None:
    async def main() -> None:
        async with one_side() as one:
            from raftd.rpc.peers.transport import LinkSettings

            other = Side(FakeNode("n2"), LinkSettings(), ClientLimits(), one.peer_address)
            with pytest.raises(
                BindError, match=r"listen_peer: .*127\.0\.0\.1:\d+: Address already"
            ):
                await other.servers.start()
            await other.servers.stop(0.1)
            nowhere = Side(FakeNode("n2"), LinkSettings(), ClientLimits(), "no-port")
            with pytest.raises(BindError, match="listen_peer: cannot listen on no-port"):
                await nowhere.servers.start()
            await nowhere.servers.stop(0.1)

    asyncio.run(main())
