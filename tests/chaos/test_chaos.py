"""Some seconds of chaos on three real nodes, and a daemon with a planted bug, which must be seen.

The long run is `make chaos`; `python -m tests.chaos` has more.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from raftd.check.judge import NOT_LINEARIZABLE, RULE_BROKEN
from tests.chaos.catalogue import FAULTS, OPERATORS, missing
from tests.chaos.run import Chaos, Options, Report

pytestmark = pytest.mark.cluster

SHORT = ("isolate-leader", "pause-leader", "replaced", "transfers")
"""Kills have a test of their own (tests/cluster/test_kills.py), under the same checker."""
DISKS = ("sync-fails",)
"""A node whose disk fails must stop, or the phase is trouble."""
SILENT = ("silent-names", "hung-machine", "stop-when-full")


def _run(
    base: Path,
    *faults: str,
    program: str = "",
    seed: int = 3,
    hold: tuple[float, float] = (2.0, 3.0),
) -> Report:
    options = Options(
        base=base,
        nodes=3,
        faults=faults,
        seed=seed,
        hold=hold,
        calm=0.3,
        processes=1,
        mixed=5,
        readers=3,
        program=program,
    )
    report = Chaos(options, print).run()
    print(*report.lines(), sep="\n")
    return report


@pytest.mark.timeout(240)
def test_clients_see_one_history(tmp_path: Path) -> None:
    possible = [name for name in (*SHORT, *DISKS) if name not in missing()]
    report = _run(tmp_path, *possible, hold=(0.8, 1.3))
    assert report.good, report.lines()
    assert report.phases == len(possible) >= len(SHORT)
    assert report.verdict.counts["ok"] > 300
    assert report.verdict.watched > 300
    assert report.fencing.accepted > 0


@pytest.mark.long
@pytest.mark.timeout(180)
def test_planted_stale_read_is_seen(tmp_path: Path) -> None:
    """The whole chain from a daemon's bug to the verdict; in three tries, since it takes luck."""
    for seed, fault in enumerate(("isolate-leader", "pause-leader", "isolate-leader")):
        report = _run(tmp_path / str(seed), fault, program="tests.chaos.planted", seed=seed)
        if report.verdict.result == NOT_LINEARIZABLE:
            assert report.verdict.window
            assert not report.good
            return
    pytest.fail("a stale read was planted, and LINEARIZABLE was said")


@pytest.mark.long
@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("bug", "seen"),
    [
        ("event", ("watch-reliable", "watch-resumable", "watch-bookmarkable")),
        pytest.param("lease", ("lease-kept", "hold-exclusive", "revision"), marks=pytest.mark.soak),
    ],
)
def test_planted_bugs_of_the_store_are_seen(
    tmp_path: Path, bug: str, seen: tuple[str, ...]
) -> None:
    report = _run(tmp_path, "transfers", program=f"tests.chaos.planted_{bug}", hold=(1.5, 2.0))
    assert report.verdict.result in (NOT_LINEARIZABLE, RULE_BROKEN), report.lines()
    assert any(word in report.verdict.reason for word in seen), report.verdict.reason


def test_every_fault_has_a_name() -> None:
    assert len(FAULTS) >= 25
    assert {*SHORT, *DISKS, *SILENT, *OPERATORS} <= set(FAULTS)
