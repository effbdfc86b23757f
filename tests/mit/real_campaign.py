"""The scenarios on real processes, many times in a row, one row each."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
import traceback
from pathlib import Path

from tests.mit.real_scenarios import REAL


def run_real(times: int, only: str) -> int:
    """Directories of failed runs are kept. Returns the exit status."""
    base = Path(tempfile.mkdtemp(prefix="raftd-mit-"))
    names = [name for name in REAL if only in name]
    failed = 0
    _say("| scenario | times | seconds, mean | seconds, worst | verdict |")
    _say("| --- | ---: | ---: | ---: | --- |")
    for name in names:
        seconds, failures = [], []
        for number in range(1, times + 1):
            directory = base / f"{name}-{number}"
            began = time.monotonic()
            try:
                REAL[name](directory, number)
            except Exception:  # noqa: BLE001 - this run's verdict, printed below
                failures.append(f"{name} run {number}, {directory}\n{traceback.format_exc()}")
            else:
                shutil.rmtree(directory, ignore_errors=True)
            seconds.append(time.monotonic() - began)
        verdict = f"FAIL {len(failures)} of {times}" if failures else "pass"
        mean = sum(seconds) / len(seconds)
        _say(f"| {name} | {times} | {mean:.1f} | {max(seconds):.1f} | {verdict} |")
        for failure in failures[:1]:
            _say(failure)
        failed += len(failures)
    _say(f"\nscenarios {len(names)}, runs {times * len(names)}, failed {failed}")
    if not failed:
        shutil.rmtree(base, ignore_errors=True)
    return 1 if failed else 0


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
