"""What a transport owes beside carrying messages: limits, time, and an orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from typing import Any

import grpc
import grpc.aio
import pytest

from raftd.h2.channel import Channel
from raftd.h2.engine import EngineLimits
from raftd.h2.ngh2_engine import Ngh2Engine
from raftd.h2.server import Server
from raftd.h2.server_call import ServerCall
from raftd.h2.settings import ChannelSettings, ConnectionSettings, ServerLimits
from tests.h2.peers import channel_to, joined, run, serving, until
from tests.harsh.flood import opened

BASE = "/test.Interop/"
QUICK = ConnectionSettings(keepalive_time=0.2, keepalive_timeout=0.2, handshake_timeout=0.3)
WINDOW = 128 << 10


class Swallower:
    """A listener that takes connections and what they say, and never says anything."""

    def __enter__(self) -> str:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._taken: list[socket.socket] = []
        threading.Thread(target=self._take, daemon=True).start()
        return f"127.0.0.1:{self._socket.getsockname()[1]}"

    def _take(self) -> None:
        while True:
            try:
                self._taken.append(self._socket.accept()[0])
            except OSError:
                return

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for taken in self._taken:
            taken.close()


def test_a_server_that_says_nothing_is_no_connection() -> None:
    async def main() -> None:
        settings = ChannelSettings(connect_timeout=0.2)
        with Swallower() as address:
            async with Channel(address, settings) as channel:
                call = channel.unary_unary("/x/Y")(b"", timeout=10)
                assert await call.code() is grpc.StatusCode.UNAVAILABLE
                assert "no connection within 0.2 s" in await call.details()

    run(main())


def test_a_server_that_falls_silent_is_found_by_pings() -> None:
    async def main() -> None:
        settings = ChannelSettings(connection=QUICK)
        async with joined(settings=settings) as (channel, methods, server):
            call = channel.unary_unary(BASE + "Sleep")(b"", timeout=30)
            await methods.begun.wait()
            for connection in server.connections:
                connection._transport.pause_reading()
            assert await call.code() is grpc.StatusCode.UNAVAILABLE
            assert "nor an answer to a ping" in await call.details()

    run(main())


def test_clients_that_fall_silent_or_never_speak_are_let_go() -> None:
    async def main() -> None:
        async with serving("h2", ServerLimits(connection=QUICK)) as (address, _, server):
            port = int(address.rpartition(":")[2])
            with socket.create_connection(("127.0.0.1", port)), opened(port) as spoke:
                await until(lambda: len(server.connections) == 2)
                await until(lambda: not server.connections)
                assert server.cut == 2
                spoke.settimeout(5)

    run(main())


def test_who_does_not_take_holds_the_sender_back() -> None:
    """And holds no more than the window, and one message."""

    async def main() -> None:
        calls: list[ServerCall] = []
        small = EngineLimits(stream_window_bytes=WINDOW, connection_window_bytes=4 * WINDOW)
        server = Server(ServerLimits(connection=ConnectionSettings(engine=small)))
        server.add_stream("/t/Take", calls.append)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with channel_to("h2", f"127.0.0.1:{port}") as channel:
            call = channel.stream_stream("/t/Take")()
            sending = asyncio.ensure_future(send(call, 100))
            await until(lambda: bool(calls) and len(calls[0].inbox) > 3)
            await asyncio.sleep(0.1)
            assert server.budget.held <= 2 * WINDOW
            assert not sending.done()
            taken = 0
            while taken < 100:
                await until(lambda: bool(calls[0].inbox))
                assert len(calls[0].take()) == 30_000
                taken += 1
            await sending
            assert server.budget.held == 0
            calls[0].finish()
            assert await call.code() is grpc.StatusCode.OK
        await server.stop(0)

    async def send(call: Any, count: int) -> None:
        for _ in range(count):
            await call.write(b"x" * 30_000)

    run(main())


def test_messages_that_are_never_whole_have_a_limit_for_all() -> None:
    async def main() -> None:
        limits = ServerLimits(held_bytes_max=200_000)
        async with joined(limits) as (channel, _, server):
            first = channel.stream_stream(BASE + "Sleep")()
            second = channel.unary_unary(BASE + "Echo")(b"x" * 300_000, timeout=10)
            assert await second.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert "wait here already" in await second.details()
            first.cancel()
            await until(lambda: server.budget.held == 0)

    run(main())


def test_who_does_not_read_is_cut() -> None:
    async def main() -> None:
        slow = ConnectionSettings(keepalive_time=0.2, stall_timeout=0.3)
        async with joined(ServerLimits(connection=slow)) as (channel, _, server):
            call = channel.unary_stream(BASE + "Written")(b"1000000 " * 50)
            await call.read()
            await until(lambda: server.cut == 1)
            assert await call.code() is grpc.StatusCode.UNAVAILABLE

    run(main())


def test_a_status_is_told_also_while_messages_wait() -> None:
    async def main() -> None:
        async with joined() as (channel, _, _server):
            call = channel.unary_stream(BASE + "Sizes")(b"1 2 3", timeout=20)
            assert await asyncio.wait_for(call.code(), 15) is grpc.StatusCode.OK
            assert [len(message) async for message in call] == [1, 2, 3]

    run(main())


def test_an_orderly_stop_lets_calls_finish_and_takes_no_new_ones() -> None:
    async def main() -> None:
        async with serving("h2") as (address, _, server):
            for kind in ("h2",):
                async with channel_to(kind, address) as channel:
                    call = channel.stream_stream(BASE + "Bounce")(timeout=20)
                    await call.write(b"before")
                    assert await call.read() == b"before"
                    stopping = asyncio.ensure_future(server.stop(10))
                    await until(lambda: channel.get_state() is grpc.ChannelConnectivity.IDLE)
                    await call.write(b"after")
                    assert await call.read() == b"after"
                    late = channel.unary_unary(BASE + "Empty")(b"", timeout=5)
                    assert await late.code() is grpc.StatusCode.UNAVAILABLE
                    await call.done_writing()
                    assert await call.code() is grpc.StatusCode.OK
                    await stopping

    run(main())


def test_a_channel_comes_back_with_its_server() -> None:
    async def main() -> None:
        async with serving("h2") as (address, _, _server):
            channel = channel_to("h2", address)
            assert await channel.unary_unary(BASE + "Empty")(b"", timeout=5) == b""
        call = channel.unary_unary(BASE + "Empty")(b"", timeout=5)
        with pytest.raises(grpc.aio.AioRpcError, match="cannot connect"):
            await call
        waits = channel.unary_unary(BASE + "Empty")(b"", timeout=20, wait_for_ready=True)
        server = Server(ServerLimits())
        server.add_unary(BASE + "Empty", lambda _, call: call.answer(b"again"))
        server.add_insecure_port(address)
        await server.start()
        assert await waits == b"again"
        await channel.close()
        await server.stop(0)

    run(main())


def test_more_calls_than_allowed_are_refused() -> None:
    async def main() -> None:
        async with joined(ServerLimits(calls_max=3), client="grpcio") as (channel, _, server):
            sleeping = [channel.unary_unary(BASE + "Sleep")(b"") for _ in range(3)]
            await until(lambda: server.calls == 3)
            one_more = channel.unary_unary(BASE + "Empty")(b"", timeout=5)
            assert await one_more.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert await one_more.details() == "calls_max (3) is reached: try again later"
            for call in sleeping:
                call.cancel()
            await until(lambda: server.calls == 0)
            assert await channel.unary_unary(BASE + "Empty")(b"", timeout=5) == b""

    run(main())


def test_more_connections_than_allowed_are_closed() -> None:
    async def main() -> None:
        async with serving("h2", ServerLimits(connections_max=2)) as (address, _, server):
            port = int(address.rpartition(":")[2])
            with opened(port), opened(port):
                await until(lambda: len(server.connections) == 2)
                with opened(port) as third:
                    third.settimeout(5)
                    with contextlib.suppress(ConnectionResetError):
                        assert await asyncio.to_thread(third.recv, 1) == b""
            await until(lambda: not server.connections)

    run(main())


def test_what_was_sent_at_once_is_not_looked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each answer asked the engine once more, at the end of the turn, for nothing."""
    looks = {True: 0, False: 0}
    to_send = Ngh2Engine.to_send

    def counted(self: Ngh2Engine, bytes_max: int) -> bytes:
        data = to_send(self, bytes_max)
        looks[bool(data)] += 1
        return data

    async def main() -> None:
        async with joined() as (channel, _, _server):
            call = channel.stream_stream(BASE + "Bounce")()
            await call.write(b"first")
            await call.read()
            monkeypatch.setattr(Ngh2Engine, "to_send", counted)
            for _ in range(100):
                await call.write(b"x")
                assert await call.read() == b"x"
            call.cancel()

    run(main())
    assert looks[True] >= 200
    assert looks[False] <= looks[True] + 20
