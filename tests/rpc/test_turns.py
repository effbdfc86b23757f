"""Frames that are much work, from one caller: others are answered between them."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence

from raftd._pb import client_pb2 as pb
from raftd.h2.messages import framed
from raftd.node.outcomes import Answered, Done
from tests.harsh.flood import DATA, frame, opened, request_headers
from tests.rpc.fakes import one_side, until

FRAMES = 100
SECONDS = 0.005


def test_a_burst_of_heavy_frames_leaves_room_for_others() -> None:
    """They come in one piece from the socket: handled in one go they held the thread for 8 s."""
    turn = 0
    turns: Counter[int] = Counter()

    def heavy(queries: Sequence[bytes], stale: bool, done: Done) -> None:
        turns[turn] += 1
        time.sleep(SECONDS)
        done(Answered(6, [(0, b"") for _ in queries]))

    async def count() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    def frames() -> bytes:
        parts = [request_headers(b"/raftd.client.v1.Commands/Pipeline", 1)]
        for number in range(1, FRAMES + 1):
            asked = pb.PipelineRequest(number=number, queries=pb.QueryBatch(query=[b"heavy"]))
            parts.append(frame(DATA, 0, 1, framed(asked.SerializeToString())))
        return b"".join(parts)

    async def main() -> None:
        counting = asyncio.ensure_future(count())
        async with one_side() as one:
            one.node.on_query = heavy
            with opened(one.servers.client_port, frames()):
                await until(lambda: sum(turns.values()) == FRAMES, "all to be handled")
        counting.cancel()
        assert max(turns.values()) <= 2

    asyncio.run(main())
