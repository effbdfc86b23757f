"""Too many and too slow: idle connections, waiting calls, clients that never read."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from harness.cluster import channel
from harness.nodes import Node, wait_until
from raftd._pb import admin_pb2, client_pb2
from raftd.client.delivery.policy import status_of
from raftd.wire import batch, kv
from tests.harsh.bad_input.conftest import Live

pytestmark = [pytest.mark.cluster, pytest.mark.alone]

IDLE_CONNECTIONS = 1_000
WAITING_CALLS = 5_000
THREADS_MAX = 40
RSS_GROWTH_MAX = 150 << 20
UNREAD_FRAMES = 20_000


def of_process(node: Node, what: str) -> int:
    """A number from /proc: "Threads", or "VmRSS" in KiB."""
    for line in Path(f"/proc/{node.pid()}/status").read_text().splitlines():
        if line.startswith(f"{what}:"):
            return int(line.split()[1])
    raise AssertionError(f"no {what} of {node.id}")


@pytest.fixture(autouse=True)
def many_files() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 16_384), hard))


@pytest.mark.parametrize("which", ["client", "peer"])
def test_a_thousand_idle_connections(live: Live, which: str) -> None:
    """Open, silent and never closed, on a port that others need meanwhile."""
    port = getattr(live.leader.ports, which)
    with contextlib.ExitStack() as opened:
        for _ in range(IDLE_CONNECTIONS):
            opened.enter_context(socket.create_connection(("127.0.0.1", port), 5))
        for _ in range(20):
            live.works()
        assert of_process(live.leader, "Threads") < THREADS_MAX
        live.check()


async def _wait_in_streams(address: str, count: int, meanwhile: threading.Event) -> int:
    """Open `count` pipelined streams, each with one answered query; returns how many got it."""
    query = client_pb2.PipelineRequest(
        number=1,
        queries=client_pb2.QueryBatch(query=[kv.encode_get(b"x")], consistency=client_pb2.STALE),
    )
    answered = 0
    async with contextlib.AsyncExitStack() as channels:
        calls: list[Any] = []
        for number in range(10):
            options = [("grpc.use_local_subchannel_pool", 1), ("raftd.test", number)]
            to = grpc.aio.insecure_channel(address, options=options)
            await channels.enter_async_context(to)
            method: Any = to.stream_stream(
                "/raftd.client.v1.Commands/Pipeline",
                request_serializer=client_pb2.PipelineRequest.SerializeToString,
                response_deserializer=client_pb2.PipelineReply.FromString,
            )
            for _ in range(count // 10):
                call = method(timeout=60)
                calls.append(call)
                await call.write(query)
            for call in calls[-(count // 10) :]:
                answered += (await call.read()).number == 1
        meanwhile.set()
        await asyncio.sleep(0.5)
        for place, call in enumerate(calls):
            call.cancel()
            if place % 250 == 0:
                await asyncio.sleep(0.02)
    return answered


def test_five_thousand_waiting_calls(live: Live) -> None:
    """An open stream is a call that waits. They cost no thread, and nobody else is kept waiting."""
    before = of_process(live.leader, "Threads")
    all_wait = threading.Event()
    answered: list[int] = []

    def run() -> None:
        address = live.leader.client_address
        answered.append(asyncio.run(_wait_in_streams(address, WAITING_CALLS, all_wait)))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    while not all_wait.wait(0.2) and thread.is_alive():
        live.works()
    for _ in range(5):
        live.works()
    during = of_process(live.leader, "Threads")
    live.check()
    thread.join(30)
    assert answered == [WAITING_CALLS]
    assert during < THREADS_MAX
    print(f"\n{WAITING_CALLS} waiting calls: {before} threads before, {during} meanwhile")


def test_readers_of_events_that_never_read_keep_no_operator_out(live: Live) -> None:
    with channel(live.leader) as to, contextlib.ExitStack() as opened:
        method: Any = to.unary_stream(
            "/raftd.admin.v1.Admin/Events",
            request_serializer=admin_pb2.EventsRequest.SerializeToString,
        )
        calls = [method(admin_pb2.EventsRequest(from_start=True), timeout=20) for _ in range(40)]
        for call in calls:
            opened.callback(call.cancel)
        operator = method(admin_pb2.EventsRequest(from_start=True), timeout=20)
        opened.callback(operator.cancel)
        assert next(operator)
        ends: list[tuple[grpc.StatusCode, str]] = []
        for call in calls:
            threading.Thread(target=_read_on, args=(call, ends), daemon=True).start()
        # Nine more than there is room for. What gRPC still holds for one that never read may
        # hide its end from it; its place is free all the same.
        wait_until(lambda: bool(ends), 15, "a reader to be sent away")
        assert {code for code, _ in ends} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
        assert len(ends) <= 9
        assert "32 readers of events" in ends[0][1]
        print(f"\n40 readers of events that never read: the operator's came, {len(ends)} sent away")


def _read_on(call: Any, ends: list[tuple[grpc.StatusCode, str]]) -> None:
    """What has arrived, and then how the stream ended, if the node ended it."""
    try:
        for _ in call:
            pass
    except grpc.RpcError as error:
        if status_of(error)[0] is not grpc.StatusCode.CANCELLED:
            ends.append(status_of(error))


def test_a_crowd_of_slow_connections_does_not_hold_up_livez(live: Live) -> None:
    """On every node at once: a supervisor would replace them all."""
    with contextlib.ExitStack() as opened:
        for node in live.nodes:
            for _ in range(100):
                one = socket.create_connection(("127.0.0.1", node.ports.admin), 5)
                opened.enter_context(one).sendall(b"GET /livez HTTP/1.1\r\nX-Slow: ")
        took = []
        for node in live.nodes:
            began = time.monotonic()
            assert node.http("/livez")[0] == 200
            assert node.metric("raftd_term") == live.term
            took.append(time.monotonic() - began)
        # A first packet that is dropped is sent again after a second, and each node has a crowd.
        assert min(took) < 1.0, took
        live.check()
    said = ", ".join(f"{seconds * 1e3:.0f}" for seconds in took)
    print(f"\n100 slow connections a node: /livez and /metrics in {said} ms, term {live.term}")


def test_a_client_that_never_reads(live: Live) -> None:
    """It asks for far more than it takes. The node holds a bounded part of that for it."""
    for number in range(30):
        live.put(b"unread/%02d" % number, b"x" * (100 << 10))
    before = of_process(live.leader, "VmRSS")
    frame = client_pb2.PipelineRequest(
        queries=client_pb2.QueryBatch(
            query=[kv.encode_range(b"unread/", 1_000, b"")], consistency=client_pb2.STALE
        )
    )
    sent = 0

    def frames() -> Iterator[client_pb2.PipelineRequest]:
        nonlocal sent
        for number in range(1, UNREAD_FRAMES + 1):
            frame.number = sent = number
            yield frame
        threading.Event().wait(20)

    with grpc.insecure_channel(
        live.leader.client_address,
        options=[("grpc.http2.lookahead_bytes", 1 << 16), ("grpc.http2.bdp_probe", 0)],
    ) as to:
        pipeline: Any = to.stream_stream(
            "/raftd.client.v1.Commands/Pipeline",
            request_serializer=client_pb2.PipelineRequest.SerializeToString,
        )
        call = pipeline(frames(), timeout=20)
        for _ in range(30):
            live.works()
            threading.Event().wait(0.05)
        grown = (of_process(live.leader, "VmRSS") - before) << 10
        call.cancel()
    answers = sent * 2 << 20
    print(
        f"\nnever read: {sent} frames sent, answers of {answers >> 20} MiB, the node grew by "
        f"{grown >> 20} MiB"
    )
    assert grown < RSS_GROWTH_MAX


def test_a_client_that_never_reads_its_writes(live: Live) -> None:
    """Acknowledgements are small, but not nothing."""
    before = of_process(live.leader, "VmRSS")
    stop = threading.Event()

    def frames() -> Iterator[client_pb2.PipelineRequest]:
        number = 0
        while not stop.is_set() and number < UNREAD_FRAMES:
            number += 1
            put = batch.encode_batch(b"", 0, [(0, kv.encode_put(b"unread", b"%d" % number))])
            yield client_pb2.PipelineRequest(number=number, batch=put)
        stop.wait(20)

    with grpc.insecure_channel(live.leader.client_address) as to:
        pipeline: Any = to.stream_stream(
            "/raftd.client.v1.Commands/Pipeline",
            request_serializer=client_pb2.PipelineRequest.SerializeToString,
        )
        call = pipeline(frames(), timeout=20)
        for _ in range(20):
            live.works()
            threading.Event().wait(0.05)
        grown = (of_process(live.leader, "VmRSS") - before) << 10
        stop.set()
        call.cancel()
    assert grown < RSS_GROWTH_MAX
