"""Whose unary call begins next: connections in turn, so many in one turn, fewer beside streams."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from typing import Any

import pytest

from raftd.h2.intake import Intake
from raftd.h2.messages import framed
from raftd.h2.server_call import ServerCall
from raftd.rpc.plumbing import turns as module
from raftd.rpc.plumbing.turns import Row, TooMany, TurnLimits, Turns, begin_in_turn
from tests.h2.peers import channel_to, run, serving, until
from tests.harsh.flood import DATA, frame, opened, request_headers

CALLS = 1000


class Turn:
    """Counts turns of the loop, so that calls can be told apart by the one in which they began."""

    def __init__(self) -> None:
        self.now = 0
        self._task = asyncio.ensure_future(self._count())

    async def _count(self) -> None:
        while True:
            self.now += 1
            await asyncio.sleep(0)

    def stop(self) -> None:
        self._task.cancel()


def test_rows_take_turns_and_a_turn_has_a_share() -> None:
    async def main() -> None:
        turns, turn = Turns(cpu=lambda: 0.0), Turn()
        began: list[tuple[int, str]] = []
        rows = {"heavy": Row(), "other": Row(), "light": Row()}
        for name, count in (("heavy", 300), ("other", 300), ("light", 1)):
            for _ in range(count):
                turns.begin(rows[name], lambda name=name: began.append((turn.now, name)))  # type: ignore[misc]
        await until(lambda: len(began) == 601)
        turn.stop()
        order = [name for _, name in began]
        assert order.index("light") < 40
        shares = Counter(order[module.SHARE_FIRST :][:200])
        assert abs(shares["heavy"] - shares["other"]) <= module.AT_ONCE + 1
        assert max(Counter(at for at, _ in began).values()) <= module.SHARE_MAX
        assert turns.waiting == 0

    run(main())


def test_turns_that_last_long_begin_fewer() -> None:
    """Of this thread's own time: each look at the clock finds that 10 ms were worked."""

    async def main() -> None:
        worked = 0.0

        def cpu() -> float:
            nonlocal worked
            worked += 0.01
            return worked

        turns, turn, row = Turns(cpu), Turn(), Row()
        began: list[int] = []
        for _ in range(200):
            turns.begin(row, lambda: began.append(turn.now))
        await until(lambda: len(began) == 200)
        turn.stop()
        assert Counter(began).most_common()[5][1] <= module.SHARE_MIN

    run(main())


def test_beside_streams_calls_begin_in_small_numbers_with_pauses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        turns, turn, row = Turns(cpu=lambda: 0.0), Turn(), Row()
        began: list[int] = []
        times: dict[int, float] = {}
        time = asyncio.get_running_loop().time

        def begin() -> None:
            began.append(turn.now)
            times.setdefault(turn.now, time())

        turns.streamed()
        for _ in range(module.SHARE_FIRST + 60):
            turns.begin(row, begin)
        await until(lambda: len(began) == module.SHARE_FIRST + 60)
        turn.stop()
        _, *after = sorted(Counter(began).items())
        assert max(count for _, count in after) <= module.BESIDE_STREAMS
        pauses = [times[later] - times[at] for (at, _), (later, _) in itertools.pairwise(after)]
        assert min(pauses) > module.REST_SECONDS / 2

    monkeypatch.setattr(module, "STREAMS_SECONDS", 60.0)
    run(main())


def test_who_waits_is_bounded_by_connection_and_in_all() -> None:
    async def main() -> None:
        turns, row = Turns(lambda: 0.0, TurnLimits(10, 12)), Row()
        for _ in range(module.SHARE_FIRST + 10):
            turns.begin(row, lambda: None)
        with pytest.raises(TooMany, match=r"^connection_calls_waiting_max \(10\) is reached"):
            turns.begin(row, lambda: None)
        for _ in range(2):
            turns.begin(Row(), lambda: None)
        with pytest.raises(TooMany, match=r"^calls_waiting_max \(12\) is reached"):
            turns.begin(Row(), lambda: None)
        assert turns.refused == 2

    run(main())


def calls(count: int) -> bytes:
    body = frame(DATA, 1, 1, framed(b"hello"))
    parts = []
    for stream in range(1, 2 * count, 2):
        parts.append(request_headers(b"/test.Methods/Count", stream))
        parts.append(body[:5] + stream.to_bytes(4, "big") + body[9:])
    return b"".join(parts)


def test_a_connection_with_a_thousand_calls_is_read_as_they_begin() -> None:
    """Another one's call comes between; all are answered; what is not begun is hardly looked at."""

    async def main() -> None:
        begun: list[str] = []
        looked: list[int] = []

        def count(message: bytes, call: ServerCall) -> None:
            connection: Any = call.connection
            begun.append(connection.peer)
            looked.append(connection._calls - begun.count(connection.peer))
            call.answer(message)

        async with (
            serving("h2") as (address, _, server),
            channel_to("h2", address) as channel,
        ):
            server.intake = Intake(server.loop, cpu=lambda: 0.0)  # it never has enough by itself
            begin_in_turn(server, Turns())
            server.add_unary("/test.Methods/Count", count)
            ask = channel.unary_unary("/test.Methods/Count")
            await ask(b"once, so that the connection stands")
            with opened(int(address.rpartition(":")[2]), calls(CALLS)):
                await until(lambda: len(begun) > 100)
                await ask(b"between")
                assert len(begun) < CALLS / 2
                await until(lambda: len(begun) == CALLS + 2)
            assert max(looked) <= 60

    run(main())
