"""Strangers at the ports of a secured cluster, while one good client writes: what do they cost it?

python -m scripts.strangers                          10,000 garbage connections, 1,000 idle ones
python -m scripts.strangers --garbage 500 --idle 50  a small form; --transport h2

Beside them: a flood of watches (harness.watch_flood.py) and readers that ask for much and read
nothing (both with a client's certificate), and peers that are none (without a certificate, with a
client's, with another node's). Promised: no election, no failed call, p99 of the good client's puts
at most 3 times that of without, memory bounded.
Prints what it found; exit code 1 if a promise was broken.
"""

from __future__ import annotations

import argparse
import contextlib
import resource
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from bench.facts import percentile, resident_bytes
from harness.certificates import certificates, client_files, hand_out
from harness.cluster import Cluster
from harness.nodes import ROOT, Node, NodeTrouble
from raftd.client import Client, RaftdError
from raftd.tls.contexts import client_context, grpc_channel
from raftd.tls.files import TlsFiles
from raftd.tls.names import node_name
from scripts.frames import PREFACE, field, questions

P99_TIMES_MAX = 3.0
RESIDENT_GROWTH_MAX = 200 << 20
VALUES, VALUE_BYTES = 100, 10_000
SLOW_READERS = 4
PUTS_MIN = 20
WATCHES = 8_000
SECONDS_MAX = 300.0
BATCH = 25
"""So many garbage connections between two pauses: the machine has to serve the others, too."""
PAUSE_SECONDS = 0.02


@dataclass
class Found:
    """One run. Times: ms of a put, p99; bytes: the largest node's."""

    alone_ms: float
    beside_ms: float
    puts: int
    failed: int
    elections: int
    resident_before: int
    resident_peak: int
    refused_peers: int
    heard_peers: int
    flood_code: int

    def broken(self, judge_times: bool = True) -> list[str]:
        """The promises that were not kept."""
        growth = self.resident_peak - self.resident_before
        wrong = {
            f"{self.failed} of {self.puts} good calls failed": bool(self.failed),
            f"{self.elections} elections": bool(self.elections),
            f"{self.heard_peers} calls of false peers were answered": bool(self.heard_peers),
            "the flood of watches was not served: see above": bool(self.flood_code),
            "no false peer was refused": not self.refused_peers,
            f"memory grew by {growth >> 20} MiB": growth > RESIDENT_GROWTH_MAX,
            f"p99 {self.beside_ms:.1f} ms beside {self.alone_ms:.1f} ms alone": judge_times
            and self.beside_ms > P99_TIMES_MAX * self.alone_ms,
        }
        return [text for text, is_so in wrong.items() if is_so]

    def told(self) -> str:
        return (
            f"p99 of a put: {self.alone_ms:.1f} ms alone, {self.beside_ms:.1f} ms beside them "
            f"({self.beside_ms / self.alone_ms:.1f} times); {self.puts} puts, {self.failed} failed"
            f"; {self.elections} elections; resident {self.resident_before >> 20} MiB before, "
            f"{self.resident_peak >> 20} MiB at most; {self.refused_peers} calls of false peers "
            f"refused, {self.heard_peers} answered"
        )


def main(argv: Sequence[str] | None = None) -> int:
    made = argparse.ArgumentParser(
        prog="python -m scripts.strangers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--garbage", type=int, default=10_000, metavar="N")
    made.add_argument("--idle", type=int, default=1_000, metavar="N")
    made.add_argument("--watches", type=int, default=WATCHES, metavar="N")
    made.add_argument("--transport", choices=("grpcio", "h2"), default="h2")
    arguments = made.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="strangers-") as base:
        try:
            counts = arguments.garbage, arguments.idle, arguments.watches
            found = run(Path(base), *counts, arguments.transport)
        except NodeTrouble as error:
            print(f"strangers: {error}", file=sys.stderr)
            return 1
    print(f"{arguments.transport}: {found.told()}")
    for text in found.broken():
        print(f"BROKEN: {text}")
    return 1 if found.broken() else 0


def run(base: Path, garbage: int, idle: int, watches: int, transport: str) -> Found:
    """Three nodes with TLS and a secret; then all strangers at once. Raises NodeTrouble."""
    cluster = Cluster(base / "nodes", 3)
    settings = certificates(base / "tls", cluster.nodes)
    cluster.configure(
        {"log_format": "json", "cluster_token": "test", "transport": transport, **settings}
    )
    hand_out(base / "tls", cluster.nodes)
    files = client_files(base / "tls")
    try:
        cluster.start()
        client = cluster.client(ca=files.ca, cert=files.cert, key=files.key, transport=transport)
        for number in range(VALUES):
            client.put(b"big/%d" % number, bytes(VALUE_BYTES))
        return _measured(cluster, client, files, garbage, idle, watches)
    finally:
        cluster.close()


