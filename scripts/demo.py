"""The main job, from nothing: three nodes, writes from many threads, kill -9 of the leader.

Shows for how long writes were silent, brings the killed node back, and checks every acknowledged
write on every node. Exits 0 only if all of it held. Leaves no process and no file behind.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from types import FrameType

from harness.cluster import Cluster
from harness.nodes import ROOT, Node, NodeTrouble, page_settings, remove_tree
from harness.writers import Writers, WrongState
from raftd.client import RaftdError

BASE = ROOT / ".run" / f"demo-{os.getpid()}"
THREADS = 8
BEFORE_KILL = 1_500
AFTER_KILL = 1_000
SILENCE_MAX = 2.0
CALL_SECONDS = 10.0
PREFIX = b"demo/"


class Failed(Exception):
    """The demo did not show what it is there to show."""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave the files under .run")
    arguments = parser.parse_args(argv)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    cluster = Cluster(BASE)
    try:
        _run(cluster)
    except (Failed, NodeTrouble, WrongState, RaftdError) as error:
        print(f"demo: FAILED: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("demo: interrupted", file=sys.stderr)
        return 130
    finally:
        cluster.close()
        if not arguments.keep:
            remove_tree(BASE)
    return 0


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _run(cluster: Cluster) -> None:
    start, nodes = time.monotonic(), cluster.nodes
    cluster.configure({"cluster_token": "demo", **page_settings(nodes)})
    print(f"see it while it lasts: http://127.0.0.1:{nodes[-1].ports.admin}/")
    with _step("three nodes start and elect a leader"):
        cluster.start()
    writers = Writers([cluster.client(timeout=CALL_SECONDS)] * THREADS, prefix=PREFIX)
    with _step(f"{THREADS} threads write"):
        writers.start()
        writers.wait_more(BEFORE_KILL, 20, nodes)
    leader, killed = cluster.leader(), time.monotonic()
    with _step(f"kill -9 of the leader, {leader.id}; the others go on"):
        leader.kill()
        writers.wait_more(AFTER_KILL, 15, [node for node in nodes if node is not leader])
        writers.stop()
    book = writers.book
    silence = book.silence(killed)
    after = sum(moment > killed + silence / 2 for moment in book.ack_times)
    with _step(f"{leader.id} comes back and catches up"):
        leader.start()
        cluster.wait_ready([leader])
        cluster.wait_level()
    with _step("every acknowledged write is looked up on every node"):
        for node in nodes:
            writers.check(cluster.client([node]), node.id)
    _table(cluster, leader, len(book.acked))
    print(f"acknowledged   {len(book.acked)} writes, at least {after} of them after the kill")
    print(f"silent         {silence * 1000:.0f} ms without an acknowledged write (at most 2 s)")
    print(f"errors         {len(book.errors)} seen by the {THREADS} threads")
    print(f"took           {time.monotonic() - start:.1f} s")
    if silence > SILENCE_MAX:
        raise Failed(f"writes were silent for {silence:.2f} s; at most {SILENCE_MAX} s expected")
    if after < 100:
        raise Failed(f"only {after} writes were acknowledged after the kill")


@contextlib.contextmanager
def _step(what: str) -> Iterator[None]:
    start = time.monotonic()
    print(f"  {what} ...", end="", flush=True)
    try:
        yield
    except BaseException:
        print()
        raise
    print(f" {time.monotonic() - start:.1f} s")


def _table(cluster: Cluster, killed: Node, total: int) -> None:
    """The nodes are asked: a figure of /metrics may be older than the catching up."""
    client = cluster.client()
    print("\nnode  role      term  applied  acknowledged writes found")
    for node in cluster.nodes:
        its = client.status(node.client_address)
        note = "   (killed and restarted)" if node is killed else ""
        found = f"{its.term:>5} {its.applied_index:>8}  {total} of {total}"
        print(f"{node.id:<5} {its.role:<8} {found}{note}")
    print()


if __name__ == "__main__":
    sys.exit(main())
