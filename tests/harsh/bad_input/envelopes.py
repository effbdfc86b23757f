"""Messages between nodes, forged: with envelopes that are right, wrong, or nearly right."""

from __future__ import annotations

import zlib
from struct import pack
from typing import Any

import grpc

from harness.nodes import Node
from raftd._pb import raft_pb2 as pb
from tests.harsh.bad_input.conftest import Live, failure

ENVELOPE_KEY = "raftd-envelope-bin"
REPLIES: dict[str, Any] = {
    "RequestVote": pb.VoteReply,
    "Heartbeat": pb.AppendReply,
    "InstallSnapshot": pb.SnapshotReply,
    "ReadIndex": pb.ReadIndexReply,
    "TimeoutNow": pb.TimeoutNowReply,
    "Probe": pb.ProbeReply,
    "Hello": pb.HelloReply,
}
REQUESTS: dict[str, Any] = {
    "RequestVote": pb.VoteRequest,
    "Heartbeat": pb.AppendRequest,
    "InstallSnapshot": pb.SnapshotRequest,
    "ReadIndex": pb.ReadIndexRequest,
    "TimeoutNow": pb.TimeoutNowRequest,
    "Probe": pb.ProbeRequest,
}


def envelope(live: Live, sender: Node, addressee: Node, /, **changed: str) -> pb.Envelope:
    """As `sender` itself would make it, but for `changed` fields."""
    fields = {
        "cluster": live.cluster_id(),
        "sender": sender.id,
        "sender_incarnation": live.incarnation(sender),
        "addressee": addressee.id,
        "addressee_incarnation": live.incarnation(addressee),
        **changed,
    }
    made = pb.Envelope()
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def send(node: Node, method: str, message: Any) -> Any:
    """One unary call to the node's peer port. Raises grpc.RpcError."""
    with grpc.insecure_channel(f"127.0.0.1:{node.ports.peer}") as to:
        call = to.unary_unary(
            f"/raftd.raft.v1.Raft/{method}",
            request_serializer=type(message).SerializeToString,
            response_deserializer=REPLIES[method].FromString,
        )
        return call(message, timeout=5)


def refusal(node: Node, method: str, message: Any) -> tuple[grpc.StatusCode, str]:
    """What the node says instead of an answer; OK and "" if it answers."""
    try:
        send(node, method, message)
    except grpc.RpcError as error:
        return failure(error)
    return grpc.StatusCode.OK, ""


def append_on_stream(
    node: Node, opened: pb.Envelope | bytes | None, *messages: pb.AppendRequest
) -> tuple[grpc.StatusCode, str]:
    """How an append stream ends; OK if every message was answered."""
    raw = opened.SerializeToString() if isinstance(opened, pb.Envelope) else opened
    metadata = ((ENVELOPE_KEY, raw),) if raw is not None else ()
    with grpc.insecure_channel(f"127.0.0.1:{node.ports.peer}") as to:
        call = to.stream_stream(
            "/raftd.raft.v1.Raft/AppendEntries",
            request_serializer=pb.AppendRequest.SerializeToString,
            response_deserializer=pb.AppendReply.FromString,
        )
        try:
            list(call(iter(messages), metadata=metadata, timeout=5))
        except grpc.RpcError as error:
            return failure(error)
    return grpc.StatusCode.OK, ""


def with_entries(message: pb.AppendRequest, *entries: tuple[int, int, bytes]) -> pb.AppendRequest:
    """`message` with (term, type, payload) entries and their checksum, right for what they are."""
    for term, kind, payload in entries:
        message.entry_terms.append(term)
        message.entry_types.append(kind)  # type: ignore[arg-type]
        message.entry_payloads.append(payload)
    numbers = [message.term, message.prev_index]
    numbers += [term for term, _, _ in entries]
    numbers += [kind for _, kind, _ in entries]
    numbers += [len(payload) for _, _, payload in entries]
    crc = zlib.crc32(pack(f"<{len(numbers)}Q", *numbers))
    for _, _, payload in entries:
        crc = zlib.crc32(payload, crc)
    message.entries_crc = crc
    return message
