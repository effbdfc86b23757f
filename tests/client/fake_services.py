"""The gRPC services of the fake cluster: what a node's client port offers, with its script of
faults.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import grpc

from raftd._pb import admin_pb2, admin_pb2_grpc, client_pb2_grpc
from raftd._pb import client_pb2 as pb
from raftd.wire import batch
from tests.client.fake_watch import FakeWatch
from tests.client.faults import Broken, Fault, failure_of

if TYPE_CHECKING:
    from tests.client.fake_server import FakeNode


def add_services(node: FakeNode, server: grpc.Server) -> None:
    client_pb2_grpc.add_CommandsServicer_to_server(_Commands(node), server)
    admin_pb2_grpc.add_AdminServicer_to_server(_Admin(node), server)
    server.add_generic_rpc_handlers((_Health(node), FakeWatch(node)))


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
        linearizable = request.queries.consistency == pb.LINEARIZABLE
        if linearizable and not node.leads and not node.reads:
            return pb.PipelineReply(number=number, failure=node.not_leader())
        results, index = node.cluster.query(list(request.queries.query), leads=node.leads)
        return pb.PipelineReply(number=number, results=results, index=index)

    def OpenSession(
        self, request: pb.OpenSessionRequest, context: grpc.ServicerContext
    ) -> pb.OpenSessionReply:
        node = self._node
        answer = self._change(batch.encode_open(request.nonce), context, node.open_faults)
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
            code = pb.INVALID if status == batch.INVALID else pb.MACHINE_ERROR
            _abort(context, failure_of(code, answer.decode(), certain=True))
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
                batch.ANSWER_TOO_LONG: pb.DONE_ANSWER_TOO_LONG,
            }.get(status, pb.INVALID)
            certain = code != pb.DONE_ANSWER_TOO_LONG
            _abort(context, failure_of(code, answer.decode(), certain=certain))
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

    def LogLevel(
        self, request: admin_pb2.LogLevelRequest, context: grpc.ServicerContext
    ) -> admin_pb2.LogLevelReply:
        return admin_pb2.LogLevelReply(level=request.level or "info")

    def SnapshotNow(
        self, request: admin_pb2.SnapshotNowRequest, context: grpc.ServicerContext
    ) -> admin_pb2.SnapshotNowReply:
        return admin_pb2.SnapshotNowReply(index=self._node.cluster.index)

    def ChangeMember(
        self, request: admin_pb2.MemberRequest, context: grpc.ServicerContext
    ) -> admin_pb2.MemberReply:
        if not self._node.leads:
            _abort(context, self._node.not_leader())
        if self._node.member_faults:
            fault = self._node.member_faults.popleft()
            if fault is Fault.DROP_AFTER:
                context.abort(grpc.StatusCode.UNAVAILABLE, "the connection broke")
            _abort(context, failure_of(pb.INVALID, "it is one already", certain=True))
        return admin_pb2.MemberReply(index=7, term=3)

    def Backup(
        self, request: admin_pb2.BackupRequest, context: grpc.ServicerContext
    ) -> Iterator[admin_pb2.BackupReply]:
        data = b"the bytes of a snapshot"
        head = admin_pb2.BackupHead(
            cluster_id="c1",
            node_id=self._node.id,
            index=7,
            term=2,
            size_bytes=len(data) + self._node.backup_lacks,
            crc=zlib.crc32(data),
        )
        yield admin_pb2.BackupReply(head=head)
        yield admin_pb2.BackupReply(data=data[:10])
        yield admin_pb2.BackupReply(data=data[10:])

    def Transfer(
        self, request: admin_pb2.TransferRequest, context: grpc.ServicerContext
    ) -> admin_pb2.TransferReply:
        node, cluster = self._node, self._node.cluster
        if not node.leads:
            _abort(context, node.not_leader())
        target = request.target or next(peer for peer in cluster.nodes if peer != node.id)
        if target not in cluster.nodes:
            _abort(
                context, failure_of(pb.INVALID, f"target {target!r}: no such node", certain=True)
            )
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
