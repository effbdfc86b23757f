"""PySyncObj as processes: started, asked, stopped."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from pathlib import Path
from typing import Any

from bench.clusters import START_SECONDS, BenchTrouble
from harness.nodes import free_ports


class PySync:
    """Three PySyncObj processes; the one that leads also makes the load, in its own process."""

    name = "pysyncobj"

    def __init__(self, python: Path) -> None:
        self._python = python
        self._processes: list[subprocess.Popen[str]] = []

    def start(self) -> None:
        addresses = [f"127.0.0.1:{port}" for port in free_ports(3)]
        script = Path(__file__).with_name("pysyncnode.py")
        for me in addresses:
            others = [address for address in addresses if address != me]
            self._processes.append(
                subprocess.Popen(
                    [self._python, script, me, *others],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    text=True,
                )
            )

    def _ask(self, process: subprocess.Popen[str], line: str) -> dict[str, Any]:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(line + "\n")
            process.stdin.flush()
            answer: dict[str, Any] = json.loads(process.stdout.readline())
        except (OSError, ValueError) as error:
            raise BenchTrouble(f"a PySyncObj node does not answer {line!r}: {error}") from None
        return answer

    def leader(self) -> int:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            said = [self._ask(process, "leader") for process in self._processes]
            leaders = [at for at, one in enumerate(said) if one["leader"]]
            if len(leaders) == 1 and all(one["ready"] for one in said):
                return leaders[0]
            time.sleep(0.1)
        raise BenchTrouble("PySyncObj has no leader")

    def load(self, line: str) -> dict[str, Any]:
        return self._ask(self._processes[self.leader()], line)

    def pids(self) -> list[int]:
        return [process.pid for process in self._processes]

    def stop(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait(10)
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()
        self._processes.clear()
