"""A million keys: a snapshot under load, a follower that missed it, a restart, memory per key."""

from __future__ import annotations

import array
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.clusters import BASE, Etcd, Raftd, etcd_load, raftd_load, until
from bench.facts import percentile, resident_bytes
from bench.load import fill_key, filled_value
from bench.report import Verdict
from harness.nodes import Node
from raftd.client import Client

Say = Callable[[str], None]
SNAPSHOT_SECONDS = 300.0
LEVEL_ENTRIES = 200
FILL_SECONDS = 1800.0
FILL_CALLERS = 2


class Background:
    """64 blocking callers with single puts while something happens; latencies by moment."""

    def __init__(self, cluster: Raftd, seconds: float) -> None:
        self._path = BASE / "samples"
        self._answer: dict[str, Any] = {}
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, args=(cluster, seconds))
        self._thread.start()

    def _run(self, cluster: Raftd, seconds: float) -> None:
        try:
            self._answer = raftd_load(
                cluster, op="put", callers=64, seconds=seconds, samples=self._path
            )
        except Exception as error:  # noqa: BLE001 - raised again in `join`, on the caller's thread
            self._error = error

    def join(self) -> dict[str, Any]:
        self._thread.join()
        if self._error is not None:
            raise self._error
        flat = array.array("d", self._path.read_bytes())
        self._path.unlink()
        self._pairs = list(zip(flat[::2], flat[1::2], strict=True))
        return self._answer

    def window(self, start: float, end: float) -> dict[str, float]:
        """Calls that ended between two moments (time.monotonic), after `join`."""
        mine = sorted(latency for at, latency in self._pairs if start <= at <= end)
        return {
            "calls": len(mine),
            "seconds": end - start,
            "p50_ms": percentile(mine, 0.5) * 1e3,
            "p99_ms": percentile(mine, 0.99) * 1e3,
            "max_ms": mine[-1] * 1e3 if mine else 0.0,
        }


def snapshot(node: Node) -> None:
    """Let a node take one now, and wait until it is on its disk."""
    command = [sys.executable, "-m", "raftd.cli.raftctl", "--endpoints", node.client_address]
    command += ["--timeout", f"{SNAPSHOT_SECONDS:g}s", "snapshot"]
    before = node.metric("raftd_snapshot_index") or 0
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    until(
        lambda: (node.metric("raftd_snapshot_index") or 0) > before,
        SNAPSHOT_SECONDS,
        f"a snapshot of {node.id}",
    )


def settle(cluster: Raftd) -> None:
    """Until all have applied the same and no snapshot came for two seconds."""
    last: tuple[list[float], float] = ([], time.monotonic())

    def quiet() -> bool:
        nonlocal last
        state = cluster.metrics("raftd_applied_index") + cluster.metrics("raftd_snapshot_index")
        if state != last[0]:
            last = (state, time.monotonic())
        level = len(set(state[: len(cluster.nodes)])) == 1
        return level and time.monotonic() - last[1] > 2

    until(quiet, SNAPSHOT_SECONDS, "the nodes to be level and quiet")


def under_load(cluster: Raftd, before: float, longest: float) -> dict[str, Any]:
    """Every node takes a snapshot, the leader first, one after the other."""
    term = cluster.term()
    load = Background(cluster, before + longest)
    time.sleep(2.0)  # the generator starts
    began = time.monotonic()
    time.sleep(before)
    first = time.monotonic()
    leader = cluster.nodes[cluster.leader()]
    took = {}
    for node in [leader, *(node for node in cluster.nodes if node is not leader)]:
        start = time.monotonic()
        snapshot(node)
        took[node.id] = time.monotonic() - start
    last = time.monotonic()
    answer = load.join()
    return {
        "seconds": took,
        "before": load.window(began, first),
        "during": load.window(first, last),
        "elections": cluster.term() - term,
        "errors": answer["errors"],
        "wrong": answer["wrong"],
    }


