"""The main job, from nothing: three nodes, writes from many threads, kill -9 of the leader.

Shows for how long writes were silent, brings the killed node back, and checks every acknowledged
write on every node. Exits 0 only if all of it held. Leaves no process and no file behind.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import NamedTuple

from harness.nodes import (
    ROOT,
    Node,
    NodeTrouble,
    endpoints,
    kill_all,
    make_nodes,
    remove_tree,
    wait_until,
    write_configs,
)
from raftd.client import Client, RaftdError

BASE = ROOT / ".run" / f"demo-{os.getpid()}"
THREADS = 8
BEFORE_KILL = 1_500
AFTER_KILL = 1_000
SILENCE_MAX = 2.0
CALL_SECONDS = 10.0


class Failed(Exception):
    """The demo did not show what it is there to show."""


class Ack(NamedTuple):
    time: float
    key: bytes
    value: bytes


ERROR_PAUSE_SECONDS = 0.1


class Writers:
    """Threads that put new keys through one client, and every acknowledgement that they got."""

    def __init__(self, client: Client, threads: int) -> None:
        self.acks: list[Ack] = []  # list.append is atomic: no lock of ours
        self.errors: list[RaftdError] = []
        self.unexpected: list[BaseException] = []
        self._client = client
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(number,), name=f"writer-{number}", daemon=True)
            for number in range(threads)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(CALL_SECONDS + 5)
            if thread.is_alive():
                raise Failed(f"{thread.name} did not come back from a call")

    def wait_for(self, count: int, timeout: float, nodes: Sequence[Node]) -> None:
        def reached() -> bool:
            if self.unexpected:
                raise Failed(f"a writer ended: {self.unexpected[0]!r}")
            return len(self.acks) >= count

        wait_until(reached, timeout, f"{count} acknowledged writes", nodes)

    def _run(self, number: int) -> None:
        try:
            count = 0
            while not self._stop.is_set():
                key = b"demo/%d/%06d" % (number, count)
                value = b"written by thread %d as number %d" % (number, count)
                count += 1
                try:
                    self._client.put(key, value)
                except RaftdError as error:
                    self.errors.append(error)
                    self._stop.wait(ERROR_PAUSE_SECONDS)  # a closed client refuses at once
                else:
                    self.acks.append(Ack(time.monotonic(), key, value))
        except BaseException as error:  # noqa: BLE001 - handed to the main thread, which raises
            self.unexpected.append(error)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave the files under .run")
    arguments = parser.parse_args(argv)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    nodes = make_nodes(BASE, ["n1", "n2", "n3"])
    try:
        _run(nodes)
    except (Failed, NodeTrouble, RaftdError) as error:
        print(f"demo: FAILED: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("demo: interrupted", file=sys.stderr)
        return 130
    finally:
        kill_all(nodes)
        if not arguments.keep:
            remove_tree(BASE)
    return 0


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _run(nodes: list[Node]) -> None:
    start = time.monotonic()
    with _step("three nodes start and elect a leader"):
        write_configs(nodes, {})
        for node in nodes:
            node.start()
        wait_until(lambda: all(map(_serves, nodes)), 40, "all nodes to serve", nodes)
    with Client(endpoints(nodes), timeout=CALL_SECONDS) as client:
        writers = Writers(client, THREADS)
        with _step(f"{THREADS} threads write"):
            writers.start()
            writers.wait_for(BEFORE_KILL, 20, nodes)
        leader = _leader(nodes)
        acked, killed = len(writers.acks), time.monotonic()
        with _step(f"kill -9 of the leader, {leader.id}; the others go on"):
            leader.kill()
            writers.wait_for(acked + AFTER_KILL, 15, [node for node in nodes if node is not leader])
            writers.stop()
    silence = _silence(writers.acks, killed)
    after = sum(ack.time > killed + silence / 2 for ack in writers.acks)
    with _step(f"{leader.id} comes back and catches up"):
        leader.start()
        target = max(node.metric("raftd_commit_index") or 0 for node in nodes)
        wait_until(
            lambda: (leader.metric("raftd_applied_index") or 0) >= target, 20, "it", [leader]
        )
        for node in nodes:
            wait_until(lambda: _applied(node, target), 10, "the same index", [node])  # noqa: B023
    expected = {ack.key: ack.value for ack in writers.acks}
    with _step("every acknowledged write is looked up on every node"):
        found = {node.id: _verify(node, expected) for node in nodes}
    _table(nodes, leader, found, len(expected))
    print(f"acknowledged   {len(expected)} writes, at least {after} of them after the kill")
    print(f"silent         {silence * 1000:.0f} ms without an acknowledged write (at most 2 s)")
    print(f"errors         {len(writers.errors)} seen by the {THREADS} threads")
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


def _serves(node: Node) -> bool:
    if node.pid() is None:
        raise Failed(f"{node.id} ended at once; its log says:\n{node.log_tail()}")
    return node.ready()


def _applied(node: Node, target: float) -> bool:
    return (node.metric("raftd_applied_index") or 0) >= target


def _leader(nodes: list[Node]) -> Node:
    for node in nodes:
        if node.metric("raftd_is_leader") == 1:
            return node
    raise Failed("no node says that it leads")


def _silence(acks: list[Ack], killed: float) -> float:
    """The longest time without an acknowledgement around and after the kill."""
    times = sorted(ack.time for ack in acks)
    gaps = [late - early for early, late in itertools.pairwise(times) if late >= killed]
    return max(gaps, default=float("inf"))


def _verify(node: Node, expected: dict[bytes, bytes]) -> int:
    """Read everything from this node's own state. Returns how many acknowledged writes it holds."""
    found: dict[bytes, tuple[bytes, int]] = {}
    after = b""
    with Client([node.client_address], timeout=CALL_SECONDS) as client:
        while True:
            page = client.range(b"demo/", limit=1_000, after=after, consistency="stale")
            found.update({kv.key: (kv.value, kv.version) for kv in page.kvs})
            if not page.more:
                break
            after = page.kvs[-1].key
    for key, value in expected.items():
        if key not in found:
            raise Failed(f"{node.id} lacks {key!r}, which was acknowledged")
        if found[key] != (value, 1):
            raise Failed(f"{node.id} holds {key!r} as {found[key]}, not as written once")
    return len(expected)


def _table(nodes: list[Node], killed: Node, found: dict[str, int], total: int) -> None:
    print("\nnode  role      term  applied  acknowledged writes found")
    for node in nodes:
        role = "leader" if node.metric("raftd_is_leader") == 1 else "follower"
        note = "   (killed and restarted)" if node is killed else ""
        term, applied = (
            int(node.metric(f"raftd_{what}") or 0) for what in ("term", "applied_index")
        )
        print(f"{node.id:<5} {role:<8} {term:>5} {applied:>8}  {found[node.id]} of {total}{note}")
    print()


if __name__ == "__main__":
    sys.exit(main())
