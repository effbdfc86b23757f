"""One node of a cluster of raftd.objects in a program of its own: a replicated dict, and its load.

python -m bench.objectsnode ID DIRECTORY PEERS  then lines as of pysyncnode.py, and its answers.
PEERS is JSON: {id: [peer address, client address]}.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from pathlib import Path

from raftd.config import Config, Peer
from raftd.objects import Dict, Objects

VALUE = "x" * 256


class App(Objects):
    data = Dict[str, str]()


class Node:
    def __init__(self, id: str, home: str, peers: dict[str, list[str]]) -> None:
        where = {name: Peer(*each) for name, each in peers.items()}
        config = Config(id=id, data_dir=str(Path(home, id)), peers=where)
        self.id = id
        self.app = App.open(config, timeout=30.0).start()

    def leader(self) -> dict[str, object]:
        assert self.app.node is not None
        leader = self.app.node.state().leader
        return {"leader": leader == self.id, "ready": bool(leader)}

    def loop(self, seconds: float, callers: int) -> dict[str, object]:
        """Callers that wait for each put."""
        taken: list[float] = []
        until = time.monotonic() + seconds

        def run(number: int) -> None:
            turn = 0
            while (began := time.monotonic()) < until:
                self.app.data.set(f"key-{number}-{turn % 16}", VALUE)
                taken.append(time.monotonic() - began)
                turn += 1

        threads = [threading.Thread(target=run, args=(n,)) for n in range(callers)]
        return self._timed(taken, threads)

    def pipelined(self, seconds: float, window: int) -> dict[str, object]:
        """One event loop that keeps `window` puts in flight."""
        taken: list[float] = []
        until = time.monotonic() + seconds

        async def one(number: int) -> None:
            turn = 0
            while (began := time.monotonic()) < until:
                await self.app.data.set.aio(f"key-{(number + turn * window) % 1024}", VALUE)
                taken.append(time.monotonic() - began)
                turn += 1

        async def run() -> None:
            await asyncio.gather(*(one(number) for number in range(window)))

        return self._timed(taken, [threading.Thread(target=lambda: asyncio.run(run()))])

    def _timed(self, taken: list[float], threads: list[threading.Thread]) -> dict[str, object]:
        began, cpu = time.monotonic(), time.process_time()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds, cpu = time.monotonic() - began, time.process_time() - cpu
        taken.sort()
        at = [taken[int((len(taken) - 1) * share)] * 1e3 for share in (0.5, 0.99, 1)]
        return {
            "ops": len(taken),
            "seconds": seconds,
            "rate": len(taken) / seconds,
            "p50_ms": at[0],
            "p99_ms": at[1],
            "max_ms": at[2],
            "client_cpu_s": cpu,
            "errors": 0,
        }


def main() -> None:
    id, home, peers = sys.argv[1:]
    node = Node(id, home, json.loads(peers))
    for line in sys.stdin:
        words = line.split()
        if words[0] == "leader":
            answer = node.leader()
        elif words[0] == "one":
            answer = node.loop(float(words[1]), 1)
        elif words[0] == "threads":
            answer = node.loop(float(words[1]), int(words[2]))
        else:
            answer = node.pipelined(float(words[1]), int(words[2]))
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
