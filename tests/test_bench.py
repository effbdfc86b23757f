"""The bench's own arithmetic: what it reads from the system and how it judges."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench import facts, growth, honesty, objects, peers, profiling, series
from bench.load import Caller
from bench.report import Verdict, series_table, series_verdicts, write_json
from harness.nodes import ROOT
from raftd.client import NotDone
from scripts import bench


@pytest.mark.parametrize(
    ("value", "more", "met", "goal"),
    [(3.0, True, True, True), (2.0, True, True, False), (1.0, True, False, False),
     (1.0, False, True, True), (2.5, False, False, False)],
)  # fmt: skip
def test_a_verdict_looks_the_right_way(value: float, more: bool, met: bool, goal: bool) -> None:
    need, wish = (1.5, 3.0) if more else (2.0, 1.0)
    verdict = Verdict("claim", value, "x", need, wish, more)
    assert verdict.reached(verdict.need) is met
    assert verdict.reached(verdict.goal) is goal
    assert ("missed" in verdict.line()) is not met


def figures(rate: float, p50: float, wrong: int = 0) -> series.Figures:
    return {
        "rate": rate,
        "p50_ms": p50,
        "p99_ms": 2 * p50,
        "errors": 0,
        "wrong": wrong,
        "checked": 10,
        "elections": 0,
        "cpu_us": dict.fromkeys(("client", "leader", "follower", "all"), 1.0),
    }


def rounds() -> dict[str, list[series.Figures]]:
    found = {
        f"{work.side}/{work.name}": [figures(100, 2.0), figures(1000, 1.0)] for work in series.WORKS
    }
    found["raftd/bulk"] = [figures(1000, 1.0), figures(9000, 1.0), figures(10_000, 1.0)][:2]
    return found


def test_ratios_are_taken_round_by_round() -> None:
    found = rounds()
    assert series.ratio(found["raftd/bulk"], found["etcd/put64"], "rate") == 9.5
    verdicts = {verdict.text: verdict for verdict in series_verdicts(found)}
    assert verdicts["1 pipelined puts / etcd, 64 callers"].value == 9.5
    assert not verdicts["4 gets, 64 async callers / etcd, 64"].reached(4)


def test_claims_about_an_absent_peer_are_left_out() -> None:
    found = {name: them for name, them in rounds().items() if name.startswith("raftd/")}
    texts = [verdict.text for verdict in series_verdicts(found)]
    assert not [text for text in texts if "etcd" in text or "PySyncObj" in text]
    assert len(series_table(found)) == 3 + len(found)


def test_a_value_that_differs_is_a_missed_claim() -> None:
    found = rounds()
    found["raftd/put64"][0]["wrong"] = 1
    missed = [verdict for verdict in series_verdicts(found) if not verdict.reached(verdict.need)]
    assert any("values that differ" in verdict.text for verdict in missed)


def test_a_caller_forgets_what_it_does_not_know() -> None:
    caller = Caller(0, 4, 16)
    caller.said[caller.key(1)] = caller.value(1)
    caller.failed(NotDone("somebody pulled the plug"), [caller.key(1)])
    assert not caller.said
    assert len(caller.errors) == 1


def test_syncs_more_or_fewer_than_claimed_are_noticed() -> None:
    assert honesty._agree(100, 100, exactly=True)
    assert not honesty._agree(90, 100, exactly=True)
    assert not honesty._agree(110, 100, exactly=True)
    assert honesty._agree(110, 100, exactly=False)


def test_samples_find_their_stage() -> None:
    stack = "main (app.py:3);send (/x/raftd/rpc/peers/senders.py:9);write (/y/grpc/aio/_call.py:80)"
    assert profiling.stage_of(stack) == "gRPC: calls and streams"
    assert profiling.stage_of("f (/x/raftd/core/log.py:1)") == "Raft core"
    assert profiling.stage_of("f (/x/raftd/core/log.py:1);wait (/z/threading.py:1)") == "Raft core"


def test_facts_of_this_process() -> None:
    if not Path("/proc/self/stat").exists():
        pytest.skip("needs /proc")
    assert facts.resident_bytes(os.getpid()) > 1 << 20
    assert facts.cpu_seconds(os.getpid()) > 0
    assert facts.cpu_seconds(2**22 + 1) == 0


def test_the_disk_probe_counts_and_cleans_up(tmp_path: Path) -> None:
    taken = facts.probe_sync(tmp_path, 5)
    assert len(taken) == 5
    assert taken == sorted(taken)
    assert not list(tmp_path.iterdir())


def test_the_json_says_what_was_missed(tmp_path: Path) -> None:
    write_json(tmp_path / "a" / "b.json", {}, [Verdict("claim", 1, "x", 2, 3)])
    said = json.loads((tmp_path / "a" / "b.json").read_text())
    assert said["verdicts"][0]["met"] is False


def test_help_names_every_part() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "scripts.bench", "--help"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for part in ("rounds", "honest", "fail", "big", "flat", "steady", "growth", "profile"):
        assert part in run.stdout


@pytest.mark.parametrize(
    ("part", "told"), [("objects", peers.PYSYNCOBJ), ("growth", facts.NOT_MEASURED)]
)
def test_the_header_names_what_is_measured_beside(
    part: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The story without it: "PySyncObj none", above a table that has it in three rows."""
    asked: list[dict[str, object]] = []

    def measure(made: dict[str, object], *_: object) -> dict[str, object]:
        asked.append(made)
        return {}

    monkeypatch.setattr(facts, "probe_sync", lambda *_: [0.001] * 200)
    monkeypatch.setattr(peers, "pysyncobj_python", lambda _: tmp_path / "python")
    monkeypatch.setattr(objects, "measure", measure)
    monkeypatch.setattr(objects, "table", lambda _: [])
    monkeypatch.setattr(growth, "measure", lambda *_: [])
    bench.main(["--only", part, "--out", str(tmp_path / "out")])
    text = (tmp_path / "out" / f"{part}.txt").read_text()
    assert f"etcd {facts.NOT_MEASURED}; PySyncObj {told}\n" in text
    assert all("PySyncObj, in memory" in each for each in asked)