def _measured(
    cluster: Cluster, client: Client, files: TlsFiles, garbage: int, idle: int, watches: int
) -> Found:
    term, before = cluster.term(), _resident(cluster)
    alone = Putter(client)
    with alone:
        time.sleep(min(5.0, 1.0 + garbage / 2000))  # as long as is measured beside them, or so
    beside, peak = Putter(client), before
    with contextlib.ExitStack() as stack:
        stack.enter_context(idle_connections(cluster.nodes, idle))
        stack.enter_context(slow_readers(cluster.nodes, files))
        peers = stack.enter_context(FalsePeers(cluster, files))
        ports = ",".join(
            str(port) for node in cluster.nodes for port in (node.ports.client, node.ports.peer)
        )
        thrown = subprocess.Popen([sys.executable, "-c", GARBAGE, str(garbage), ports], cwd=ROOT)
        flood = subprocess.Popen(
            [
                *(sys.executable, "-m", "harness.watch_flood", str(watches)),
                ",".join(str(node.ports.client) for node in by_leader(cluster)),
                *(files.ca, files.cert, files.key),
            ],
            cwd=ROOT,
        )
        for process in (thrown, flood):
            stack.callback(process.wait)
            stack.callback(process.kill)
        with beside:
            limit = time.monotonic() + SECONDS_MAX
            while (
                None in (thrown.poll(), flood.poll())
                or peers.tried < 6
                or len(beside.times) < PUTS_MIN
            ):
                if time.monotonic() > limit:
                    raise NodeTrouble(f"not done within {SECONDS_MAX:g} s")
                peak = max(peak, _resident(cluster))
                time.sleep(0.1)
    return Found(
        alone.p99_ms, beside.p99_ms, len(beside.times), beside.failed, cluster.term() - term,
        before, max(peak, _resident(cluster)), peers.refused, peers.heard, flood.returncode,
    )  # fmt: skip


def by_leader(cluster: Cluster) -> list[Node]:
    """The leader first."""
    return [cluster.leader(), *cluster.followers()]


def _resident(cluster: Cluster) -> int:
    return max(resident_bytes(pid) for node in cluster.nodes if (pid := node.pid()))


class Putter:
    """A thread that puts, one after the other, and writes down how long each took."""

    def __init__(self, client: Client) -> None:
        self.times: list[float] = []
        self.failed = 0
        self._client = client
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(60)

    def _run(self) -> None:
        while not self._over.is_set():
            begun = time.perf_counter()
            try:
                self._client.put(b"good/%d" % (len(self.times) % 100), b"x" * 64)
            except RaftdError:
                self.failed += 1
            self.times.append(time.perf_counter() - begun)
            self._over.wait(0.002)

    @property
    def p99_ms(self) -> float:
        return 1000 * percentile(sorted(self.times), 0.99)


GARBAGE = f"""
import random, socket, sys, time
draw, ports = random.Random(1), [int(port) for port in sys.argv[2].split(",")]
kinds = [bytes(300), draw.randbytes(5000), b"GET / HTTP/1.1\\r\\n\\r\\n",
         {PREFACE!r} + draw.randbytes(2000), {PREFACE[:11]!r},
         b"\\x16\\x03\\x01\\x02\\x00\\x01" + draw.randbytes(500)]
for number in range(int(sys.argv[1])):
    try:
        with socket.create_connection(("127.0.0.1", draw.choice(ports)), 5) as made:
            made.sendall(draw.choice(kinds))
    except OSError:
        pass
    if number % {BATCH} == 0:
        time.sleep({PAUSE_SECONDS})
"""
"""A process of its own: its time is not the good client's."""


@contextlib.contextmanager
def idle_connections(nodes: Sequence[Node], count: int) -> Iterator[None]:
    """Open, and nothing is said."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 16_384), hard))
    ports = [port for node in nodes for port in (node.ports.client, node.ports.peer)]
    with contextlib.ExitStack() as stack:
        for number in range(count):
            where = "127.0.0.1", ports[number % len(ports)]
            stack.enter_context(socket.create_connection(where, 5))
        yield


@contextlib.contextmanager
def slow_readers(nodes: Sequence[Node], files: TlsFiles) -> Iterator[None]:
    """With a good certificate: they ask for the largest answers there are, and read none."""
    context = client_context(files)
    with contextlib.ExitStack() as stack:
        for number in range(SLOW_READERS):
            plain = socket.create_connection(
                ("127.0.0.1", nodes[number % len(nodes)].ports.client), 5
            )
            made = stack.enter_context(context.wrap_socket(plain, server_hostname="localhost"))
            with contextlib.suppress(OSError):  # it may be cut while it asks
                made.sendall(questions())
        yield


class FalsePeers:
    """Heartbeats of a high term from who is no peer: without certificate, with a client's, and with
    that of another node than the one that they name. A thread.
    """

    def __init__(self, cluster: Cluster, files: TlsFiles) -> None:
        self.refused = self.heard = self.tried = 0
        leader, other = cluster.leader(), cluster.followers()[0]
        directory = Path(files.ca).parent
        own = TlsFiles(
            "", str(directory / f"{other.id}.crt"), str(directory / f"{other.id}.key"), files.ca
        )
        self._shown = (TlsFiles("", ca=files.ca), files, own)
        self._target = leader
        third = next(node for node in cluster.nodes if node not in (leader, other))
        self._named = third.id
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> FalsePeers:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(30)

    def _run(self) -> None:
        while not self._over.is_set():
            for files in self._shown:
                self._speak(files)
            self._over.wait(0.2)

    def _speak(self, files: TlsFiles) -> None:
        options = [
            ("grpc.ssl_target_name_override", node_name(self._target.id)),
            ("grpc.use_local_subchannel_pool", 1),
        ]
        address = f"127.0.0.1:{self._target.ports.peer}"
        said = ("x" * 16, self._named, "guess", self._target.id, "guess")
        envelope = b"".join(field(number, text.encode()) for number, text in enumerate(said, 1))
        heartbeat = field(1, envelope) + b"\x18\xc0\x84\x3d"  # term 1,000,000
        with grpc.secure_channel(address, grpc_channel(files), options) as channel:
            call: Any = channel.unary_unary("/raftd.raft.v1.Raft/Heartbeat")
            try:
                call(heartbeat, timeout=5)
                self.heard += 1
            except grpc.RpcError:
                self.refused += 1
        self.tried += 1


if __name__ == "__main__":
    sys.exit(main())
