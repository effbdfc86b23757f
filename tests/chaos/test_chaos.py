"""Some seconds of chaos on three real nodes, and a daemon with a planted bug, which must be seen.

The long run is `make chaos`; `python -m scripts.chaos` has more.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from raftd.check.judge import NOT_LINEARIZABLE
from tests.chaos.catalogue import FAULTS, missing
from tests.chaos.run import Chaos, Options, Report

pytestmark = pytest.mark.cluster

SHORT = (
    "kill-leader", "isolate-leader", "pause-leader", "cuts", "one-way", "kill-all", "swallowed",
    "clients-swallowed",
)  # fmt: skip
DISKS = ("sync-fails", "full-disk")
SILENT = ("silent-names", "hung-machine", "stop-when-full")


def _run(
    base: Path,
    *faults: str,
    program: str = "raftd.cli.raftd_main",
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
    report = _run(tmp_path, *SHORT, hold=(0.8, 1.3))
    assert report.good, report.lines()
    assert report.phases == len(SHORT)
    assert report.verdict.counts["ok"] > 500


@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", DISKS)
def test_a_node_whose_disk_fails_stops_and_nothing_is_lost(tmp_path: Path, name: str) -> None:
    reason = missing().get(name)
    if reason:
        pytest.skip(reason)
    report = _run(tmp_path, name)
    assert report.good, report.lines()


@pytest.mark.timeout(180)
def test_planted_stale_read_is_seen(tmp_path: Path) -> None:
    """The whole chain from a daemon's bug to the verdict; in three tries, since it takes luck."""
    for seed in range(3):
        base = tmp_path / str(seed)
        report = _run(
            base, "isolate-leader", "pause-leader", program="tests.chaos.planted", seed=seed
        )
        if report.verdict.result == NOT_LINEARIZABLE:
            assert report.verdict.window
            assert not report.good
            return
    pytest.fail("a stale read was planted, and LINEARIZABLE was said")


def test_every_fault_has_a_name() -> None:
    assert len(FAULTS) >= 25
    assert set(SHORT) | set(DISKS) | set(SILENT) <= set(FAULTS)
