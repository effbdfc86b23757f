"""What a stream held is given back once, however the stream ends."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from raftd.h2.server import Server
from raftd.h2.settings import ServerLimits
from raftd.rpc.plumbing.connections import Connections, UnreadLimits
from raftd.rpc.plumbing.direct_streams import server_stream
from raftd.rpc.plumbing.streams import Ended, ServerStream
from tests.h2.peers import channel_to, run, until

ANSWER_BYTES = 3 << 20
"""More than the windows of a caller who reads nothing take."""

ENDED = Ended(grpc.StatusCode.INVALID_ARGUMENT, "not a frame")


class Answers:
    """A method that answers each frame at length, and ends the stream at the frame `end`."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.connections = Connections(UnreadLimits(), loop.time)
        self.ended = asyncio.Event()
        self.most = 0

    async def method(self, _requests: Any, context: Any) -> None:
        def on_frame(frame: bytes) -> None:
            if frame == b"end":
                raise ENDED
            stream.take(len(frame))
            stream.answer(b"x" * ANSWER_BYTES, len(frame), ANSWER_BYTES)
            self.most = max(self.most, self.connections.unread)

        connection = self.connections.of(context.peer())
        stream: ServerStream[Any, Any] = server_stream(context, on_frame, 64, 64 << 20, connection)
        try:
            await stream.run()
        except Ended as ended:
            await context.abort(ended.code, ended.message)
        finally:
            self.ended.set()


async def unread_after(last: str) -> int:
    answers = Answers()
    server = Server(ServerLimits())
    handler: Any = grpc.stream_stream_rpc_method_handler(answers.method)
    server.add_registered_method_handlers("test.Answers", {"All": handler})
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with channel_to("h2", f"127.0.0.1:{port}") as channel:
        call = channel.stream_stream("/test.Answers/All")()
        for _ in range(3):
            await call.write(b"more")
        await until(lambda: answers.most >= 3 * ANSWER_BYTES)
        if last == "end":
            await call.write(b"end")
        else:
            call.cancel()
        await asyncio.wait_for(answers.ended.wait(), 10)
        await asyncio.sleep(0)
        call.cancel()
        await until(lambda: not server.calls)
    await server.stop(0)
    return answers.connections.unread


@pytest.mark.parametrize("last", ["end", "cancel"])
def test_answers_that_nobody_read_are_given_back_once(last: str) -> None:
    """Given back twice, the node's limit of unread answers grew with each such stream."""

    async def main() -> None:
        assert await unread_after(last) == 0

    run(main())
