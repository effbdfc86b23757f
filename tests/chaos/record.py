"""The clients' processes, and what they have written so far."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from harness.nodes import ROOT, wait_until
from raftd.check.history import read
from raftd.check.notices import Notice
from raftd.check.operations import OK, READS, Op

STOP_SECONDS = 60


@dataclass
class Counts:
    """Of the operations that ended in one stretch of time."""

    ok: int = 0
    unknown: int = 0
    fail: int = 0
    silence: float = 0.0
    """Longest time without any answer."""

    def __str__(self) -> str:
        return (
            f"ok {self.ok:5d}  unknown {self.unknown:3d}  fail {self.fail:3d}  "
            f"silent {self.silence:5.2f} s"
        )


class Workers:
    """Start, read along, stop. One thread."""

    def __init__(
        self,
        base: Path,
        endpoints: Sequence[str],
        *,
        count: int,
        mixed: int,
        readers: int,
        seed: int,
        own: int = 4,
        watchers: int = 0,
        holders: int = 0,
    ) -> None:
        self.ops: list[Op] = []
        self.watches: list[Notice] = []
        self._files = [base / f"history-{number}.jsonl" for number in range(count)]
        self._read_bytes = [0] * count
        self._processes = []
        for number, path in enumerate(self._files):
            command = [sys.executable, "-m", "tests.chaos.worker", "--out", str(path)]
            command += ["--endpoints", ",".join(endpoints), "--number", str(number)]
            command += ["--seed", str(seed), "--mixed", str(mixed), "--readers", str(readers)]
            command += ["--own", str(own), "--watchers", str(watchers), "--holders", str(holders)]
            process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE)
            self._processes.append(process)

    def catch_up(self) -> list[Op]:
        """Operations written since the last time, also kept in `ops`."""
        fresh: list[Op] = []
        for number, path in enumerate(self._files):
            if not path.exists():
                continue
            with path.open("rb") as file:
                file.seek(self._read_bytes[number])
                data = file.read()
            data = data[: data.rfind(b"\n") + 1]
            self._read_bytes[number] += len(data)
            history = read(data.decode().splitlines())
            fresh += history.ops
            self.watches += history.watches
        self.ops += fresh
        return fresh

    def stop(self, quiet: Callable[[], None] = lambda: None) -> int:
        """Calls that never came back. Reads the rest. quiet: called when only watchers are left."""
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write(b"rest\n")
            process.stdin.flush()
        wait_until(self._rested, STOP_SECONDS, "clients to end their calls")
        quiet()
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.close()
        hung = sum(process.wait(STOP_SECONDS) != 0 for process in self._processes)
        self.catch_up()
        return hung

    def _rested(self) -> bool:
        return all(path.with_suffix(".rested").exists() for path in self._files)

    def kill(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait(10)


def count(ops: Iterable[Op], begin: float, end: float) -> Counts:
    """Operations with an answer by when it came; silence between `begin` and `end`."""
    counts = Counts()
    moments = [begin, end]
    for op in ops:
        if op.outcome == OK:
            counts.ok += 1
            if begin < op.ret < end:
                moments.append(op.ret)
        elif op.outcome == "fail":
            counts.fail += 1
        elif op.kind not in READS:
            counts.unknown += 1
    moments.sort()
    counts.silence = max(later - earlier for earlier, later in pairwise(moments))
    return counts
