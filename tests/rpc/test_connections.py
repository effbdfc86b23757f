"""Who does not read, and who floods: judged by numbers, so that a test needs no flood."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from typing import Any

import grpc.aio
import pytest

from raftd._pb import client_pb2 as pb
from raftd._pb import client_pb2_grpc
from raftd.rpc.plumbing import sockets
from raftd.rpc.plumbing.connections import FRAME_BYTES, Connections, UnreadLimits, plain
from raftd.rpc.plumbing.guard import LONG_REST_SECONDS, QUIET_BYTES, FloodLimits, Guard
from tests.rpc.fakes import one_side

LIMITS = UnreadLimits(connection_bytes_max=100, node_bytes_max=250, seconds=10.0)


class Clock:
    def __init__(self) -> None:
        self.at = 100.0

    def now(self) -> float:
        return self.at


def fresh() -> tuple[Connections, Clock]:
    clock = Clock()
    return Connections(LIMITS, clock.now), clock


def test_a_connection_has_its_own_limit_and_the_node_has_one() -> None:
    connections, clock = fresh()
    made = [connections.of(f"ipv4:127.0.0.1:{port}") for port in (1, 2, 3)]
    for same in ("ipv6:%5B::ffff:127.0.0.1%5D:1", "ipv6:[::FFFF:127.0.0.1]:1"):
        assert made[0] is connections.of(same)
    assert connections.of("ipv6:%5B::1%5D:1").end == (plain("::1"), 1) == ("::1", 1)
    assert made[0].room(101), "one answer alone may be longer"
    made[0].hold(90)
    assert not made[0].room(11)
    assert made[0].full, "nothing more is begun for it"
    made[0].read(1)
    made[0].hold(1)
    assert not connections.of("ipv4:127.0.0.1:1").full
    made[1].hold(90)
    assert made[2].room(70)
    assert not made[2].room(71), "the node is full"
    assert not connections.doomed, "nobody has stalled yet"
    clock.at += 2.0
    made[1].read(10)
    assert not made[2].room(90)
    assert connections.doomed == {made[0]}, "who reads is left alone"


def test_who_reads_nothing_is_cut_and_who_reads_slowly_is_not() -> None:
    connections, clock = fresh()
    silent, slow = connections.of("ipv4:h:1"), connections.of("ipv4:h:2")
    silent.hold(50)
    slow.hold(50)
    for number in range(1, 12):
        clock.at += 1.0
        connections.acked(("h", 1), 0)
        connections.acked(("h", 2), number * 5_000)
        connections.sweep()
    assert connections.doomed == {silent}


def test_too_much_that_could_not_be_refused_is_the_end() -> None:
    """The results of what was done cannot be replaced by a refusal."""
    connections, _ = fresh()
    one = connections.of("ipv4:h:1")
    one.hold(150)
    assert not connections.doomed
    one.hold(60)
    assert connections.doomed == {one}


def test_waiting_calls_go_on_once_something_was_read() -> None:
    connections, _ = fresh()
    one = connections.of("ipv4:h:1")
    again: list[int] = []
    one.hold(120)
    one.waiting.add(lambda: again.append(1))
    one.read(10)
    assert not again, "still full"
    one.read(60)
    assert again == [1]


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket, int]]:
    """A connection to a port of this process: (the other end, our end, our port)."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as theirs:
            ours, _ = listening.accept()
            with ours:
                yield theirs, ours, port


def test_the_kernel_tells_what_came_and_ends_what_it_is_told_to(
    pair: tuple[socket.socket, socket.socket, int],
) -> None:
    theirs, _, port = pair
    theirs.sendall(b"x" * 1000)
    [found] = sockets.accepted({port})
    assert found.port == theirs.getsockname()[1]
    assert found.received in (1000, -1)
    assert list(sockets.accepted({1})) == []
    sockets.end(found)
    theirs.settimeout(5)
    assert theirs.recv(1) == b""