def missed(cluster: Raftd, seconds: float) -> dict[str, Any]:
    """A follower is down while the log is compacted past it, and comes back under load."""
    leader = cluster.nodes[cluster.leader()]
    absent = next(node for node in cluster.nodes if node is not leader)
    had = absent.metric("raftd_log_last_index") or 0
    absent.kill()
    for _ in range(8):
        raftd_load(cluster, op="bulk", callers=2, seconds=seconds)
        snapshot(leader)
        if (leader.metric("raftd_log_first_index") or 0) > had + 1:
            break
    term = cluster.term()
    load = Background(cluster, 4 * seconds + 10)
    time.sleep(2.0)
    absent.start()

    def level() -> bool:
        mine, all_ = absent.metric("raftd_applied_index"), leader.metric("raftd_commit_index")
        return mine is not None and all_ is not None and all_ - mine < LEVEL_ENTRIES

    took = until(level, SNAPSHOT_SECONDS, f"{absent.id} to catch up")
    answer = load.join()
    return {
        "seconds": took,
        "needed_snapshot": (leader.metric("raftd_log_first_index") or 0) > had + 1,
        "p99_ms": answer["p99_ms"],
        "elections": cluster.term() - term,
        "wrong": answer["wrong"],
    }


def entries_after_snapshot(cluster: Raftd, wanted: int, say: Say) -> list[int]:
    """Single puts from clients of their own, so that each is an entry. How many each node has."""

    def lengths() -> list[int]:
        pairs = zip(
            cluster.metrics("raftd_log_last_index"),
            cluster.metrics("raftd_snapshot_index"),
            strict=True,
        )
        return [int(last - snapshot) for last, snapshot in pairs]

    for node in cluster.nodes:
        snapshot(node)
    deadline = time.monotonic() + 180
    while (have := min(lengths())) < 0.95 * wanted and time.monotonic() < deadline:
        seconds = 4.0 if have < 0.6 * wanted else 1.0
        raftd_load(cluster, op="put", callers=64, own_clients=True, seconds=seconds)
        if min(lengths()) < have:
            say("a node took a snapshot of its own on the way; going on from there")
            break
    settle(cluster)
    return lengths()


def restart(cluster: Raftd) -> dict[str, Any]:
    """SIGKILL all, start all; until every node serves, and until a put is acknowledged."""
    for node in cluster.nodes:
        node.kill()
    began = time.monotonic()
    for node in cluster.nodes:
        node.start()
    cluster.wait_ready()
    ready = time.monotonic() - began
    with Client(cluster.endpoints(), timeout=60) as client:
        client.put(b"after the restart", b"")
    return {"ready_seconds": ready, "first_put_seconds": time.monotonic() - began}


