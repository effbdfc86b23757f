"""Connections that are forgotten on the way, without a word, and how soon each end knows."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import grpc.aio
import pytest

from harness.proxy import Edge, Proxies
from raftd._pb import admin_pb2, admin_pb2_grpc, client_pb2_grpc
from raftd.client.delivery import transport
from raftd.core import messages as m
from raftd.rpc.directory import PeerAddress
from raftd.rpc.peers.transport import LinkSettings
from tests.rpc.fakes import PATIENT, Side, append, one_side, until

CONTROL, APPEND = m.Channel.CONTROL, m.Channel.APPEND
VOTE = m.VoteRequest(4, "n1", 9, 3)
PINGED = replace(
    PATIENT,
    keepalive_time=LinkSettings().keepalive_time,
    keepalive_timeout=LinkSettings().keepalive_timeout,
)
SLACK_SECONDS = 1.5
"""Of a busy machine."""


@pytest.fixture
def proxies() -> Iterator[Proxies]:
    made = Proxies(seed=1)
    yield made
    made.close()


def through(proxies: Proxies, one: Side, two: Side) -> Edge:
    """n1 reaches n2 by an edge only."""
    edge = proxies.add("n1", "n2", two.servers.peer_port)
    one.directory.advertise("n2", PeerAddress(f"127.0.0.1:{edge.port}", ""))
    return edge


def test_a_call_that_nobody_answers_brings_a_new_connection(proxies: Proxies) -> None:
    """No ping of gRPC's would have told before a second has gone by."""

    async def main() -> None:
        quick = replace(PATIENT, control_timeout=0.3, renew_after=0.1)
        async with one_side("n1", quick) as one, one_side("n2") as two:
            edge = through(proxies, one, two)
            owed = one.node.owed
            owed["n2", CONTROL].append(replace(VOTE, number=1))
            owed["n2", APPEND].append(append(2))
            one.peers.wake("n2", CONTROL)
            one.peers.wake("n2", APPEND)
            await until(lambda: len(one.node.replies) == 2, "two answers")
            lines = one.peers._outlets["n2"].lines
            loop = asyncio.get_running_loop()
            await until(lambda: loop.time() - lines[APPEND]._opened > 0.15, "no new connection")
            edge.swallow()
            await until(lambda: edge.swallowed, "the connections to be swallowed")
            owed["n2", CONTROL].append(replace(VOTE, number=3))
            one.peers.wake("n2", CONTROL)
            await until(lambda: one.node.lost, "the report of the vote")
            assert [lines[CONTROL].renewals, lines[APPEND].renewals] == [1, 1]
            owed["n2", CONTROL].append(replace(VOTE, number=4))
            owed["n2", APPEND].append(append(5))
            one.peers.wake("n2", CONTROL)
            one.peers.wake("n2", APPEND)
            lost = len(one.node.lost)

            def answered_or_offered_again() -> bool:
                """What met the end of the old stream is lost, and offered again, as by the core."""
                nonlocal lost
                if len(one.node.lost) > lost:
                    lost += 1
                    owed["n2", APPEND].append(append(5 + lost))
                    one.peers.wake("n2", APPEND)
                return len(one.node.replies) == 4

            await until(answered_or_offered_again, "answers on new connections")

    asyncio.run(main())


def answered(one: Side, count: int) -> bool:
    return len(one.node.replies) == count


def test_an_answer_to_another_call_is_a_sign_of_life() -> None:
    async def main() -> None:
        quick = replace(PATIENT, control_timeout=0.3, renew_after=0.0)
        async with one_side("n1", quick) as one, one_side("n2") as two:
            one.directory.advertise("n2", PeerAddress(two.peer_address, ""))
            two.node.on_step = lambda request, reply: (
                reply(m.VoteReply(4, True)) if request.number > 1 else None
            )
            for number in range(1, 9):
                one.node.owed["n2", CONTROL].append(replace(VOTE, number=number))
                one.peers.wake("n2", CONTROL)
                await until(partial(answered, one, number - 1), "an answer")
            await until(lambda: one.node.lost, "the first one's deadline")
            assert one.peers._outlets["n2"].lines[CONTROL].renewals == 0

    asyncio.run(main())


def test_pings_tell_both_ends_where_nobody_calls(proxies: Proxies) -> None:
    """Each fails without `grpc.http2.ping_timeout_ms` in its options: a minute then."""

    async def node() -> None:
        async with one_side("n1", PINGED) as one, one_side("n2", PINGED) as two:
            edge = through(proxies, one, two)
            one.node.owed["n2", APPEND].append(append(1))
            one.peers.wake("n2", APPEND)
            await until(lambda: one.node.replies, "the stream stands")
            two.node.on_step = lambda request, reply: None
            one.node.owed["n2", APPEND].append(append(2))
            one.peers.wake("n2", APPEND)
            await until(lambda: len(two.node.stepped) == 2, "one that is in flight")
            edge.swallow()
            await until(lambda: edge.swallowed, "the connections to be swallowed")
            edge.block()  # no new stream in the place of the old one
            here = PINGED.keepalive_time + PINGED.keepalive_timeout
            await until(lambda: one.node.lost, "the caller knows", here + SLACK_SECONDS)
            streams = two.servers._raft._appends._streams
            await until(lambda: not streams, "the peer port knows", 2.0 + SLACK_SECONDS)

    async def clients() -> None:
        async with one_side("n3") as three:
            edge = proxies.add("clients", "n3", three.servers.client_port)
            ends = [
                asyncio.create_task(_events(edge.port)),
                asyncio.create_task(_pipeline(edge.port)),
            ]
            await until(lambda: len(edge.links) == 2, "two connections")
            await until(lambda: len(three.servers._admin._readers), "a reader")
            await until(lambda: three.servers._streams._streams, "a pipeline")
            edge.swallow()
            await asyncio.wait_for(asyncio.gather(*ends), 3.0 + SLACK_SECONDS)

    async def main() -> None:
        await asyncio.gather(node(), clients())

    asyncio.run(main())


async def _events(port: int) -> None:
    address = f"127.0.0.1:{port}"
    async with grpc.aio.insecure_channel(address, options=transport.OPTIONS) as channel:
        call = admin_pb2_grpc.AdminStub(channel).Events(admin_pb2.EventsRequest())
        with pytest.raises(grpc.aio.AioRpcError):
            await call.read()


async def _pipeline(port: int) -> None:
    address = f"127.0.0.1:{port}"
    async with grpc.aio.insecure_channel(address, options=transport.OPTIONS) as channel:
        call = client_pb2_grpc.CommandsStub(channel).Pipeline()
        with pytest.raises(grpc.aio.AioRpcError):
            await call.read()
