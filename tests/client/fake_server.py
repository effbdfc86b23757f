"""A cluster for the client's tests: real gRPC servers in this process, one shared log without Raft.

Applying is the real thing (raftd.machine's sessions over its store), so a command that is done
twice, or an answer that is lost, shows. Everything else obeys the test: who leads, what a node says
about it, and a script of faults that the next frames meet, one each.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from raftd._pb import client_pb2 as pb
from raftd._pb.etcd_pb2 import WatchCreateRequest
from raftd.machine.kv.store import KvStore
from raftd.machine.protocol import MachineError, StateMachine
from raftd.machine.session_table import FORMAT_1
from raftd.machine.sessions import Sessions
from raftd.wire import batch
from raftd.wire.errors import WireError
from raftd.wire.leases import LEASE_RENEW
from raftd.wire.refusals import NOT_PRIMARY
from tests.client.fake_host import FakeHost, leads
from tests.client.fake_services import add_services
from tests.client.faults import Broken, Fault, failure_of
from tests.machine.answered import answered

HANG_STEP_SECONDS = 0.01
ELSEWHERE = (batch.MACHINE_ERROR, NOT_PRIMARY.encode())


class Tally:
    """A machine that remembers every command that it was given."""

    quick = True

    def __init__(self) -> None:
        self.seen: list[bytes] = []

    def apply(self, command: bytes) -> bytes:
        if command.startswith(b"bad"):
            raise MachineError("bad commands are refused")
        self.seen.append(command)
        if command.startswith(b"long"):
            return bytes(FORMAT_1.answer_bytes + 1)
        return b"%d:%b" % (len(self.seen), command)

    def query(self, request: bytes) -> bytes:
        if request.startswith(b"bad"):
            raise MachineError("bad queries are refused")
        if request.startswith(b"long"):
            return bytes(batch.QUERY_ANSWER_BYTES_MAX + 1)
        return b"%d" % len(self.seen)

    def capture(self) -> Iterator[bytes]:
        raise NotImplementedError

    def restore(self, reader: object) -> None:
        raise NotImplementedError


class Wordy(Tally):
    """Its answers are long: few of them fit in a session."""

    def apply(self, command: bytes) -> bytes:
        self.seen.append(command)
        return command * 20_000


class FakeCluster:
    """`nodes` servers on free ports of loopback; node n1 leads at first. A context manager."""

    def __init__(self, nodes: int = 3, machine: StateMachine | None = None) -> None:
        self.machine: Any = machine or KvStore()
        self.sessions = Sessions(self.machine)
        self.host = FakeHost(self)
        self.lock = threading.Lock()
        self.index = 0
        self.term = 1
        self.leader = "n1"
        self.entries: list[batch.Batch] = []
        self.nodes = {f"n{number}": FakeNode(self, f"n{number}") for number in range(1, nodes + 1)}

    def __enter__(self) -> FakeCluster:
        if isinstance(self.machine, KvStore):
            self.machine.attach(self.host)  # type: ignore[arg-type]
            self.machine.on_event(leads(self.term))
        for node in self.nodes.values():
            node.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.host.stop()
        for node in self.nodes.values():
            node.stop()

    @property
    def endpoints(self) -> list[str]:
        return [node.address for node in self.nodes.values()]

    def lead(self, node_id: str) -> None:
        with self.lock:
            self.leader = node_id
            self.term += 1

    def apply(self, payload: bytes) -> tuple[bytes, int, int]:
        with self.lock:
            self.index += 1
            self.entries.append(batch.decode_batch(payload))
            results = answered(self.sessions.apply_batch(self.index, self.term, payload))
            self.sessions.on_applied(self.index)
            return results, self.index, self.term

    def query(self, queries: list[bytes], *, leads: bool = True) -> tuple[bytes, int]:
        with self.lock:
            answers = [
                ELSEWHERE
                if query[:1] == bytes((LEASE_RENEW,)) and not leads
                else answered(self.sessions.query(query))
                for query in queries
            ]
            return batch.encode_results(answers), self.index

    def expire_sessions(self) -> None:
        """As if others had pushed them out."""
        with self.lock:
            self.sessions._sessions.clear()

    def executed(self) -> list[bytes]:
        """Of a Tally: every command that was executed, in order."""
        with self.lock:
            return list(self.machine.seen)

    def floors(self) -> list[int]:
        with self.lock:
            return [entry.floor for entry in self.entries if entry.kind == batch.IN_SESSION]


class FakeNode:
    """One server. hint: what it says about the leader, (id, address); None: the truth.

    member_faults: what the next changes of members meet; any but DROP_AFTER refuses for good.
    reads: it answers linearizable queries also while it follows. watches: what was asked to be
    watched. delay: called for every frame. door: may raise WireError for what it does not like.
    backup_lacks: bytes of its backup that never come.
    """

    def __init__(self, cluster: FakeCluster, node_id: str) -> None:
        self.cluster = cluster
        self.id = node_id
        self.port = 0
        self.faults: deque[Fault] = deque()
        self.open_faults: deque[Fault] = deque()
        self.member_faults: deque[Fault] = deque()
        self.hint: Callable[[], tuple[str, str]] | None = None
        self.advertised = ""
        self.frames = 0
        self.healthy = True
        self.problems: list[str] = []
        self.waiting_for: list[str] = []
        self.reads = False
        self.backup_lacks = 0
        self.can_watch = True
        self.watches: list[WatchCreateRequest] = []
        self.watch_faults: deque[Fault] = deque()
        self.delay: Callable[[], object] | None = None
        self.door: Callable[[bytes], None] = lambda payload: None
        self.stopping = threading.Event()
        self._server: grpc.Server | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def leads(self) -> bool:
        return self.cluster.leader == self.id

    def start(self) -> None:
        """Also again after `stop`, on the same port."""
        self.stopping.clear()
        pool = ThreadPoolExecutor(max_workers=32)
        options = [
            ("grpc.so_reuseport", 0),
            ("grpc.http2.min_recv_ping_interval_without_data_ms", 1000),
        ]
        server = self._server = grpc.server(pool, options=options)
        add_services(self, server)
        self.port = server.add_insecure_port(f"127.0.0.1:{self.port}")
        server.start()

    def stop(self) -> None:
        self.stopping.set()
        if self._server is not None:
            self._server.stop(None).wait(5)
            self._server = None

    def pointer(self) -> tuple[str, str]:
        """Id and address of the leader, as this node tells it."""
        if self.hint is not None:
            return self.hint()
        leader = self.cluster.nodes.get(self.cluster.leader)
        if leader is None:
            return "", ""
        return leader.id, leader.advertised or leader.address

    def not_leader(self) -> pb.Failure:
        leader_id, address = self.pointer()
        return pb.Failure(
            code=pb.NOT_LEADER if leader_id or address else pb.UNAVAILABLE,
            certainly_not_done=True,
            message=f"{self.id} is not the leader",
            leader_id=leader_id,
            leader_address=address,
        )

    def change(
        self, payload: bytes, context: grpc.ServicerContext, faults: deque[Fault]
    ) -> tuple[pb.Failure | None, bytes, int, int]:
        """A command's way through a node, with the next fault of the script."""
        if self.delay is not None:
            self.delay()
        fault = faults.popleft() if faults else None
        if not self.leads or fault is Fault.NOT_LEADER:
            return self.not_leader(), b"", 0, 0
        if fault is Fault.OVERLOADED:
            return failure_of(pb.OVERLOADED, "too many", certain=True), b"", 0, 0
        if fault is Fault.UNAVAILABLE:
            return failure_of(pb.UNAVAILABLE, "handing over", certain=True), b"", 0, 0
        if fault is Fault.UNKNOWN_BEFORE:
            return failure_of(pb.OUTCOME_UNKNOWN, "lost leadership", certain=False), b"", 0, 0
        if fault is Fault.DROP_BEFORE:
            raise Broken
        if fault is Fault.HANG_BEFORE:
            self.hang(context)
        try:
            batch.check_batch(payload)
            self.door(payload)
        except WireError as error:
            return failure_of(pb.INVALID, str(error), certain=True), b"", 0, 0
        results, index, term = self.cluster.apply(payload)
        if fault is Fault.UNKNOWN_AFTER:
            return failure_of(pb.OUTCOME_UNKNOWN, "lost leadership", certain=False), b"", 0, 0
        if fault is Fault.DROP_AFTER:
            raise Broken
        if fault is Fault.HANG_AFTER:
            self.hang(context)
        return None, results, index, term

    def hang(self, context: grpc.ServicerContext) -> None:
        while context.is_active() and not self.stopping.wait(HANG_STEP_SECONDS):
            pass
        raise Broken
