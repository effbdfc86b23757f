"""A coroutine without a task: it begins at once, waits, is cancelled, and time-outs work in it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from raftd.h2.running import Running

SOON = 5.0


def carried(coroutine: Coroutine[Any, Any, None]) -> Running:
    """Begun as a server does it: from a callback of the loop, where no task is the current one."""
    loop = asyncio.get_running_loop()
    running = Running(loop, coroutine)
    loop.call_soon(running.begin)
    return running


async def until(done: list[str], count: int) -> None:
    async with asyncio.timeout(SOON):
        while len(done) < count:
            await asyncio.sleep(0.001)


def test_it_waits_for_futures_turns_and_times() -> None:
    async def test() -> None:
        future = asyncio.get_running_loop().create_future()
        said: list[str] = []

        async def work() -> None:
            said.append("begun")
            said.append(await future)
            await asyncio.sleep(0)
            await asyncio.sleep(0.001)
            said.append("done")

        running = carried(work())
        await until(said, 1)
        future.set_result("told")
        await until(said, 3)
        assert said == ["begun", "told", "done"]
        assert running.done()
        assert not running.cancel()

    asyncio.run(test())


def test_an_error_that_is_waited_for_is_raised_there() -> None:
    async def test() -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        said: list[str] = []

        async def work() -> None:
            try:
                await future
            except OSError as error:
                said.append(str(error))

        carried(work())
        await asyncio.sleep(0)
        future.set_exception(OSError("broken"))
        await until(said, 1)
        assert said == ["broken"]

    asyncio.run(test())


@pytest.mark.parametrize("turns", [0, 1, 2])
def test_it_is_cancelled_wherever_it_is(turns: int) -> None:
    async def test() -> None:
        said: list[str] = []

        async def work() -> None:
            try:
                await asyncio.sleep(SOON)
            finally:
                said.append("over")

        running = carried(work())
        for _ in range(turns):
            await asyncio.sleep(0)
        running.give_up()
        async with asyncio.timeout(SOON):
            while not running.done():
                await asyncio.sleep(0)
        assert said == ["over"] * (turns > 0)

    asyncio.run(test())


def test_timeouts_work_in_it() -> None:
    async def test() -> None:
        said: list[str] = []

        async def work() -> None:
            try:
                async with asyncio.timeout(0.005):
                    await asyncio.sleep(SOON)
            except TimeoutError:
                said.append("late")
            await asyncio.sleep(0)
            said.append("on")

        carried(work())
        await until(said, 2)
        assert said == ["late", "on"]

    asyncio.run(test())


def test_inside_a_task_it_begins_a_turn_later() -> None:
    async def test() -> None:
        said: list[str] = []

        async def work() -> None:
            said.append("begun")

        Running(asyncio.get_running_loop(), work()).begin()
        assert said == []
        await until(said, 1)

    asyncio.run(test())
