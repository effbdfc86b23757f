"""Requests on streams are taken in turn, as calls begin."""

from __future__ import annotations

import asyncio
from typing import Any

from raftd.rpc.etcd.calls import ANYBODY
from raftd.rpc.etcd.faults import Fault
from raftd.rpc.etcd.grpc_host import GrpcConversation
from raftd.rpc.plumbing.connections import TALKING_MAX, Connections, UnreadLimits
from raftd.rpc.plumbing.turns import SHARE_MAX, TurnLimits, Turns

WAIT = 20.0
STREAMS = 1000


class Context:
    """A stream that always has a request."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    async def read(self) -> object:
        return object()

    async def write(self, message: bytes) -> None:
        self.written.append(message)


class Answer:
    def __init__(self) -> None:
        self.packed = 0

    def ByteSize(self) -> int:
        return len(self.SerializeToString())

    def SerializeToString(self) -> bytes:
        self.packed += 1
        return b"answer"


def test_a_thousand_streams_are_not_all_heard_in_one_turn_of_the_loop() -> None:
    """Watches that were refused, on some thousand streams of a caller without a password, held the
    loop so long that a follower missed its leader.
    """

    async def main() -> None:
        turns, heard = Turns(), dict.fromkeys(("stranger", "user"), 0)
        everybody = Connections(UnreadLimits(), lambda: 0.0)

        async def stream(who: str, port: int) -> None:
            connection = everybody.of(f"ipv4:127.0.0.1:{port}")
            talk = GrpcConversation(Context(), connection, None, ANYBODY, turns)
            while True:
                await talk.receive()
                heard[who] += 1

        tasks = [asyncio.ensure_future(stream("stranger", 1)) for _ in range(STREAMS)]
        await asyncio.sleep(0)
        tasks.append(asyncio.ensure_future(stream("user", 2)))
        loops = 100
        for _ in range(loops):
            before = sum(heard.values())
            await asyncio.sleep(0)
            assert sum(heard.values()) - before <= SHARE_MAX + 1
            assert turns.waiting <= 2 * TALKING_MAX, "the others wait at their own connection"
        assert heard["user"] >= loops / 10, "a stream of another connection has its turns"
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(asyncio.wait_for(main(), WAIT))


def test_where_there_is_no_room_the_stream_ends_with_a_word() -> None:
    async def main() -> None:
        turns = Turns(limits=TurnLimits(calls_waiting_max=0))
        connection = Connections(UnreadLimits(), lambda: 0.0).of("ipv4:127.0.0.1:1")
        talk: Any = GrpcConversation(Context(), connection, None, ANYBODY, turns)
        told = ""
        for _ in range(2 * SHARE_MAX):
            try:
                await talk.receive()
            except Fault as error:
                told = error.text
                break
        assert told == "etcdserver: too many requests"
        assert not connection.talking.locked()

    asyncio.run(asyncio.wait_for(main(), WAIT))


def test_an_answer_is_packed_once() -> None:
    """To ask a message for its size is to pack it: a quarter of what a flood of watches took."""
    connection = Connections(UnreadLimits(), lambda: 0.0).of("ipv4:127.0.0.1:1")
    context, answer = Context(), Answer()
    asyncio.run(GrpcConversation(context, connection, None, ANYBODY).send(answer))
    assert (context.written, answer.packed) == ([b"answer"], 1)