def test_what_is_no_message_has_a_budget(
    pair: tuple[socket.socket, socket.socket, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = pair[0].getsockname()[1]
    received = 0
    ended: list[sockets.Accepted] = []
    monkeypatch.setattr(
        sockets,
        "accepted",
        lambda ports: [sockets.Accepted(9, "127.0.0.1", remote, 0, received)],
    )
    monkeypatch.setattr(sockets, "end", ended.append)

    async def main() -> None:
        nonlocal received
        connections, clock = fresh()
        guard = Guard(
            connections, FloodLimits(at_once_bytes=1000, each_second_bytes=100), clock.now
        )
        for _ in range(50):  # a good client, however much it sends
            connections.parsed_bytes = 5_000 - FRAME_BYTES
            connections.of(f"ipv4:127.0.0.1:{remote}").arrived()
            received += 5_000
            guard.scan()
            clock.at += 0.25
        for _ in range(30):  # 80 bytes a second beside its messages
            received += 20
            guard.scan()
            clock.at += 0.25
        assert not ended
        received += 1_500
        guard.scan()
        assert len(ended) == guard.cut == 1

    asyncio.run(main())


def test_it_rests_while_nobody_comes_or_goes_or_sends_much(monkeypatch: pytest.MonkeyPatch) -> None:
    there: dict[int, int] = {}
    monkeypatch.setattr(
        sockets,
        "accepted",
        lambda ports: [sockets.Accepted(9, "127.0.0.1", *one) for one in pairs()],
    )

    def pairs() -> list[tuple[int, int, int]]:
        return [(port, 0, received) for port, received in there.items()]

    async def main() -> None:
        connections, clock = fresh()
        guard = Guard(connections, FloodLimits(), clock.now, rests=True)

        def quiet() -> bool:
            guard.scan()
            return guard.quiet

        assert quiet()
        there[1] = 100
        assert not quiet()  # one has come
        assert quiet()
        there[1] += QUIET_BYTES + 1
        assert not quiet()
        assert quiet()
        connections.of("ipv4:127.0.0.1:1").hold(10)
        assert not quiet()  # it may not read
        connections.of("ipv4:127.0.0.1:1").read(10)
        assert quiet()
        del there[1]
        assert not quiet()
        assert quiet()

    asyncio.run(main())


def test_a_quiet_port_is_looked_at_only_for_news(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look asks the system about every descriptor: an idle node asked it little else."""
    walks: list[float] = []

    async def main() -> None:
        connections, clock = fresh()

        def accepted(ports: object) -> list[sockets.Accepted]:
            walks.append(clock.at)
            return [sockets.Accepted(9, "127.0.0.1", 1, 0, 0)]

        monkeypatch.setattr(sockets, "accepted", accepted)
        guard = Guard(connections, FloodLimits(), clock.now, rests=True)
        guard.start(())

        def walked(seconds: float) -> int:
            """How often, while so much time passed and its timer fired once a second."""
            before = len(walks)
            for _ in range(int(seconds)):
                clock.at += 1.0
                guard._begin()
            return len(walks) - before

        assert walked(2) == 2, "until nothing has changed"
        assert walked(LONG_REST_SECONDS - 1) == 0
        assert walked(3 * LONG_REST_SECONDS + 2) == 4
        one = connections.of("ipv4:127.0.0.1:1")
        assert walked(1) == 1, "one has come"
        one.seen += QUIET_BYTES + 1
        assert walked(1) == 1, "it has sent much"
        one.hold(10)
        assert walked(3) == 3, "it may not read"
        one.read(10)
        assert walked(3) == 1, "once more, and it rests"
        connections.cut(one, "why")
        assert walked(1) == 1, "it is to be cut"
        guard.stop()

    asyncio.run(main())


def test_every_message_is_counted_for_its_own_connection() -> None:
    """Whole, also on streams, or a good client would be taken for a flood."""

    async def main() -> None:
        async with one_side() as one:
            connections = one.servers._connections
            ports = {one.servers.client_port}
            for size, frames in ((10_000, 3), (50_000, 2)):
                async with grpc.aio.insecure_channel(
                    one.client_address, options=[("grpc.use_local_subchannel_pool", 1)]
                ) as channel:
                    before = set(connections._open)
                    stub = client_pb2_grpc.CommandsStub(channel)
                    await stub.Query(pb.QueryRequest(query=b"x" * size), timeout=30)
                    call: Any = stub.Pipeline(timeout=30)
                    for number in range(1, frames + 1):
                        asked = pb.QueryBatch(query=[b"y" * size])
                        await call.write(pb.PipelineRequest(number=number, queries=asked))
                        assert (await call.read()).number == number
                    [end] = set(connections._open) - before
                    kernel = [(plain(found.host), found.port) for found in sockets.accepted(ports)]
                    assert end in kernel, "gRPC and the kernel must mean the same connection"
                    seen = connections.seen(end)
                    whole = (1 + frames) * size
                    assert whole < seen < whole + (1 + frames) * (FRAME_BYTES + 100)

    asyncio.run(main())
