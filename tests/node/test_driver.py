"""The driver's two duties: one thread enters the core, and what breaks there stops the node."""

from __future__ import annotations

import asyncio
import threading

import pytest

from raftd.node.driver import WRONG_THREAD
from raftd.node.outcomes import NodeStopped, Outcome, Refused
from tests.node.alone import Diary, plain, running
from tests.storage.memory_fs import MemoryFileSystem


def test_the_core_is_entered_on_the_network_thread_only() -> None:
    async def go() -> None:
        async with running(Diary(quick=True), MemoryFileSystem()) as bench:
            node = bench.node
            raised: list[BaseException] = []

            def enter() -> None:
                try:
                    node._driver.enter(node._core.tick)
                except BaseException as error:  # noqa: BLE001 - looked at below
                    raised.append(error)

            thread = threading.Thread(target=enter)
            thread.start()
            thread.join()
            assert isinstance(raised[0], NodeStopped)
            reports, bench.fatal.reports = bench.fatal.reports, []
            assert [str(error) for _, error in reports] == [WRONG_THREAD]
            outcomes: list[Outcome] = []
            node.submit(plain(b"x"), outcomes.append)
            assert isinstance(outcomes[0], Refused)

    asyncio.run(go())


def test_looking_in_is_for_any_thread() -> None:
    async def go() -> None:
        async with running(Diary(quick=True), MemoryFileSystem()) as bench:
            found: list[object] = []

            def look() -> None:
                found.extend((bench.node.state().node, bench.node.problems()))

            await bench.submit(plain(b"x"))
            thread = threading.Thread(target=look)
            thread.start()
            thread.join()
            assert found == ["n1", []]

    asyncio.run(go())


def test_what_a_callers_callback_raises_is_fatal() -> None:
    """gRPC would make a status of it and go on."""

    async def go() -> None:
        async with running(Diary(quick=True), MemoryFileSystem()) as bench:

            def bad(outcome: Outcome) -> None:
                raise ZeroDivisionError("in the callback")

            bench.node._driver.leading = False  # refused at the door, so within the call
            with pytest.raises(NodeStopped):
                bench.node.submit(plain(b"x"), bad)
            reports, bench.fatal.reports = bench.fatal.reports, []
            assert [str(error) for _, error in reports] == ["in the callback"]

    asyncio.run(go())
