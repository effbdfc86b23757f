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
from enum import Enum
from typing import Any

import raftd.grpc_env  # noqa: F401 - its switches must be set before grpc is loaded

import grpc  # isort: skip

from raftd._pb import admin_pb2, admin_pb2_grpc, client_pb2_grpc
from raftd._pb import client_pb2 as pb
from raftd.machine.kv.store import KvStore
from raftd.machine.protocol import MachineError, StateMachine
from raftd.machine.sessions import Sessions
from raftd.wire import batch, kv
from raftd.wire.errors import WireError

HANG_STEP_SECONDS = 0.01


class Fault(Enum):
    """What happens to one frame or call."""

    OVERLOADED = "overloaded"
    UNAVAILABLE = "unavailable"
    UNKNOWN_BEFORE = "answered as unknown, never applied"
    UNKNOWN_AFTER = "answered as unknown, applied"
    DROP_BEFORE = "stream broken, never applied"
    DROP_AFTER = "stream broken, applied"
    HANG_AFTER = "applied, no answer ever"
    HANG_BEFORE = "not applied, no answer ever"
    NOT_LEADER = "refused, with this node's hint"


class Broken(Exception):
    """Ends a stream."""


class Tally:
    """A machine that remembers every command that it was given."""

    quick = True

    def __init__(self) -> None:
        self.seen: list[bytes] = []

    def apply(self, command: bytes) -> bytes:
        if command.startswith(b"bad"):
            raise MachineError("bad commands are refused")
        self.seen.append(command)
        return b"%d:%b" % (len(self.seen), command)

    def query(self, request: bytes) -> bytes:
        if request.startswith(b"bad"):
            raise MachineError("bad queries are refused")
        return b"%d" % len(self.seen)

    def capture(self) -> Iterator[bytes]:
        raise NotImplementedError

    def restore(self, reader: object) -> None:
        raise NotImplementedError


