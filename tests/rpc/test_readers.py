"""Streams that go on for ever: who does not read keeps nobody out, who leaves leaves no trace."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
from functools import partial
from importlib import import_module
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from raftd._pb import admin_pb2, admin_pb2_grpc
from raftd.core.effects import Event
from raftd.core.events import EventKind
from raftd.core.types import Role
from raftd.rpc.clients import admin_service, health
from raftd.rpc.plumbing.readers import Readers, keep_callers_out_of_the_log
from tests.rpc.fakes import Side, one_side, until

NARROW = [
    ("grpc.http2.lookahead_bytes", 1024),
    ("grpc.use_local_subchannel_pool", 1),
]
LARGE = Event(EventKind.ROLE, 3, Role.LEADER, "n1", "x" * 20_000, peer=None)
EVENTS = [(number, 1.5, LARGE) for number in range(1, 200)]


def follow(channel: grpc.aio.Channel) -> Any:
    return admin_pb2_grpc.AdminStub(channel).Events(admin_pb2.EventsRequest())


def watch(channel: grpc.aio.Channel) -> Any:
    return health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())


@pytest.mark.parametrize("how", ["cancelled", "its connection closed"])
def test_a_reader_that_leaves_in_the_middle_of_a_write_leaves_no_stack_trace(
    how: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with one_side() as one:
            one.node.events = EVENTS
            channel = grpc.aio.insecure_channel(one.client_address, options=NARROW)
            calls = [follow(channel), follow(channel), watch(channel)]
            await until(lambda: len(one.node.feeds) == 2, "two readers")
            await until(lambda: stuck(one), "events that nobody takes")
            if how == "cancelled":
                for call in calls:
                    call.cancel()
            await channel.close()
            readers = one.servers._admin._readers
            await until(lambda: not len(readers) and one.node.feeds[1].closed, "both are gone")

    asyncio.run(main())
    assert [record.getMessage() for record in caplog.records] == []


def test_nor_does_one_of_a_service_that_is_not_ours(caplog: pytest.LogCaptureFixture) -> None:
    """Reflection is gRPC's own, a generator that gRPC writes for; it says this then."""
    keep_callers_out_of_the_log()
    logger = logging.getLogger("grpc._cython.cygrpc")
    gone = import_module("grpc._cython.cygrpc").ExecuteBatchError("execute_batch", ())
    for error in (gone, RuntimeError("a bug")):
        try:
            raise error
        except Exception:
            logger.exception("raised by servicer method")
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [RuntimeError]


def holds(readers: Readers, count: int) -> bool:
    return len(readers) == count


def stuck(one: Side) -> bool:
    """Some events were written, and no more are."""
    return all(0 < len(feed._events) < len(EVENTS) for feed in one.node.feeds)


@pytest.mark.parametrize(
    ("place", "limit", "call"),
    [(admin_service, "EVENT_READERS_MAX", follow), (health, "WATCHERS_MAX", watch)],
    ids=["events", "health"],
)
def test_one_more_than_there_is_room_for_sends_the_oldest_away(
    monkeypatch: pytest.MonkeyPatch, place: Any, limit: str, call: Any
) -> None:
    """Also one that is stuck in a write, because it never reads."""
    monkeypatch.setattr(place, limit, 2)

    async def main() -> None:
        async with one_side() as one, grpc.aio.insecure_channel(one.client_address) as channel:
            one.node.events = EVENTS
            readers = (
                one.servers._admin._readers if call is follow else one.servers._health._watchers
            )
            idle = grpc.aio.insecure_channel(one.client_address, options=NARROW)
            calls = []
            for count in (1, 2):
                calls.append(call(idle))
                await until(partial(holds, readers, count), "a reader")
            if call is follow:
                await until(lambda: stuck(one), "events that nobody takes")
            late = call(channel)
            assert await late.read() is not grpc.aio.EOF
            assert len(readers) == 2
            assert await late.read() if call is follow else True
            code = await drained(calls[0])
            assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert not calls[1].done()
            await idle.close()

    asyncio.run(main())


async def drained(call: Any) -> grpc.StatusCode:
    with contextlib.suppress(grpc.aio.AioRpcError):
        while await call.read() is not grpc.aio.EOF:
            pass
    assert "at a time: another one took this place" in await call.details()
    return await call.code()  # type: ignore[no-any-return]


def test_how_a_write_ended_that_nobody_waits_for_any_more_is_heard() -> None:
    """What nobody hears of would stop the node."""

    async def whole() -> None:
        unheard: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, what: unheard.append(what))

        async def fails_late() -> None:
            try:
                await asyncio.sleep(60)
            finally:
                raise EOFError("the connection has gone")

        with Readers(1, "readers").enter() as reader:
            telling = asyncio.ensure_future(reader.first(fails_late()))
            await asyncio.sleep(0.01)
            reader.gone.set()
            assert await telling == []
            await asyncio.sleep(0.01)
            del telling
            gc.collect()
            await asyncio.sleep(0)
        assert not unheard

    asyncio.run(whole())
