"""A cluster of real processes for tests, and clients that keep book of what they were promised."""

from __future__ import annotations

import contextlib
import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from raftd.client import Client, OutcomeUnknown, RaftdError
from scripts.nodes import (
    Node,
    NodeTrouble,
    endpoints,
    kill_all,
    make_nodes,
    wait_until,
    write_configs,
)
from tests.cluster import level

TINY_SNAPSHOTS = {"snapshot_entries": "200", "keep_entries": "50", "segment_bytes": "256KiB"}
"""A node that was away for a second needs a snapshot."""

CALL_SECONDS = 20.0

digest = level.digest


class Cluster:
    """Nodes n1..nN under `base`. One test thread at a time; the nodes are killed by `close`."""

    def __init__(self, base: Path, size: int, settings: Mapping[str, str]) -> None:
        self.nodes = make_nodes(base, [f"n{number}" for number in range(1, size + 1)])
        self._clients: list[Client] = []
        write_configs(self.nodes, {"log_format": "json", **settings}, token="test")

    def start(self) -> Cluster:
        """Start all and wait until all serve."""
        for node in self.nodes:
            node.start()
        self.wait_ready(self.nodes)
        return self

    def wait_ready(self, nodes: Sequence[Node], timeout: float = 30) -> float:
        return wait_until(lambda: all(map(_ready, nodes)), timeout, "nodes to serve", self.nodes)

    def client(self, nodes: Sequence[Node] | None = None, **options: Any) -> Client:
        """A client that is closed with the cluster."""
        made = Client(endpoints(nodes or self.nodes), **{"timeout": CALL_SECONDS, **options})
        self._clients.append(made)
        return made

    def leaders(self) -> list[Node]:
        """Who says that it leads, the highest term last."""
        found = [
            (node.metric("raftd_term") or 0, node)
            for node in self.alive()
            if node.metric("raftd_is_leader") == 1
        ]
        return [node for _, node in sorted(found, key=lambda pair: pair[0])]

    def leader(self, timeout: float = 15) -> Node:
        """The node that leads, waited for."""
        found: list[Node] = []

        def look() -> bool:
            found[:] = self.leaders()[-1:]
            return bool(found)

        wait_until(look, timeout, "a leader", self.nodes)
        return found[0]

    def followers(self) -> list[Node]:
        leader = self.leader()
        return [node for node in self.nodes if node is not leader]

    def alive(self) -> list[Node]:
        return [node for node in self.nodes if node.pid() is not None]

    def term(self) -> int:
        return int(max(node.metric("raftd_term") or 0 for node in self.alive()))

    def wait_level(self, timeout: float = 30) -> int:
        """Until all nodes have applied all that any of them holds. Returns that index."""
        return level.wait_level(self.nodes, timeout)

    def digests(self) -> dict[str, bytes]:
        """Each node's own hash of its applied state, all at one index. Raises level.Diverged."""
        index, values = level.digests(self.nodes, 30)
        level.check(index, values, self.nodes)
        return values

    def events(self, kind: str) -> int:
        """How many such events all nodes together have logged, over all their lives."""
        return sum(event_count(node, kind) for node in self.nodes)

    def close(self) -> None:
        kill_all(self.nodes)
        for client in self._clients:
            client.close()


def _ready(node: Node) -> bool:
    if node.pid() is None:
        raise NodeTrouble(f"{node.id} is not running; its log ends with\n{node.log_tail()}")
    return node.ready()


@contextlib.contextmanager
def channel(node: Node) -> Iterator[grpc.Channel]:
    """A plain gRPC channel to one node: no retries, no hints, just that node's answer."""
    made = grpc.insecure_channel(node.client_address, options=[("grpc.enable_retries", 0)])
    try:
        yield made
    finally:
        made.close()


def event_count(node: Node, kind: str) -> int:
    count = 0
    for line in node.log_path.read_text(errors="replace").splitlines():
        with contextlib.suppress(ValueError):
            count += json.loads(line).get("event") == kind
    return count


@dataclass
class Book:
    """What one writer was told."""

    acked: dict[bytes, bytes] = field(default_factory=dict)
    unknown: dict[bytes, bytes] = field(default_factory=dict)
    not_done: set[bytes] = field(default_factory=set)


class Load:
    """Writers in a closed loop, each with its own client (so its own session) and its own keys."""

    def __init__(self, clients: Sequence[Client], value_bytes: int = 64) -> None:
        self.books = [Book() for _ in clients]
        self.ack_times: list[float] = []
        self._padding = b"x" * value_bytes
        self._stop = threading.Event()
        self._broken: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._run, args=(number, client), daemon=True)
            for number, client in enumerate(clients)
        ]

    @property
    def acked(self) -> int:
        return len(self.ack_times)

    def start(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(CALL_SECONDS + 10)
        assert not any(thread.is_alive() for thread in self._threads), "a call never came back"
        self._raise_if_broken()

    def wait_more(self, count: int, timeout: float, nodes: Sequence[Node]) -> float:
        """Until `count` more writes are acknowledged. Returns the seconds that took."""
        goal = self.acked + count

        def reached() -> bool:
            self._raise_if_broken()
            return self.acked >= goal

        return wait_until(reached, timeout, f"{count} more acknowledged writes", nodes)

    def silence(self, since: float) -> float:
        """The longest time without an acknowledgement that ended after `since`."""
        times = sorted(self.ack_times)
        return max(
            (late - early for early, late in itertools.pairwise(times) if late >= since),
            default=float("inf"),
        )

    def check(self, client: Client) -> tuple[int, int]:
        """Compare with what one node holds. Returns (acknowledged, unknown outcomes that happened).

        Every key is written by one call: version 1, or that call was executed twice.
        """
        found = read_all(client, b"load/")
        happened = 0
        for book in self.books:
            for key, value in book.acked.items():
                assert key in found, f"{key!r} was acknowledged and is not there"
                assert found.pop(key) == (value, 1), key
            for key, value in book.unknown.items():
                if key in found:
                    happened += 1
                    assert found.pop(key) == (value, 1), key
        assert not found, f"there, but certainly not done: {sorted(found)[:5]}"
        return sum(len(book.acked) for book in self.books), happened

    def _raise_if_broken(self) -> None:
        if self._broken:
            raise self._broken[0]

    def _run(self, number: int, client: Client) -> None:
        book = self.books[number]
        count = 0
        try:
            while not self._stop.is_set():
                key = b"load/%03d/%07d" % (number, count)
                value = key + self._padding
                count += 1
                try:
                    client.put(key, value)
                except OutcomeUnknown:
                    book.unknown[key] = value
                except RaftdError:
                    book.not_done.add(key)
                    self._stop.wait(0.02)
                else:
                    book.acked[key] = value
                    self.ack_times.append(time.monotonic())
        except BaseException as error:  # noqa: BLE001 - raised again on the test's thread
            self._broken.append(error)


def read_all(client: Client, prefix: bytes) -> dict[bytes, tuple[bytes, int]]:
    """key -> (value, version), from one node's own state."""
    found: dict[bytes, tuple[bytes, int]] = {}
    after = b""
    while True:
        page = client.range(prefix, limit=1_000, after=after, consistency="stale")
        found.update({kv.key: (kv.value, kv.version) for kv in page.kvs})
        if not page.more:
            return found
        after = page.kvs[-1].key


def in_threads(count: int, act: Callable[[int], None]) -> list[threading.Thread]:
    """`act(number)` on `count` threads, started. The caller joins them."""
    threads = [threading.Thread(target=act, args=(n,), daemon=True) for n in range(count)]
    for thread in threads:
        thread.start()
    return threads
