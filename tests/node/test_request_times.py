"""How long commands and reads took: those that were answered, and nothing else."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from raftd.node.outcomes import Answered, Outcome, Unknown
from raftd.node.settings import NodeSettings
from tests.h2.peers import run
from tests.node.alone import Bench, Diary, plain, running
from tests.storage.memory_fs import MemoryFileSystem

SLOW = 0.03


def counts(bench: Bench) -> tuple[int, int, int]:
    took = bench.node.measures.requests
    commands, reads, stale = (sum(took[kind].counts) for kind in ("command", "read", "stale_read"))
    return commands, reads, stale


@pytest.mark.parametrize("quick", [False, True])
def test_each_kind_is_measured_until_its_answer(quick: bool) -> None:
    async def go() -> None:
        diary = Diary(quick)
        async with running(diary, MemoryFileSystem()) as bench:
            node, outcomes = bench.node, list[Outcome]()
            diary.on = lambda what, detail: time.sleep(SLOW) if what in ("apply", "query") else None
            for number in range(3):
                node.submit(plain(b"%d" % number), outcomes.append)
            await bench.until(lambda: len(outcomes) == 3)
            assert counts(bench) == (3, 0, 0)
            node.query([b"q"], False, outcomes.append)
            node.query([b"q", b"r"], False, outcomes.append)
            await bench.until(lambda: len(outcomes) == 5)
            assert counts(bench) == (3, 2, 0)
            node.query([b"q"], True, outcomes.append)
            await bench.until(lambda: len(outcomes) == 6)
            assert counts(bench) == (3, 2, 1)
            for kind, least in (("command", 3 * SLOW), ("read", SLOW), ("stale_read", SLOW)):
                assert node.measures.requests[kind].sum >= least
            assert all(isinstance(outcome, Answered) for outcome in outcomes[3:])

    run(go())


def test_the_wait_for_the_round_under_way_is_measured_and_told() -> None:
    """The story without it: a leader whose batches waited said that they were quick, and that there
    were none.
    """

    async def go() -> None:
        diary, gate, outcomes = Diary(), threading.Event(), list[Outcome]()

        def slow(what: str, detail: object) -> None:
            if what == "apply":
                gate.wait(10)
                time.sleep(SLOW)

        settings = NodeSettings(gather_seconds=10.0)
        async with running(diary, MemoryFileSystem(), settings) as bench:
            node, took = bench.node, bench.node.measures.requests["command"]
            diary.on = slow
            asyncio.get_running_loop().call_soon(gate.set)
            await bench.submit(plain(b"x"))
            gate.clear()
            before = took.sum
            node.submit(plain(b"y"), outcomes.append)
            await bench.until(lambda: len(node._clients._waiters))
            pending = node.signs().queues["pending_bytes"]
            node.submit(plain(b"z"), outcomes.append)
            assert node.signs().queues["pending_bytes"] == pending + len(plain(b"z"))
            gate.set()
            await bench.until(lambda: len(outcomes) == 2)
            assert took.sum - before >= 3 * SLOW, "y's, and both for z"

    run(go())


def test_what_ends_without_an_answer_is_in_no_figure() -> None:
    async def go() -> None:
        diary, gate = Diary(), threading.Event()
        async with running(diary, MemoryFileSystem()) as bench:
            await bench.submit(plain(b"x"))
            diary.on = lambda what, detail: gate.wait(10) if what == "apply" else None  # type: ignore[assignment]
            outcomes: list[Outcome] = []
            bench.node.submit(plain(b"y"), outcomes.append)
            await bench.until(lambda: ("apply", b"y") in diary.lines)
            bench.node._clients.stop("test")
            gate.set()
            assert [type(outcome) for outcome in outcomes] == [Unknown]
            assert counts(bench) == (1, 0, 0)

    run(go())


def test_what_waits_is_said() -> None:
    async def go() -> None:
        diary = Diary()
        async with running(diary, MemoryFileSystem()) as bench:
            names = "pending_bytes", "queries_pending", "machine_jobs_waiting", "log_writes_waiting"
            nothing = dict.fromkeys(names, 0)
            await bench.until(lambda: bench.node.signs().queues == nothing)
            outcomes: list[Outcome] = []
            for _ in range(3):
                bench.node.query([b"q"], False, outcomes.append)
            assert bench.node.signs().queues["queries_pending"] == 3
            await bench.until(lambda: len(outcomes) == 3)
            await bench.until(lambda: bench.node.signs().queues == nothing)

    run(go())
