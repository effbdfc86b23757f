"""A backup of many keys while clients write, and whether what is restored is what was there."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.bigstate import SNAPSHOT_SECONDS, Background, settle
from bench.clusters import BASE, BenchTrouble, Raftd, raftd_load
from bench.report import Verdict
from harness.nodes import Node, config_text, kill_all, make_nodes, wait_until
from raftd.client import Client
from raftd.storage.snapshot_file import read_header
from raftd.wire.backup import BackupReader

Say = Callable[[str], None]
FILL_SECONDS = 1800.0
HEAD_BYTES_MAX = 2 << 20
P99_TIMES_MAX = 2.0


class _Start:
    """The first bytes of a snapshot, as `read_header` wants them."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def read(self, offset: int, size: int) -> bytes:
        return self._data[offset : offset + size]


def digests(path: Path) -> tuple[int, str, str]:
    """(index, SHA-256 of the machine's state, that of the sessions and of it) in a backup."""
    with path.open("rb") as file:
        reader = BackupReader(file, str(path))
        parts = reader.chunks()
        start = b""
        while len(start) < HEAD_BYTES_MAX and (part := next(parts, b"")):
            start += part
        header = read_header(_Start(start), str(path))
        body_at = header.size + header.sessions_bytes
        while len(start) < body_at:
            start += next(parts)
        state = hashlib.sha256(start[body_at:])
        whole = hashlib.sha256(start[header.size :])
        for part in parts:
            state.update(part)
            whole.update(part)
        return reader.head.index, state.hexdigest(), whole.hexdigest()


def _run(*words: str) -> float:
    """`raftctl` or `raftd` as an operator runs it; the seconds it took."""
    module = {"raftctl": "raftd.cli.raftctl", "raftd": "raftd.cli.raftd_main"}[words[0]]
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", module, *words[1:]], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BenchTrouble(f"`{' '.join(words)}`: exit code {done.returncode}: {done.stderr}")
    return time.monotonic() - began


def _back_up(node: Node, path: Path) -> float:
    path.unlink(missing_ok=True)
    wait = f"{SNAPSHOT_SECONDS:g}s"
    return _run(
        "raftctl", "--endpoints", node.client_address, "--timeout", wait, "backup", str(path)
    )


def under_load(cluster: Raftd, path: Path, before: float, longest: float) -> dict[str, Any]:
    """64 blocking writers; the leader's backup begins after `before` seconds of them."""
    leader, term = cluster.nodes[cluster.leader()], cluster.term()
    load = Background(cluster, before + longest)
    time.sleep(2.0)  # the generator starts
    began = time.monotonic()
    time.sleep(before)
    first = time.monotonic()
    took = _back_up(leader, path)
    last = time.monotonic()
    answer = load.join()
    return {
        "seconds": took,
        "bytes": path.stat().st_size,
        "before": load.window(began, first),
        "during": load.window(first, last),
        "elections": cluster.term() - term,
        "errors": answer["errors"],
        "wrong": answer["wrong"],
    }


def restored(base: Path, path: Path) -> tuple[str, float]:
    """A new cluster of one node out of a backup: (its state's SHA-256, seconds until it served)."""
    shutil.rmtree(base, ignore_errors=True)  # of a run that was cut off
    (node,) = make_nodes(base, ["a"])
    node.directory.mkdir(parents=True)
    node.config_path.write_text(config_text(node, [node], {"cluster_token": "restored"}))
    began = time.monotonic()
    _run("raftd", "restore", str(path), "--config", str(node.config_path))
    try:
        node.start()
        wait_until(node.ready, SNAPSHOT_SECONDS, "the restored node to serve", [node])
        seconds = time.monotonic() - began
        again = base / "again.bak"
        _back_up(node, again)
        return digests(again)[1], seconds
    finally:
        kill_all([node])
        shutil.rmtree(base, ignore_errors=True)


def measure(keys: int, scale: float, say: Say) -> dict[str, Any]:
    cluster = Raftd(BASE / "backup")
    found: dict[str, Any] = {"keys": keys}
    loaded, quiet = BASE / "loaded.bak", BASE / "quiet.bak"
    try:
        cluster.start()
        raftd_load(cluster, timeout=FILL_SECONDS, op="fill", callers=2, keys=keys, value=256)
        settle(cluster)
        say(f"{keys:,} keys are in; a backup under load ...")
        found["load"] = under_load(cluster, loaded, 8 * scale, 30 * scale)
        say(str(found["load"]))
        settle(cluster)
        _back_up(cluster.nodes[0], quiet)
        with Client(cluster.endpoints()) as client:
            told = [
                client.digest(node.client_address, timeout=SNAPSHOT_SECONDS)
                for node in cluster.nodes
            ]
    finally:
        cluster.stop()
    index, _, whole = digests(quiet)
    found["as_on_all_nodes"] = sum(
        (each.applied_index, each.digest.hex()) == (index, whole) for each in told
    )
    state, found["restore_seconds"] = restored(BASE / "restored", loaded)
    found["same"] = state == digests(loaded)[1]
    loaded.unlink()
    quiet.unlink()
    return found


def verdicts(found: dict[str, Any]) -> list[Verdict]:
    load = found["load"]
    before, during = load["before"]["p99_ms"], load["during"]["p99_ms"]
    what = f"backup of {found['keys']:,} keys under load ({load['seconds']:.1f} s)"
    moved = f"{before:.1f} -> {during:.1f} ms"
    times = during / max(before, 1e-9)
    return [
        Verdict(f"10 {what}: p99 ({moved})", times, "x", P99_TIMES_MAX, None, False),
        Verdict("10 elections meanwhile", load["elections"], "", 0, 0, False),
        Verdict("10 failed calls, wrong values", load["errors"] + load["wrong"], "", 0, 0, False),
        Verdict("10 nodes with the state of a quiet backup", found["as_on_all_nodes"], "", 3, None),
        Verdict("10 restored, the same bit for bit", int(found["same"]), "", 1, None),
        Verdict("10 restore until it serves", found["restore_seconds"], "s", None, None, False),
    ]
