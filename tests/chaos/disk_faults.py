"""Disks that fail, as far as it can be done from outside a process: strace changes what system
calls return, and a limit on the size of files does for a full disk. Registered beside the others.
"""

from __future__ import annotations

import platform
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from harness.nodes import Node, NodeTrouble, wait_until
from harness.proxied import ProxiedCluster
from tests.chaos.faults import FAULTS, fault

EXIT_FATAL = 70
FULL_BYTES = 64 << 10
"""Less than a segment: the next write behind it fails."""
ATTACH_SECONDS = 5.0
FULL_SECONDS = 20.0
"""For the load to fill a segment."""
STOP_SECONDS = 30.0


class Misbehaved(Exception):
    """A node did not do what a failing disk demands."""


def missing() -> dict[str, str]:
    """Faults that cannot be done here, and why."""
    reasons: dict[str, str] = {}
    if platform.system() != "Linux":
        reasons["full-disk"] = "file size limits of other processes need Linux"
    strace = shutil.which("strace")
    why = "strace is not installed" if strace is None else _why_strace_fails(strace)
    if why:
        reasons |= dict.fromkeys(("sync-fails", "slow-disk", "no-room", "stop-when-full"), why)
    return reasons


def _why_strace_fails(strace: str) -> str:
    """Containers often forbid tracing: try it on a process of our own."""
    with subprocess.Popen(["sleep", "10"]) as victim:
        tracer = subprocess.Popen(
            [strace, "-p", str(victim.pid), "-o", "/dev/null"], stderr=subprocess.DEVNULL
        )
        try:
            wait_until(lambda: _is_traced(victim.pid) or tracer.poll() is not None, 3, "strace")
        except NodeTrouble:
            return "strace does not attach"
        finally:
            tracer.send_signal(signal.SIGINT)
            tracer.wait(5)
            victim.kill()
    return "" if tracer.returncode in (0, 130, -signal.SIGINT) else "tracing is forbidden here"


def _is_traced(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/status") as status:
            line = next((line for line in status if line.startswith("TracerPid:")), "TracerPid: 0")
    except OSError:
        return False
    return int(line.split()[1]) != 0


@contextmanager
def injected(node: Node, calls: str, what: str) -> Iterator[None]:
    """System calls of all threads of the node return something else while this holds."""
    pid = node.pid()
    if pid is None:
        raise NodeTrouble(f"{node.id} is not running")
    command = ["strace", "-f", "-p", str(pid), "-o", "/dev/null", "-e", f"trace={calls}"]
    command += ["-e", "signal=none", "-e", f"inject={calls}:{what}"]
    tracer = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(
            lambda: _is_traced(pid) or tracer.poll() is not None, ATTACH_SECONDS, "strace to attach"
        )
        yield
    finally:
        tracer.send_signal(signal.SIGINT)  # detaches; what it traced runs on
        tracer.wait(10)


def _victim(cluster: ProxiedCluster, draw: random.Random) -> Node:
    return cluster.likely_leader() if draw.random() < 0.5 else draw.choice(cluster.nodes)


@fault("sync-fails")
def _sync_fails(cluster: ProxiedCluster, draw: random.Random) -> Iterator[str]:
    node = _victim(cluster, draw)
    with injected(node, "fdatasync,fsync", "error=EIO:when=1+"):
        yield f"EIO from every sync of {node.id}"
        _expect_fatal(node)
    cluster.start_all()


@fault("full-disk")
def _full_disk(cluster: ProxiedCluster, draw: random.Random) -> Iterator[str]:
    import resource

    node = _victim(cluster, draw)
    pid = node.pid()
    if pid is not None:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (FULL_BYTES, resource.RLIM_INFINITY))
    yield f"no file of {node.id} can grow beyond {FULL_BYTES >> 10} KiB"
    _expect_fatal(node)
    cluster.start_all()


@fault("no-room")
def _no_room(cluster: ProxiedCluster, draw: random.Random) -> Iterator[str]:
    """Room for the next segment cannot be had: the node may wait, and goes on when there is."""
    node = _victim(cluster, draw)
    with injected(node, "fallocate", "error=ENOSPC:when=1+"):
        yield f"ENOSPC when {node.id} wants room for its log"
    cluster.start_all()


@fault("stop-when-full")
def _stop_when_full(cluster: ProxiedCluster, draw: random.Random) -> Iterator[str]:
    """An orderly stop of a node that waits for room: exit code 0, and nothing follows a gap."""
    node = _victim(cluster, draw)
    with injected(node, "fallocate", "error=ENOSPC:when=1+"):
        yield f"ENOSPC when {node.id} wants room; then SIGTERM while it waits"
        wait_until(
            lambda: _waits_for_room(node), FULL_SECONDS, f"{node.id} to run out of room", [node]
        )
        code = node.stop(STOP_SECONDS)
        if code != 0:
            raise Misbehaved(f"{node.id} stopped with {code}, not 0\n{node.log_tail()}")
    cluster.start_all()


def _waits_for_room(node: Node) -> bool:
    """Entries were taken that are not durable, and still are not half a second later."""
    durable, last = _durable(node), node.metric("raftd_log_last_index") or 0
    if not 0 <= durable < last:
        return False
    time.sleep(0.5)
    return _durable(node) == durable


def _durable(node: Node) -> float:
    found = node.metric("raftd_log_durable_index")
    return -1.0 if found is None else found


@fault("slow-disk")
def _slow_disk(cluster: ProxiedCluster, draw: random.Random) -> Iterator[str]:
    node, milliseconds = _victim(cluster, draw), draw.choice((50, 300, 1500))
    with injected(node, "fdatasync,fsync", f"delay_enter={milliseconds * 1000}:when=1+"):
        yield f"{milliseconds} ms for every sync of {node.id}"


def _expect_fatal(node: Node) -> None:
    """Never on with a disk that failed: the process ends, with its own code for that."""
    deadline = time.monotonic() + 10
    while node.pid() is not None:
        if time.monotonic() > deadline:
            raise Misbehaved(f"{node.id} went on after its disk had failed\n{node.log_tail()}")
        time.sleep(0.05)
    code = node.process.returncode if node.process is not None else None
    if code != EXIT_FATAL:
        raise Misbehaved(f"{node.id} ended with {code}, not {EXIT_FATAL}\n{node.log_tail()}")


__all__ = ["FAULTS", "Misbehaved", "injected", "missing"]
