"""Connections that come and go at a node: does anything stay behind, and what do idle ones cost?

python -m bench.connections --seconds 120           as many as there is time for
python -m bench.connections --idle 2000             also: memory of so many that do nothing

Each connection is cut in one of its stages: before a word, after HTTP/2's first words, with a call
begun, with a call answered, or by a reset. Prints the node's resident memory after each tenth; it
may grow while the allocator warms up, and must be level then. Exits 1 if the second half of the run
added more than `--most-mib`.
"""

from __future__ import annotations

import argparse
import contextlib
import socket
import struct
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import ngh2

from bench.clusters import BASE
from harness.cluster import Cluster
from harness.nodes import Node, remove_tree

PARTS = 10
BURST = 20
"""Connections at a time."""
LINGER_NONE = struct.pack("ii", 1, 0)
STATUS = b"/etcdserverpb.KV/Range"
RANGE = b"\0\0\0\0\x03\n\x01k"
PAGE_KIB = 1024


def first_words() -> tuple[ngh2.Connection, bytes]:
    engine = ngh2.Connection(ngh2.Role.CLIENT, ngh2.Configuration())
    engine.initiate_connection({ngh2.Setting.ENABLE_PUSH: 0})
    return engine, bytes(engine.data_to_send(1 << 16))


def call(whole: bool) -> bytes:
    """The first words and a call; not whole: its request never ends."""
    engine, words = first_words()
    headers = [
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", STATUS),
        (b":authority", b"localhost"),
        (b"content-type", b"application/grpc"),
        (b"te", b"trailers"),
    ]
    stream = engine.send_request(headers)
    engine.send_data(stream, RANGE if whole else RANGE[:6], end_stream=whole)
    return words + bytes(engine.data_to_send(1 << 16))


STAGES: tuple[bytes, ...] = (
    b"",
    first_words()[1],
    call(False),
    call(True),
    b"GET / HTTP/1.1\r\n\r\n",
)


def rss_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise ProcessLookupError(pid)


def burst(port: int, number: int) -> None:
    """Open some, say something, cut them: half of them by a reset."""
    opened = []
    for at in range(BURST):
        with contextlib.suppress(OSError):
            made = socket.create_connection(("127.0.0.1", port), timeout=5)
            opened.append(made)
            made.sendall(STAGES[(number + at) % len(STAGES)])
    for at, made in enumerate(opened):
        if at % 2:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NONE)
        with contextlib.suppress(OSError):
            if at % 3 == 0:
                made.settimeout(0.05)
                made.recv(256)
        made.close()


def churn(node: Node, seconds: float, say: Callable[[str], None]) -> list[int]:
    """Resident KiB at the start and after each part."""
    pid = node.pid() or 0
    sizes, count = [rss_kib(pid)], 0
    ports = node.ports.client, node.ports.peer
    for _ in range(PARTS):
        until = time.monotonic() + seconds / PARTS
        while time.monotonic() < until:
            burst(ports[count // BURST % 2], count // BURST)
            count += BURST
        time.sleep(0.2)  # what was cut last is closed
        sizes.append(rss_kib(pid))
        say(f"{count:>9,} connections opened and cut: {sizes[-1] / PAGE_KIB:.1f} MiB resident")
    return sizes


def idle(node: Node, count: int) -> float:
    """KiB of the node for each connection that has said its first words and nothing more."""
    pid = node.pid() or 0
    words, opened, before = first_words()[1], [], rss_kib(pid)
    try:
        for _ in range(count):
            made = socket.create_connection(("127.0.0.1", node.ports.client), timeout=5)
            made.sendall(words)
            opened.append(made)
        for made in opened:
            made.settimeout(5)
            made.recv(256)
        return (rss_kib(pid) - before) / count
    finally:
        for made in opened:
            made.close()


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.connections",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--seconds", type=float, default=120.0)
    add("--idle", type=int, default=1000, help="connections that do nothing (default 1000)")
    add("--most-mib", type=float, default=4.0, help="what the second half may add")
    add("--transport", default="h2", choices=["h2", "grpcio"])
    options = parser.parse_args(argv)
    base = BASE / "connections"
    remove_tree(base)
    cluster = Cluster(base, 1, {"transport": options.transport})
    try:
        cluster.start()
        node = cluster.nodes[0]
        sizes = churn(node, options.seconds, print)
        print(f"an idle connection: {idle(node, options.idle):.1f} KiB of the node")
        with cluster.client() as client:
            client.put("after", "all")
    finally:
        cluster.close()
        remove_tree(base)
    added = (sizes[-1] - sizes[PARTS // 2]) / PAGE_KIB
    print(f"the second half added {added:.1f} MiB (limit {options.most_mib:g})")
    return 1 if added > options.most_mib else 0


if __name__ == "__main__":
    sys.exit(main())