class FakeCluster:
    """`nodes` servers on free ports of loopback; node n1 leads at first. A context manager."""

    def __init__(self, nodes: int = 3, machine: StateMachine | None = None) -> None:
        self.machine: Any = machine or KvStore()
        self.sessions = Sessions(self.machine)
        self.lock = threading.Lock()
        self.index = 0
        self.term = 1
        self.leader = "n1"
        self.entries: list[batch.Batch] = []
        self.nodes = {f"n{number}": FakeNode(self, f"n{number}") for number in range(1, nodes + 1)}

    def __enter__(self) -> FakeCluster:
        for node in self.nodes.values():
            node.start()
        return self

    def __exit__(self, *_: object) -> None:
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
            return self.sessions.apply_batch(self.index, self.term, payload), self.index, self.term

    def query(self, queries: list[bytes]) -> tuple[bytes, int]:
        with self.lock:
            return batch.encode_results(
                [self.sessions.query(query) for query in queries]
            ), self.index

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

    delay: called for every frame. door: may raise WireError for what it does not like.
    """

    def __init__(self, cluster: FakeCluster, node_id: str) -> None:
        self.cluster = cluster
        self.id = node_id
        self.port = 0
        self.faults: deque[Fault] = deque()
        self.open_faults: deque[Fault] = deque()
        self.hint: Callable[[], tuple[str, str]] | None = None
        self.advertised = ""
        self.frames = 0
        self.healthy = True
        self.problems: list[str] = []
        self.waiting_for: list[str] = []
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
        client_pb2_grpc.add_CommandsServicer_to_server(_Commands(self), server)
        admin_pb2_grpc.add_AdminServicer_to_server(_Admin(self), server)
        server.add_generic_rpc_handlers((_Health(self),))
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
            return _failure(pb.OVERLOADED, "too many", certain=True), b"", 0, 0
        if fault is Fault.UNAVAILABLE:
            return _failure(pb.UNAVAILABLE, "handing over", certain=True), b"", 0, 0
        if fault is Fault.UNKNOWN_BEFORE:
            return _failure(pb.OUTCOME_UNKNOWN, "lost leadership", certain=False), b"", 0, 0
        if fault is Fault.DROP_BEFORE:
            raise Broken
        if fault is Fault.HANG_BEFORE:
            self.hang(context)
        try:
            batch.check_batch(payload)
            self.door(payload)
        except WireError as error:
            return _failure(pb.INVALID, str(error), certain=True), b"", 0, 0
        results, index, term = self.cluster.apply(payload)
        if fault is Fault.UNKNOWN_AFTER:
            return _failure(pb.OUTCOME_UNKNOWN, "lost leadership", certain=False), b"", 0, 0
        if fault is Fault.DROP_AFTER:
            raise Broken
        if fault is Fault.HANG_AFTER:
            self.hang(context)
        return None, results, index, term

    def hang(self, context: grpc.ServicerContext) -> None:
        while context.is_active() and not self.stopping.wait(HANG_STEP_SECONDS):
            pass
        raise Broken


def _failure(code: pb.FailureCode, message: str, *, certain: bool) -> pb.Failure:
    return pb.Failure(code=code, certainly_not_done=certain, message=message)


def _abort(context: grpc.ServicerContext, failure: pb.Failure) -> None:
    context.set_trailing_metadata((("raftd-failure-bin", failure.SerializeToString()),))
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, failure.message)


class _Commands(client_pb2_grpc.CommandsServicer):
    def __init__(self, node: FakeNode) -> None:
        self._node = node

    def Pipeline(
        self, requests: Iterator[pb.PipelineRequest], context: grpc.ServicerContext
    ) -> Iterator[pb.PipelineReply]:
        node = self._node
        try:
            for request in requests:
                node.frames += 1
                if request.HasField("queries"):
                    yield self._queries(request, context)
                    continue
                failure, results, index, term = node.change(request.batch, context, node.faults)
                yield pb.PipelineReply(
                    number=request.number, failure=failure, results=results, index=index, term=term
                )
        except Broken:
            context.abort(grpc.StatusCode.UNAVAILABLE, "the connection broke")

    def _queries(
        self, request: pb.PipelineRequest, context: grpc.ServicerContext
    ) -> pb.PipelineReply:
        node = self._node
        number = request.number
        fault = node.faults.popleft() if node.faults else None
        if fault in (Fault.DROP_AFTER, Fault.DROP_BEFORE):
            raise Broken
        if fault in (Fault.HANG_AFTER, Fault.HANG_BEFORE):
            node.hang(context)
        if request.queries.consistency == pb.LINEARIZABLE and not node.leads:
            return pb.PipelineReply(number=number, failure=node.not_leader())
        results, index = node.cluster.query(list(request.queries.query))
        return pb.PipelineReply(number=number, results=results, index=index)

    def OpenSession(
        self, request: pb.OpenSessionRequest, context: grpc.ServicerContext
    ) -> pb.OpenSessionReply:
        node = self._node
        answer = self._change(batch.encode_open(), context, node.open_faults)
        return pb.OpenSessionReply(session=batch.decode_session(answer))

    def CloseSession(
        self, request: pb.CloseSessionRequest, context: grpc.ServicerContext
    ) -> pb.CloseSessionReply:
        self._change(batch.encode_close(request.session), context, deque())
        return pb.CloseSessionReply()

    def Submit(self, request: pb.SubmitRequest, context: grpc.ServicerContext) -> pb.SubmitReply:
        session = request.session
        payload = batch.encode_batch(session.id, session.floor, [(session.seq, request.command)])
        return pb.SubmitReply(result=self._change(payload, context, self._node.faults))

    def Query(self, request: pb.QueryRequest, context: grpc.ServicerContext) -> pb.QueryReply:
        node = self._node
        if request.consistency == pb.LINEARIZABLE and not node.leads:
            _abort(context, node.not_leader())
        results, index = node.cluster.query([request.query])
        status, answer = batch.decode_results(results)[0]
        if status != batch.OK:
            _abort(context, _failure(pb.MACHINE_ERROR, answer.decode(), certain=True))
        return pb.QueryReply(result=answer, applied_index=index)

    def _change(self, payload: bytes, context: grpc.ServicerContext, faults: deque[Fault]) -> bytes:
        try:
            failure, results, _, _ = self._node.change(payload, context, faults)
        except Broken:
            context.abort(grpc.StatusCode.UNAVAILABLE, "the connection broke")
            raise
        if failure is not None:
            _abort(context, failure)
        status, answer = batch.decode_results(results)[0]
        if status != batch.OK:
            code = {
                batch.MACHINE_ERROR: pb.MACHINE_ERROR,
                batch.SESSION_EXPIRED: pb.SESSION_EXPIRED,
                batch.SEQ_STALE: pb.SEQUENCE_STALE,
            }.get(status, pb.INVALID)
            _abort(context, _failure(code, answer.decode(), certain=True))
        return answer


class _Admin(admin_pb2_grpc.AdminServicer):
    def __init__(self, node: FakeNode) -> None:
        self._node = node

    def Status(
        self, request: admin_pb2.StatusRequest, context: grpc.ServicerContext
    ) -> admin_pb2.StatusReply:
        node, cluster = self._node, self._node.cluster
        leader_id, leader_address = node.pointer()
        peers = [
            admin_pb2.PeerStatus(id=peer, match=cluster.index, contact_age_seconds=0.01, voter=True)
            for peer in cluster.nodes
            if peer != node.id
        ]
        return admin_pb2.StatusReply(
            cluster_id="fake",
            node_id=node.id,
            version="0",
            role="leader" if node.leads else "follower",
            term=cluster.term,
            leader_id=leader_id,
            leader_address=leader_address,
            last_index=cluster.index,
            durable_index=cluster.index,
            commit_index=cluster.index,
            applied_index=cluster.index,
            admitted=not node.waiting_for,
            waiting_for=node.waiting_for,
            peers=peers if node.leads else [],
            client_address=node.advertised or node.address,
            healthy=node.healthy,
            problems=node.problems,
        )

    def Digest(
        self, request: admin_pb2.DigestRequest, context: grpc.ServicerContext
    ) -> admin_pb2.DigestReply:
        return admin_pb2.DigestReply(applied_index=self._node.cluster.index, digest=b"\x01\x02")

    def Events(
        self, request: admin_pb2.EventsRequest, context: grpc.ServicerContext
    ) -> Iterator[admin_pb2.EventReply]:
        yield admin_pb2.EventReply(number=1, kind="became_leader", term=1, role="leader")
        yield admin_pb2.EventReply(
            number=4, kind="term_changed", term=2, role="follower", detail="x"
        )

    def SnapshotNow(
        self, request: admin_pb2.SnapshotNowRequest, context: grpc.ServicerContext
    ) -> admin_pb2.SnapshotNowReply:
        return admin_pb2.SnapshotNowReply(index=self._node.cluster.index)

    def Transfer(
        self, request: admin_pb2.TransferRequest, context: grpc.ServicerContext
    ) -> admin_pb2.TransferReply:
        node, cluster = self._node, self._node.cluster
        if not node.leads:
            _abort(context, node.not_leader())
        target = request.target or next(peer for peer in cluster.nodes if peer != node.id)
        if target not in cluster.nodes:
            _abort(context, _failure(pb.INVALID, f"target {target!r}: no such node", certain=True))
        cluster.lead(target)
        return admin_pb2.TransferReply(leader_id=target, term=cluster.term)


class _Health(grpc.GenericRpcHandler):
    def __init__(self, node: FakeNode) -> None:
        self._node = node

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        if details.method != "/grpc.health.v1.Health/Check":
            return None
        return grpc.unary_unary_rpc_method_handler(
            lambda request, context: b"\x08\x01" if self._node.healthy else b"\x08\x02"
        )


def put_bytes(key: bytes, value: bytes) -> bytes:
    """A command of the built-in store, for tests that speak bytes."""
    return kv.encode_put(key, value)
