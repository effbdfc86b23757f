"""Who logs in while strangers try passwords."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from raftd.rpc.clients import login_queue, passwords
from raftd.rpc.clients.login_queue import LoginQueue, TooManyLogins, Turn
from raftd.rpc.clients.passwords import Passwords

WAIT = 20.0
FLOOD = [f"ipv4:10.0.0.9:{port}" for port in (1, 2)]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = passwords._hash
    monkeypatch.setattr(passwords, "_hash", lambda p, c, b, n, salt: slow(p, 1, 1, 1, salt))


def run(test: Callable[[Passwords], Awaitable[None]]) -> None:
    async def whole() -> None:
        pool = Passwords()
        async with asyncio.timeout(WAIT):
            await test(pool)
        pool.close()

    asyncio.run(whole())


def test_who_tries_passwords_keeps_nobody_else_from_logging_in() -> None:
    """Two connections of a stranger took all the room there was: 20 of 20 logins were refused."""

    async def test(pool: Passwords) -> None:
        over = False

        async def flood(peer: str) -> None:
            while not over:
                try:
                    await pool.matches("guess", b"", peer)
                except TooManyLogins:
                    await asyncio.sleep(0)

        floods = [asyncio.ensure_future(flood(peer)) for peer in FLOOD for _ in range(100)]
        await asyncio.sleep(0)
        for port in range(20):
            assert await pool.make("right", f"ipv4:10.0.0.1:{port}"), "another address"
            assert await pool.make("right", f"ipv4:10.0.0.9:{port + 9}"), "another connection"
        over = True
        await asyncio.gather(*floods)

    run(test)


def test_callers_take_turns_by_address_and_then_by_connection() -> None:
    async def test(_: Passwords) -> None:
        queue, called = LoginQueue(), list[str]()

        def told(name: str) -> Callable[[Turn], None]:
            return lambda _: called.append(name)

        for name, end in (
            ("a1", ("a", 1)), ("a1", ("a", 1)), ("a2", ("a", 2)), ("a1", ("a", 1)),
            ("b1", ("b", 1)), ("6", ("2001:db8::1", 1)), ("6", ("2001:db8::2", 2)),
        ):  # fmt: skip
            queue.add(end).add_done_callback(told(name))
        while queue.call_next():
            await asyncio.sleep(0)
        assert called == ["a1", "b1", "6", "a2", "6", "a1", "a1"]

    run(test)


@pytest.mark.parametrize(
    ("waiting", "comes", "goes"),
    [
        ([("a", 1)] * 4, ("a", 1), None),
        ([("a", 1)] * 4, ("a", 2), 3),
        ([("a", 1)] * 4, ("b", 1), 3),
        ([("a", 1), ("a", 2), ("a", 2), ("b", 1)], ("b", 1), 2),
        ([("a", 1), ("a", 2), ("b", 1), ("b", 1)], ("b", 1), None),
        ([("a", 1), ("a", 2), ("a", 2), ("b", 1)], ("c", 1), 2),
        ([("a", 1), ("b", 1), ("c", 1), ("d", 1)], ("e", 1), None),
        ([("a", 1), ("a", 2), ("a", 3), ("a", 4)], ("a", 5), None),
    ],
)
def test_where_there_is_no_room_the_newest_of_the_largest_crowd_goes(
    waiting: list[tuple[str, int]],
    comes: tuple[str, int],
    goes: int | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """goes: which one of those who wait; None: who comes is refused."""
    monkeypatch.setattr(login_queue, "WAITING_MAX", len(waiting))

    async def test(_: Passwords) -> None:
        queue = LoginQueue()
        turns = [queue.add(end) for end in waiting]
        if goes is None:
            with pytest.raises(TooManyLogins):
                queue.add(comes)
        else:
            assert not queue.add(comes).done()
        gone = [number for number, turn in enumerate(turns) if turn.done()]
        assert gone == ([] if goes is None else [goes])
        assert all(isinstance(turns[number].exception(), TooManyLogins) for number in gone)
        left = 0
        while queue.call_next():
            left += 1
        assert left == len(waiting)

    run(test)


def test_a_caller_who_goes_gives_its_turn_to_the_next() -> None:
    async def test(pool: Passwords) -> None:
        unheard: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, what: unheard.append(what))
        for _ in range(50):
            calls = [asyncio.ensure_future(pool.make("x", FLOOD[0])) for _ in range(90)]
            await asyncio.sleep(0)
            for call in calls[::2]:
                call.cancel()
            assert await pool.make("right", FLOOD[1])
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
        assert await pool.make("right", FLOOD[0])
        assert not unheard

    run(test)


def test_who_waits_when_the_node_stops_is_given_up() -> None:
    async def test(pool: Passwords) -> None:
        calls = [asyncio.ensure_future(pool.make("x", peer)) for peer in FLOOD * 3]
        await asyncio.sleep(0)
        pool.close()
        done = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(each) for each in done[1:]} == {asyncio.CancelledError}

    run(test)
