"""Nodes inside programs, as processes that are asked by lines: PySyncObj, and raftd.objects."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench.clusters import START_SECONDS, BenchTrouble
from harness.nodes import ROOT, remove_tree
from harness.ports import free_ports


class Embedded:
    """Three processes; the one that leads also makes the load, in its own process."""

    name: str

    def __init__(self) -> None:
        self._processes: list[subprocess.Popen[str]] = []

    def commands(self) -> list[list[str]]:
        """What to run, one a node."""
        raise NotImplementedError

    def start(self) -> None:
        for words in self.commands():
            self._processes.append(
                subprocess.Popen(
                    words,
                    cwd=ROOT,
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
            raise BenchTrouble(f"a node of {self.name} does not answer {line!r}: {error}") from None
        return answer

    def leader(self) -> int:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            said = [self._ask(process, "leader") for process in self._processes]
            leaders = [at for at, one in enumerate(said) if one["leader"]]
            if len(leaders) == 1 and all(one["ready"] for one in said):
                return leaders[0]
            time.sleep(0.1)
        raise BenchTrouble(f"{self.name} has no leader")

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


class PySync(Embedded):
    """PySyncObj in an environment of its own. conf: what differs from its defaults; journal: a
    directory for its journal, None: all in memory.
    """

    name = "pysyncobj"

    def __init__(self, python: Path, journal: Path | None = None, **conf: float) -> None:
        super().__init__()
        self._conf = conf
        self._python = python
        self._journal = journal

    def commands(self) -> list[list[str]]:
        addresses = [f"127.0.0.1:{port}" for port in free_ports(3)]
        script = Path(__file__).with_name("pysyncnode.py")
        conf: dict[str, object] = {**self._conf}
        if self._journal is not None:
            remove_tree(self._journal)
            self._journal.mkdir(parents=True)
            conf["journalFile"] = str(self._journal / "journal")
        words = [str(self._python), str(script), json.dumps(conf)]
        return [[*words, me, *(other for other in addresses if other != me)] for me in addresses]

    def stop(self) -> None:
        super().stop()
        if self._journal is not None:
            remove_tree(self._journal)


class ObjectsNodes(Embedded):
    """raftd.objects: a node of raftd in each process, on disk, synced."""

    name = "raftd.objects"

    def __init__(self, home: Path) -> None:
        super().__init__()
        self._home = home

    def commands(self) -> list[list[str]]:
        remove_tree(self._home)
        ports = iter([f"127.0.0.1:{port}" for port in free_ports(6)])
        peers = json.dumps({name: [next(ports), next(ports)] for name in ("n1", "n2", "n3")})
        words = [sys.executable, "-m", "bench.objectsnode"]
        return [[*words, name, str(self._home), peers] for name in ("n1", "n2", "n3")]

    def stop(self) -> None:
        super().stop()
        remove_tree(self._home)
