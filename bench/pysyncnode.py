"""One node of a PySyncObj cluster. Runs in that package's own environment, not in raftd's.

python pysyncnode.py CONF SELF PARTNER...     then, on standard input, lines: `leader`, or
`one SECONDS`, `threads SECONDS CALLERS`, `pipelined SECONDS WINDOW`; each is answered by a line of
JSON. CONF is JSON, what SyncObjConf takes; a journalFile gets the node's name behind it. Without it
all is kept in memory; it is a file mapped into memory that PySyncObj does not sync.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable

from pysyncobj import SyncObj, SyncObjConf
from pysyncobj.batteries import ReplDict

VALUE = "x" * 256


class Node:
    def __init__(self, conf: dict[str, object], me: str, partners: list[str]) -> None:
        self.data = ReplDict()
        if "journalFile" in conf:
            conf["journalFile"] = f"{conf['journalFile']}-{me.replace(':', '-')}"
        self.raft = SyncObj(me, partners, SyncObjConf(**conf), consumers=[self.data])

    def leader(self) -> dict[str, object]:
        status = self.raft.getStatus()
        return {"leader": str(status["leader"]) == str(status["self"]), "ready": self.ready()}

    def ready(self) -> bool:
        return bool(self.raft.isReady())

    def loop(self, seconds: float, callers: int) -> dict[str, object]:
        """Callers that wait for each put."""
        taken: list[float] = []
        until = time.monotonic() + seconds

        def run(number: int) -> None:
            turn = 0
            while (began := time.monotonic()) < until:
                self.data.set(f"key-{number}-{turn % 16}", VALUE, sync=True, timeout=30)
                taken.append(time.monotonic() - began)
                turn += 1

        return self._timed(taken, [threading.Thread(target=run, args=(n,)) for n in range(callers)])

    def pipelined(self, seconds: float, window: int) -> dict[str, object]:
        """One caller that keeps `window` puts in flight."""
        taken: list[float] = []
        room = threading.Semaphore(window)
        until = time.monotonic() + seconds

        def answered(began: float) -> Callable[[object, object], None]:
            def call(_: object, error: object) -> None:
                if not error:
                    taken.append(time.monotonic() - began)
                room.release()

            return call

        def run() -> None:
            turn = 0
            while (began := time.monotonic()) < until:
                room.acquire()
                self.data.set(f"key-{turn % 1024}", VALUE, callback=answered(began))
                turn += 1
            for _ in range(window):
                room.acquire()

        return self._timed(taken, [threading.Thread(target=run)])

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
    node = Node(json.loads(sys.argv[1]), sys.argv[2], sys.argv[3:])
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
