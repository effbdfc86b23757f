"""A machine that hangs is noticed, said and survived; one that is merely slow is left alone."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from dataclasses import replace

import pytest

from raftd.core.types import Configuration, SnapshotMeta
from raftd.node import health, wellbeing
from raftd.node.apply_worker import ApplyWorker, Install
from raftd.node.job_worker import JobWorker
from raftd.node.outcomes import Applied, Outcome, Refusal, Refused
from raftd.node.ownership import Ownership
from raftd.node.settings import NodeSettings
from raftd.node.wellbeing import Standstill
from tests.core.commands import Script
from tests.node.alone import Bench, Diary, plain, running
from tests.node.fakes import FakeClock, FakeHost, FatalNote
from tests.storage.memory_fs import MemoryFileSystem

LIMIT = 0.15
SETTINGS = replace(NodeSettings(), machine_stall_unready_seconds=LIMIT)


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wellbeing, "LOOK_SECONDS", 0.01)


def events(bench: Bench) -> list[str]:
    return [event.kind for _, _, event in bench.node._events._ring]


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("apply", "applying entry"),
        ("query", "answering a query"),
        ("capture", "freezing its"),
    ],
)
def test_a_machine_that_hangs_is_said_and_its_callers_are_refused(what: str, said: str) -> None:
    async def go() -> None:
        diary = Diary()
        gate = threading.Event()
        async with running(diary, MemoryFileSystem(), SETTINGS) as bench:
            node = bench.node
            await bench.submit(plain(b"x"))
            diary.on = lambda name, detail: gate.wait(10) if name == what else None  # type: ignore[assignment]
            first: list[Outcome] = []
            if what == "apply":
                node.submit(plain(b"y"), first.append)
            elif what == "query":
                node.query([b"q"], True, first.append)
            else:
                node.snapshot_now(first.append)
            await bench.until(node._wellbeing.unready)
            assert said in node._wellbeing.unready()[0]
            assert said in node.problems()[0]
            assert not node.serving()
            assert node.leading  # alone: there is nobody to hand over to
            assert events(bench).count("machine_stalled") == 1
            refused: list[Outcome] = []
            node.submit(plain(b"z"), refused.append)
            node.query([b"q"], False, refused.append)
            node.query([b"q"], True, refused.append)
            assert [o.refusal for o in refused if isinstance(o, Refused)] == [
                Refusal.UNAVAILABLE
            ] * 3
            gate.set()
            await bench.until(lambda: first and not node._wellbeing.unready())
            assert events(bench).count("machine_goes_on") == 1
            assert isinstance(await bench.submit(plain(b"z")), Applied)

    asyncio.run(go())


def test_a_long_entry_and_a_long_queue_of_a_slow_machine_are_no_standstill() -> None:
    async def go() -> None:
        diary = Diary()
        async with running(diary, MemoryFileSystem(), SETTINGS) as bench:
            diary.on = lambda name, detail: time.sleep(0.02)
            node = bench.node
            outcomes: list[Outcome] = []
            for _ in range(2):
                node.submit(plain(*[b"x"] * 15), outcomes.append)
            node.query([b"q"] * 15, True, outcomes.append)
            await bench.until(lambda: len(outcomes) == 3)
            assert "machine_stalled" not in events(bench)

    asyncio.run(go())


def test_a_restore_is_one_step() -> None:
    clock = FakeClock()
    worker = ApplyWorker(
        Ownership(FakeHost(clock)), clock, FatalNote(), print, lambda meta, then: None
    )
    assert worker.progress() is None
    worker.put(Install(SnapshotMeta(7, 1, Configuration(("a",)))))
    worker.step()
    standstill = Standstill(worker.progress)
    for at in (100.0, 104.0, 108.0):
        standstill.look(at, 0.0)
    assert standstill.seconds == 8.0
    assert worker.doing() == "restoring the snapshot at 7"


def test_a_process_that_stood_still_blames_nobody() -> None:
    standstill = Standstill(lambda: "here")
    standstill.look(100.0, 0.0)
    standstill.look(100.5, 0.0)
    standstill.look(160.0, 59.5)
    assert standstill.seconds == 0.5


def test_a_worker_moves_by_what_its_job_says() -> None:
    worker = JobWorker("raft-snapshot", FatalNote())
    seen: list[object] = []

    def job() -> None:
        seen.append(worker.progress())
        worker.moved()
        seen.append(worker.progress())

    assert worker.progress() is None
    worker.put(job)
    worker.step()
    assert None not in seen
    assert seen[0] != seen[1]
    assert worker.progress() is None


def test_a_full_log_that_no_snapshot_relieves_is_said_and_unfits_for_leading() -> None:
    async def go() -> None:
        settings = replace(SETTINGS, log_memory_limit_bytes=5_000)
        fs = MemoryFileSystem()
        async with running(Diary(), fs, settings) as bench:
            node = bench.node
            await bench.submit(plain(b"x"))
            fs.capacity_bytes = sum(map(len, fs.files().values()))
            await bench.submit(plain(b"x" * 6_000))
            await bench.until(lambda: any(a.unfit for a in node._wellbeing.ailments()))
            assert "log_memory_limit" in node.problems()[0]
            await bench.until(lambda: node._core._s.unfit)
            await bench.until(node._wellbeing.unready)
            fs.capacity_bytes = None

    asyncio.run(go())


def test_a_leader_names_those_who_are_not_fit_or_hold_back() -> None:
    env = Script()
    for line in ("cluster 3", "boot", "elect n1 n2 n3", "stabilize"):
        env.run(line)
    state = env.nodes["n1"].core.state(env.now)
    ill, full = state.peers
    peers = (replace(ill, unfit=True), replace(full, held_back=True))
    found = health.problems(replace(state, peers=peers), "")
    assert [line.split(":")[0].split(";")[0] for line in found] == [
        "n2 says that it is not fit to lead",
        "n3 holds entries back",
    ]


def test_a_slow_disk_is_said_while_it_is_written_to() -> None:
    """The story without it: syncs of 300 ms, and `raftctl why` said that all is well."""

    async def go() -> None:
        async with running(Diary(), MemoryFileSystem(), SETTINGS) as bench:
            node = bench.node
            await bench.submit(plain(b"x"))
            assert not any("the disk is slow" in text for text in node.problems())
            wal, now = node._wal, node._driver.clock.now()
            for _ in range(20):
                wal._pace.took(0.3, now)
            said = [text for text in node.problems() if "the disk is slow" in text]
            assert len(said) == 1
            assert re.search(r"take (27|28|29|30)\d ms on average", said[0])
            assert node.serving(), "slow is not unready"
            assert wal.sync_seconds(now + 60) == 0.0, "nothing is said of an idle disk"

    asyncio.run(go())


def test_a_node_that_is_refused_says_by_whom_and_why() -> None:
    """The story without it: a replaced disk was told from a first start by nobody."""
    env = Script()
    for line in ("cluster 3", "boot"):
        env.run(line)
    core = env.nodes["n1"].core
    state = core.state(env.now)
    refused = replace(state, admitted=False, waiting_for=("n2",), refused_by=(("n2", "no"),))
    found = health.problems(refused, "")
    assert "refused by n2: no" in found
    assert not any("start them" in text for text in found)


def test_a_node_that_catches_up_says_that_nobody_should_come_yet() -> None:
    """Who was sent there after a restart was refused: it cannot tell yet who may do what."""

    async def go() -> None:
        async with running(Diary(), MemoryFileSystem(), SETTINGS) as bench:
            node = bench.node
            await bench.submit(plain(b"x"))
            assert node.serving()
            driver = node._wellbeing._driver
            state = driver.state()
            behind = replace(state, caught_up=False, applied_index=state.applied_index - 1)
            node._wellbeing._caught_up = False  # what it found once is not looked up again
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(driver, "state", lambda: behind)
                assert not node.serving()
                assert "catching up" in node.problems()[0]
                lost = replace(behind, leader=None)
                patch.setattr(driver, "state", lambda: lost)
                assert not node._wellbeing.unready(), "that no leader is known is said by another"
            assert node.serving()
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(driver, "state", lambda: pytest.fail("a whole picture, for nothing"))
                node._wellbeing.ailments()

    asyncio.run(go())


def test_what_is_shown_of_a_node_is_as_it_is_now() -> None:
    """With what the last look had found, a node that had just heard its leader was ready for a
    quarter of a second before it had caught up, and refused whoever came.
    """

    async def go() -> None:
        async with running(Diary(), MemoryFileSystem(), SETTINGS) as bench:
            node, wrong = bench.node, False
            node.add_ailments(
                lambda: iter([health.Ailment("wrong", unready=True)] if wrong else [])
            )
            await bench.submit(plain(b"x"))
            assert node.signs().unready == []
            wrong = True
            assert node.signs().unready == ["wrong"]

    asyncio.run(go())
