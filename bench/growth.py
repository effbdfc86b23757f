"""How cost grows: value size, callers, batch, cluster size, log length, state size. Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from bench import bigstate
from bench.clusters import BASE, Raftd, raftd_load
from bench.series import cpu_per_command

Say = Callable[[str], None]
Rows = list[list[str]]
CALL_BYTES_MAX = 8 << 20


def table(head: Sequence[str], rows: Rows) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def load(cluster: Raftd, **options: Any) -> dict[str, Any]:
    leader = cluster.leader()
    figures = raftd_load(cluster, **options)
    figures["cpu_us"] = cpu_per_command(figures, cluster.pids(), leader)
    return figures


def cells(figures: dict[str, Any]) -> list[str]:
    return [
        f"{figures['rate']:,.0f}",
        f"{figures['p50_ms']:.2f}",
        f"{figures['p99_ms']:.2f}",
        f"{figures['cpu_us']['all']:,.0f}",
    ]


HEAD = ["puts/s", "p50 ms", "p99 ms", "CPU us/put"]


def value_size(cluster: Raftd, seconds: float) -> str:
    rows = []
    for size in (16, 256, 4096, 65_536, 1 << 20):
        chunk = max(1, min(4096, CALL_BYTES_MAX // size))
        keys = 1024 if size < 1 << 16 else 64
        single = load(cluster, op="put", callers=64, seconds=seconds, value=size, keys=keys)
        bulk = load(
            cluster, op="bulk", callers=2, seconds=seconds, value=size, chunk=chunk, keys=keys
        )
        rows.append(
            [f"{size:,}", *cells(single), f"{bulk['rate']:,.0f}", f"{bulk['cpu_us']['all']:,.0f}"]
        )
    return table(["bytes", *HEAD, "pipelined/s", "CPU us/put"], rows)


def callers(cluster: Raftd, seconds: float) -> str:
    rows = []
    for count in (1, 4, 16, 64, 256, 1024):
        figures = load(cluster, op="put", callers=count, seconds=seconds)
        rows.append([str(count), *cells(figures)])
    return table(["callers", *HEAD], rows)


def batch(cluster: Raftd, seconds: float) -> str:
    rows = []
    for chunk in (1, 8, 64, 512, 4096, 32_768):
        figures = load(cluster, op="bulk", callers=1, seconds=seconds, chunk=chunk)
        rows.append([f"{chunk:,}", *cells(figures)])
    return table(["puts in a call", *HEAD], rows)


def cluster_size(seconds: float) -> str:
    rows = []
    for count in (1, 3, 5, 7):
        cluster = Raftd(BASE / "growth-size", count)
        try:
            cluster.start()
            one = load(cluster, op="put", callers=1, seconds=seconds)
            many = load(cluster, op="put", callers=64, seconds=seconds)
            bulk = load(cluster, op="bulk", callers=2, seconds=seconds)
        finally:
            cluster.stop()
        rows.append(
            [
                str(count),
                f"{one['p50_ms']:.2f}",
                f"{many['rate']:,.0f}",
                f"{many['cpu_us']['all']:,.0f}",
                f"{bulk['rate']:,.0f}",
                f"{bulk['cpu_us']['all']:,.0f}",
            ]
        )
    head = ["nodes", "one put p50 ms", "64 callers/s", "CPU us/put", "pipelined/s", "CPU us/put"]
    return table(head, rows)


def log_length(seconds: float) -> str:
    """Entries since the last snapshot, each of one put, and how long a start takes with them."""
    rows = []
    for times in (0, 1, 4, 12):
        cluster = Raftd(BASE / "growth-log")
        try:
            cluster.start()
            if times:
                raftd_load(cluster, op="put", callers=64, own_clients=True, seconds=seconds * times)
            bigstate.settle(cluster)
            entries = int(max(cluster.metrics("raftd_log_last_index")))
            size = max(cluster.metrics("raftd_log_bytes"))
            took = bigstate.restart(cluster)
        finally:
            cluster.stop()
        rows.append([f"{entries:,}", f"{size / 1e6:.1f}", f"{took['ready_seconds']:.2f}"])
    return table(["entries", "MB", "all three serve again after s"], rows)


def state_size(seconds: float, scale: float) -> str:
    rows = []
    cluster = Raftd(BASE / "growth-state")
    try:
        cluster.start()
        have = 0
        for keys in (0, 100_000, 1_000_000):
            wanted = int(keys * min(1.0, scale))
            if wanted > have:
                raftd_load(
                    cluster, timeout=bigstate.FILL_SECONDS, op="fill", callers=2,
                    keys=wanted - have, first=have,
                )  # fmt: skip
                have = wanted
            bigstate.settle(cluster)
            figures = load(cluster, op="put", callers=64, seconds=seconds)
            for node in cluster.nodes:
                bigstate.snapshot(node)
            took = bigstate.restart(cluster)
            bigstate.settle(cluster)
            memory = max(bigstate.resident(cluster.pids())) / 1e6
            start = f"{took['ready_seconds']:.2f}"
            rows.append([f"{have:,}", *cells(figures), start, f"{memory:,.0f}"])
    finally:
        cluster.stop()
    return table(["keys", *HEAD, "restart s", "resident MB"], rows)


def measure(scale: float, say: Say) -> Iterator[tuple[str, str]]:
    """Title and table, one after the other."""
    seconds = max(0.5, 3 * scale)
    cluster = Raftd(BASE / "growth")
    try:
        cluster.start()
        for title, part in (
            ("Value size (64 blocking callers; pipelined)", value_size),
            ("Concurrent blocking callers on one client, 256-byte values", callers),
            ("Puts in one put_many, one caller", batch),
        ):
            yield title, part(cluster, seconds)
    finally:
        cluster.stop()
    say("cluster size")
    yield "Cluster size, all nodes on the same cores", cluster_size(seconds)
    say("log length")
    yield "Log length", log_length(seconds)
    say("state size")
    yield "State size (256-byte values, 64 blocking callers)", state_size(seconds, scale)
