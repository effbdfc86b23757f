"""`python -m bench.portwatching`: watchers at the client port of real nodes, under paced puts.

Starts a cluster, a process of watchers for each node and one that puts. Every watcher counts what
it is told and checks that the revisions of its keys grow; at the end each must have been told of
every put of its keys. Prints one line: rates, how late the last events were, CPU, resident memory.

With `--all N` further N watchers watch every key. Of all streams a share of `--slow` reads nothing
until the last put was answered; the nodes keep enough history for them. A stream carries
`--per-stream` watchers, as a client of etcd does it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench.clusters import BASE, Raftd
from harness.nodes import ROOT
from harness.watchers import END, Told, stream
from raftd.client import Client

PACE_SECONDS = 0.02
PATIENCE_SECONDS = 120.0


def main(argv: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    if options.endpoint:
        return asyncio.run(_watch(options))
    return _measure(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.portwatching", description=__doc__)
    parser.add_argument("--watchers", type=int, default=1_000, help="each with a prefix of its own")
    parser.add_argument("--all", type=int, default=0, help="watchers of every key, beside those")
    parser.add_argument("--keys", type=int, default=10_000)
    parser.add_argument("--rate", type=int, default=5_000, help="puts a second")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--bytes", type=int, default=100, help="of a value")
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--per-stream", type=int, default=20)
    parser.add_argument("--slow", type=float, default=0.0, help="share that reads at the end only")
    parser.add_argument("--transport", default="grpcio", help="of the nodes")
    parser.add_argument("--endpoint", default="", help=argparse.SUPPRESS)
    parser.add_argument("--place", type=int, default=0, help=argparse.SUPPRESS)
    return parser


# -- the watchers' process ------------------------------------------------------------------------


async def _watch(options: argparse.Namespace) -> int:
    """Says "ready" once all are told that they watch, then what came when the end was seen."""
    mine = range(options.place, options.watchers, options.nodes)
    spans = {f"w{number}": b"w%05d/" % number for number in mine}
    spans |= {f"all{number}": b"w" for number in range(options.place, options.all, options.nodes)}
    names, told = [*spans], Told()
    waiting: list[asyncio.Future[None]] = []
    tasks = []
    loop, draw = asyncio.get_running_loop(), random.Random(options.place)
    quick, lazy = asyncio.Event(), asyncio.Event()
    quick.set()
    for at in range(0, len(names), options.per_stream):
        ready: asyncio.Future[None] = loop.create_future()
        waiting.append(ready)
        chosen = names[at : at + options.per_stream]
        reads = lazy if draw.random() < options.slow else quick
        tasks.append(loop.create_task(stream(options.endpoint, chosen, spans, told, ready, reads)))
    await asyncio.gather(*waiting)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await loop.run_in_executor(None, sys.stdin.read)
    lazy.set()
    await asyncio.gather(*tasks)
    sys.stdout.write(json.dumps({"events": told.events, "wrong": told.wrong}) + "\n")
    return 0


# -- the measurement ------------------------------------------------------------------------------


def _measure(options: argparse.Namespace) -> int:
    settings = {"transport": options.transport, "history_bytes": "256MiB"}
    cluster = Raftd(BASE / "portwatching", options.nodes, settings)
    watching: list[subprocess.Popen[str]] = []
    try:
        cluster.start()
        for place, node in enumerate(cluster.nodes):
            command = [
                sys.executable,
                "-m",
                "bench.portwatching",
                "--endpoint",
                node.client_address,
            ]
            for name in ("watchers", "all", "nodes", "per_stream", "slow"):
                command += [f"--{name.replace('_', '-')}", str(getattr(options, name))]
            command += ["--place", str(place)]
            watching.append(
                subprocess.Popen(
                    command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
                )
            )
        for process in watching:
            assert process.stdout is not None
            process.stdout.readline()
        return _under_load(options, cluster, watching)
    finally:
        for process in watching:
            process.kill()
            process.wait()
        cluster.stop()


def _under_load(
    options: argparse.Namespace, cluster: Raftd, watching: list[subprocess.Popen[str]]
) -> int:
    wanted: dict[int, int] = {}
    _forget_peaks(cluster)
    cpu, idle = _cpu(cluster), _memory(cluster)
    with Client(cluster.endpoints(), timeout=PATIENCE_SECONDS) as client:
        began = time.monotonic()
        puts = _load(options, client, wanted)
        loaded = time.monotonic() - began
        client.put(END, b"")
        ended = time.monotonic()
    told, held = [], _memory(cluster)
    for process in watching:
        assert process.stdin is not None
        process.stdin.close()
    for process in watching:
        assert process.stdout is not None
        told.append(json.loads(process.stdout.readline()))
    late = time.monotonic() - ended
    events = {name: count for one in told for name, count in one["events"].items()}
    wrong = [text for one in told for text in one["wrong"]]
    missed = sum(abs(events.get(f"w{n}", 0) - wanted.get(n, 0)) for n in range(options.watchers))
    missed += sum(abs(events.get(f"all{n}", 0) - puts) for n in range(options.all))
    used = [after - before for before, after in zip(cpu, _cpu(cluster), strict=True)]
    total = sum(events.values())
    sys.stdout.write(
        f"watchers {options.watchers} of their own keys and {options.all} of all, keys "
        f"{options.keys}, {options.nodes} nodes, {options.transport}: {puts} puts in "
        f"{loaded:.1f} s ({puts / loaded:.0f}/s), {total} events ({total / loaded:.0f}/s), "
        f"missed {missed}, wrong {len(wrong)}; last event {late:.2f} s after the last put; CPU "
        f"{' '.join(f'{one / loaded:.2f}' for one in used)} cores; resident MiB idle "
        f"{' '.join(map(str, idle))}, with the slow ones behind {' '.join(map(str, held))}, "
        f"at most {' '.join(map(str, _memory(cluster, 'VmHWM')))}\n"
    )
    for text in wrong[:5]:
        sys.stdout.write(f"  {text}\n")
    return 1 if missed or wrong else 0


def _load(options: argparse.Namespace, client: Client, wanted: dict[int, int]) -> int:
    """Puts at the pace; behind it, as quickly as they are answered."""
    draw, value, done = random.Random(1), bytes(options.bytes), 0
    begin = time.monotonic()
    while (passed := time.monotonic() - begin) < options.seconds:
        due = int(passed * options.rate) - done
        if due <= 0:
            time.sleep(PACE_SECONDS)
            continue
        chosen = [draw.randrange(options.keys) for _ in range(min(due, options.rate // 10))]
        owners = max(options.watchers, 1)
        client.put_many((b"w%05d/%06d" % (key % owners, key), value) for key in chosen)
        for key in chosen:
            wanted[key % owners] = wanted.get(key % owners, 0) + 1
        done += len(chosen)
    return done


def _cpu(cluster: Raftd) -> list[float]:
    """Seconds of each node's process."""
    found = []
    for pid in cluster.pids():
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        found.append((int(fields[11]) + int(fields[12])) / 100)
    return found


def _memory(cluster: Raftd, what: str = "VmRSS") -> list[int]:
    """What of each node's process is resident, MiB; VmHWM: at most since `_forget_peaks`."""
    found = []
    for pid in cluster.pids():
        status = Path(f"/proc/{pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith(what))
        found.append(int(line.split()[1]) >> 10)
    return found


def _forget_peaks(cluster: Raftd) -> None:
    """Starting takes more than serving."""
    for pid in cluster.pids():
        Path(f"/proc/{pid}/clear_refs").write_text("5")


if __name__ == "__main__":
    sys.exit(main())
