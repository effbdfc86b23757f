"""The labs' controls over daemons on loopback, with a proxy on every edge between them.

A disconnected server keeps running and can still be asked to start a command, as in the labs: tests
talk to each node's own client port, past the proxies. A blocked edge swallows what is sent; when it
opens, its old connections die. A command is a put under a key of its own, and a node has applied it
when its own, stale state shows the key. Time limits are the labs' times SCALE.
"""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import grpc

from harness.nodes import wait_until
from harness.proxied import CLIENTS, ProxiedCluster
from raftd._pb import client_pb2 as pb
from raftd._pb import client_pb2_grpc
from raftd.wire import kv
from tests.mit.helpers import LEADER_ROUNDS, ONE_PAUSE, ONE_POLL, ONE_SECONDS, ONE_WAIT
from tests.mit.lab import ELECTION_SECONDS

SCALE = 3.0
START_SECONDS = 0.5
"""A node that does not lead refuses within so much; one that takes the command may answer later."""
READ_SECONDS = 2.0
SMALL = {"snapshot_entries": "300", "keep_entries": "60", "segment_bytes": "256KiB"}

Key = bytes


class RealLab:
    """with RealLab(directory, 3) as lab: ... One thread, but for `start`."""

    def __init__(
        self, base: Path, servers: int, seed: int = 1, settings: Mapping[str, str] | None = None
    ) -> None:
        self.cluster = ProxiedCluster(base, servers, {**SMALL, **(settings or {})}, seed=seed)
        self.servers = range(servers)
        self.connected = [True] * servers
        self.rng = random.Random(seed)
        self._channels: dict[int, grpc.Channel] = {}
        self._open: list[Any] = []
        self._keys = 0

    def __enter__(self) -> RealLab:
        try:
            self.cluster.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None:
            for node in self.cluster.nodes:
                error.add_note(f"--- {node.id}\n{node.log_tail(25)}")
        self.close()

    def close(self) -> None:
        for future in self._open:
            future.cancel()
        for channel in self._channels.values():
            channel.close()
        self.cluster.close()

    # servers

    def is_up(self, server: int) -> bool:
        return self.cluster.nodes[server].pid() is not None

    def crash(self, server: int) -> None:
        """kill -9."""
        self.cluster.nodes[server].kill()
        channel = self._channels.pop(server, None)
        if channel is not None:
            channel.close()

    def restart(self, *servers: int) -> None:
        """Start, and wait until each has opened its disk and its ports."""
        for server in servers:
            if self.is_up(server):
                self.crash(server)
            self.cluster.nodes[server].start()
        nodes = [self.cluster.nodes[server] for server in servers]
        wait_until(
            lambda: all(node.http("/livez")[0] == 200 for node in nodes), 60, "a restart", nodes
        )

    def connect(self, *servers: int) -> None:
        for server in servers:
            self.connected[server] = True
        self._relink()

    def disconnect(self, *servers: int) -> None:
        for server in servers:
            self.connected[server] = False
        self._relink()

    def _relink(self) -> None:
        self.partition([[s for s in self.servers if self.connected[s]]])

    def partition(self, sides: Iterable[Iterable[int]]) -> None:
        names = [[self.cluster.nodes[server].id for server in side] for side in sides]
        together = {(a, b) for side in names for a in side for b in side}
        for edge in self.cluster.peer_edges():
            if (edge.source, edge.target) not in together:
                edge.block()
            elif edge.blocked:
                edge.open(cut=True)

    def role(self, server: int) -> tuple[int, bool]:
        node = self.cluster.nodes[server]
        term = node.metric("raftd_term") or 0
        return int(term), node.metric("raftd_is_leader") == 1

    # commands

    def _stub(self, server: int) -> Any:
        channel = self._channels.get(server)
        if channel is None:
            channel = self._channels[server] = grpc.insecure_channel(
                self.cluster.nodes[server].client_address,
                options=[("grpc.enable_retries", 0), ("grpc.max_reconnect_backoff_ms", 200)],
            )
        return client_pb2_grpc.CommandsStub(channel)  # type: ignore[no-untyped-call, unused-ignore]

    def fresh(self) -> Key:
        self._keys += 1
        return b"c/%06d" % self._keys

    def start_command(self, server: int, key: Key) -> bool:
        """Whether it took the command: it answered, or it has not refused in START_SECONDS."""
        if not self.is_up(server):
            return False
        request = pb.SubmitRequest(command=kv.encode_put(key, key))
        future = self._stub(server).Submit.future(request, timeout=60)
        self._open.append(future)
        try:
            future.result(timeout=START_SECONDS)
        except grpc.FutureTimeoutError:
            return True
        except grpc.RpcError:
            return False
        return True

    def start_many(self, server: int, count: int) -> None:
        """Commands at once; nobody waits for them."""
        for _ in range(count):
            key = self.fresh()
            request = pb.SubmitRequest(command=kv.encode_put(key, key))
            future = self._stub(server).Submit.future(request, timeout=60)
            self._open.append(future)

    def has_applied(self, server: int, key: Key) -> bool:
        """In this server's own applied state; False if it cannot be asked."""
        if not self.is_up(server):
            return False
        request = pb.QueryRequest(query=kv.encode_get(key), consistency=pb.STALE)
        try:
            reply = self._stub(server).Query(request, timeout=READ_SECONDS)
        except grpc.RpcError:
            return False
        found = kv.decode_get(reply.result)[1]
        return found is not None and found.value == key

    def applied_by(self, key: Key) -> int:
        return sum(self.has_applied(server, key) for server in self.servers)

    # helpers with the labs' meaning

    def check_one_leader(self) -> int:
        for _ in range(int(LEADER_ROUNDS * SCALE)):
            time.sleep(0.450 + self.rng.randrange(100) / 1000)
            leaders: dict[int, list[int]] = defaultdict(list)
            for server in self.servers:
                if self.connected[server] and self.is_up(server):
                    term, leads = self.role(server)
                    if leads:
                        leaders[term].append(server)
            for term, found in leaders.items():
                assert len(found) == 1, f"term {term} has leaders {found}"
            if leaders:
                return leaders[max(leaders)][0]
        raise AssertionError("expected one leader, got none")

    def check_no_leader(self) -> None:
        for server in self.servers:
            if self.connected[server]:
                assert not self.role(server)[1], f"server {server} leads without a majority"

    def terms(self) -> set[int]:
        return {self.role(server)[0] for server in self.servers if self.connected[server]}

    def one(self, servers: int, *, retry: bool = True) -> Key:
        key, began = self.fresh(), time.monotonic()
        while time.monotonic() - began < ONE_SECONDS * SCALE:
            if not any(self.connected[s] and self.start_command(s, key) for s in self.servers):
                time.sleep(ONE_PAUSE)
                continue
            attempt = time.monotonic()
            while time.monotonic() - attempt < ONE_WAIT * SCALE:
                if self.applied_by(key) >= servers:
                    return key
                time.sleep(ONE_POLL)
            assert retry, f"{key!r} found no agreement"
        raise AssertionError(f"{key!r} found no agreement in {ONE_SECONDS * SCALE:g} s")

    def wait_applied(self, key: Key, servers: int) -> None:
        wait_until(
            lambda: self.applied_by(key) >= servers,
            ONE_SECONDS * SCALE,
            f"{servers} servers to apply {key!r}",
            self.cluster.nodes,
        )

    def sleep_elections(self, count: float) -> None:
        """A pause in which nothing may happen, or anything: not a wait for something."""
        time.sleep(count * ELECTION_SECONDS)

    def client_edges(self, servers: Iterable[int]) -> list[Any]:
        return [self.cluster.edge(CLIENTS, self.cluster.nodes[s].id) for s in servers]
