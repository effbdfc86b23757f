"""How long nothing is acknowledged when the leader dies under load; etcd's beside."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from bench.clusters import BASE, BenchTrouble, Etcd, etcd_load
from bench.report import Verdict
from harness.nodes import ROOT
from harness.transport import VARIABLE

ETCD_SECONDS = 8.0
WARM_UP_PUTS = 200
WARM_UP_SECONDS = 0.5


def raftd_side(kills: int, terms: int, transport: str = "") -> dict[str, Any]:
    """Silences in ms, by signal. transport: empty for the default. Raises BenchTrouble."""
    BASE.mkdir(parents=True, exist_ok=True)
    path = BASE / "failover.json"
    path.unlink(missing_ok=True)
    command = [sys.executable, "-m", "scripts.failover", "--kills", str(kills)]
    command += ["--terms", str(terms), "--json", str(path)]
    environment = {**os.environ, **({VARIABLE: transport} if transport else {})}
    run = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    try:
        document = json.loads(path.read_text())
    except (OSError, ValueError):
        raise BenchTrouble(f"scripts.failover: {run.stderr.strip()[-300:]}") from None
    path.unlink()
    silences = {
        name: [fault["silence"] * 1e3 for fault in faults] for name, faults in document.items()
    }
    return {**silences, "said": run.stdout}


def etcd_side(binary: Path, kills: int) -> list[float]:
    """Silences in ms after a SIGKILL of the leader, four callers as in scripts.failover."""
    cluster = Etcd(BASE / "fail-etcd")
    silences = []
    try:
        cluster.start()
        for _ in range(kills):
            killed: list[int] = []
            killer = threading.Thread(target=_kill_leader, args=(cluster, killed))
            killer.start()
            figures = etcd_load(binary, cluster, op="put", clients=4, secs=ETCD_SECONDS)
            killer.join()
            if not killed:
                raise BenchTrouble("the load on etcd did not begin: its leader was not killed")
            silences.append(figures["silence_ms"])
            cluster.restart(killed[0])
            cluster.wait_ready()
            time.sleep(1.0)
    finally:
        cluster.stop()
    return silences


def _kill_leader(cluster: Etcd, killed: list[int]) -> None:
    """Once the load runs, not by the clock: a generator may take seconds to connect."""
    first, deadline = cluster.revision(), time.monotonic() + ETCD_SECONDS
    while cluster.revision() < first + WARM_UP_PUTS:
        if time.monotonic() > deadline:
            return
        time.sleep(0.02)
    time.sleep(WARM_UP_SECONDS)
    leader = cluster.leader()
    cluster.kill(leader)
    killed.append(leader)


def verdicts(found: dict[str, Any], etcd: list[float]) -> list[Verdict]:
    rows = []
    for name, need_p50, need_max in (("SIGKILL", 100.0, 1000.0), ("SIGTERM", 50.0, None)):
        silences = found.get(name) or []
        if not silences:
            continue
        text = f"6 leader {name} x {len(silences)}: longest silence"
        middle = statistics.median(silences)
        rows.append(Verdict(f"{text}, p50", middle, "ms", need_p50, None, False))
        rows.append(Verdict(f"{text}, max", max(silences), "ms", need_max, None, False))
    if etcd:
        middle = statistics.median(etcd)
        rows.append(Verdict(f"  etcd: SIGKILL x {len(etcd)}, p50", middle, "ms", None, None))
    return rows