def lost(cluster: Raftd, keys: int) -> int:
    """How many of a thousand keys do not have the value that they were filled with."""
    wrong = 0
    with Client(cluster.endpoints(), timeout=60) as client:
        for number in range(0, keys - keys % FILL_CALLERS, max(1, keys // 1000)):
            item = client.get(fill_key(number)).kv
            wrong += item is None or item.value != filled_value(number, keys, FILL_CALLERS, 256)
    return wrong


def resident(pids: list[int]) -> list[int]:
    return [resident_bytes(pid) for pid in pids]


def per_key(after: list[int], before: list[int], keys: int) -> float:
    """Bytes for each key on the node that needs most."""
    return max(a - b for a, b in zip(after, before, strict=True)) / keys


def raftd_side(keys: int, entries: int, scale: float, say: Say) -> dict[str, Any]:
    cluster = Raftd(BASE / "big")
    found: dict[str, Any] = {"keys": keys}
    try:
        cluster.start()
        empty = resident(cluster.pids())
        load = raftd_load(cluster, timeout=FILL_SECONDS, op="fill", callers=2, keys=keys, value=256)
        found["fill_rate"] = load["rate"]
        settle(cluster)
        found["resident_filled"] = resident(cluster.pids())
        found["log_bytes_filled"] = cluster.metrics("raftd_log_bytes")
        say(f"{keys:,} keys are in ({load['rate']:,.0f}/s); snapshots under load ...")
        found["snapshot"] = under_load(cluster, 6 * scale, 24 * scale)
        found["restart_clean"] = restart(cluster)
        settle(cluster)
        found["resident_restarted"] = resident(cluster.pids())
        found["log_bytes_restarted"] = cluster.metrics("raftd_log_bytes")
        say("a follower that missed a snapshot ...")
        found["missed"] = missed(cluster, max(1.0, 3 * scale))
        say("entries after the snapshot ...")
        settle(cluster)
        found["entries"] = entries_after_snapshot(cluster, entries, say)
        found["restart"] = restart(cluster)
        found["lost"] = lost(cluster, keys)
        found["per_key_filled"] = per_key(found["resident_filled"], empty, keys)
        found["per_key_restarted"] = per_key(found["resident_restarted"], empty, keys)
    finally:
        cluster.stop()
    return found


def etcd_side(binary: Path, keys: int) -> dict[str, Any]:
    cluster = Etcd(BASE / "big-etcd")
    try:
        cluster.start()
        empty = resident(cluster.pids())
        load = etcd_load(
            binary, cluster, timeout=FILL_SECONDS, op="fill", keys=keys, batch=128, clients=8
        )
        filled = resident(cluster.pids())
        for at in range(3):
            cluster.kill(at)
        began = time.monotonic()
        for at in range(3):
            cluster.restart(at)
        cluster.wait_ready()
        ready = time.monotonic() - began
        etcd_load(binary, cluster, op="put", clients=1, conns=1, secs=0.2)
        after = resident(cluster.pids())
    finally:
        cluster.stop()
    return {
        "fill_rate": load["rate"],
        "ready_seconds": ready,
        "per_key_filled": per_key(filled, empty, keys),
        "per_key_restarted": per_key(after, empty, keys),
    }


def verdicts(found: dict[str, Any], etcd: dict[str, Any] | None) -> list[Verdict]:
    shot, back = found["snapshot"], found["missed"]
    keys = f"{found['keys']:,} keys"
    grew = shot["during"]["p99_ms"] / max(shot["before"]["p99_ms"], 1e-9)
    moved = f"{shot['before']['p99_ms']:.1f} -> {shot['during']['p99_ms']:.1f} ms"
    elections = shot["elections"] + back["elections"]
    wrong = found["lost"] + shot["wrong"] + back["wrong"]
    how = "by snapshot" if back["needed_snapshot"] else "from the log"
    after = f"{min(found['entries']):,} entries after the snapshot"
    rows = [
        Verdict(f"7 snapshots, {keys}: p99 during / before ({moved})", grew, "x", 5, None, False),
        Verdict("7 elections meanwhile", elections, "", 0, 0, False),
        Verdict("7 values that differ, after all of it", wrong, "", 0, 0, False),
        Verdict(f"7 a follower that missed it is level, {how}", back["seconds"], "s", None, None),
        Verdict(
            f"7 restart, {keys}, {after}",
            found["restart"]["ready_seconds"], "s", 10, None, False,
        ),
        Verdict(
            "7 restart without those entries",
            found["restart_clean"]["ready_seconds"], "s", None, None,
        ),
        Verdict(
            f"7 memory per key, filled ({max(found['log_bytes_filled']) / 1e6:.0f} MB are log)",
            found["per_key_filled"], "bytes", None, None,
        ),
        Verdict(
            f"7 memory per key, restarted ({max(found['log_bytes_restarted']) / 1e6:.0f} MB log)",
            found["per_key_restarted"], "bytes", None, None,
        ),
    ]  # fmt: skip
    if etcd is not None:
        rows += [
            Verdict("  etcd: restart", etcd["ready_seconds"], "s", None, None),
            Verdict("  etcd: memory per key, filled", etcd["per_key_filled"], "bytes", None, None),
            Verdict(
                "  etcd: memory per key, restarted", etcd["per_key_restarted"], "bytes", None, None
            ),
        ]
    return rows
