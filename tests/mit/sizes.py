"""How many bytes a message has on the wire: its protobuf form, envelope included."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from raftd._pb import raft_pb2 as pb
from raftd.core import messages as m
from raftd.rpc.peers import codec
from raftd.rpc.peers.codec_replies import encode_reply

if TYPE_CHECKING:
    from tests.sim.network import Call

_CLUSTER = "0" * 16

_ENCODE: dict[type, Any] = {
    m.VoteRequest: codec.encode_vote,
    m.AppendRequest: codec.encode_append,
    m.SnapshotRequest: codec.encode_snapshot,
    m.ReadIndexRequest: codec.encode_read_index,
    m.TimeoutNowRequest: codec.encode_timeout_now,
}
_REPLIES: dict[type, type[Any]] = {
    m.VoteRequest: pb.VoteReply,
    m.AppendRequest: pb.AppendReply,
    m.SnapshotRequest: pb.SnapshotReply,
    m.ReadIndexRequest: pb.ReadIndexReply,
    m.TimeoutNowRequest: pb.TimeoutNowReply,
}


def _envelope(call: Call) -> pb.Envelope:
    return pb.Envelope(
        cluster=_CLUSTER,
        sender=call.sender.node.name,
        sender_incarnation=call.sender.node.incarnation,
        addressee=call.peer,
        addressee_incarnation=call.to_incarnation or "",
    )


def of_request(request: m.Request, call: Call) -> int:
    """A Hello counts nothing: the labs know none."""
    if isinstance(request, m.HelloRequest):
        return 0
    return int(_ENCODE[type(request)](request, _envelope(call)).ByteSize())


def of_reply(reply: m.Reply, call: Call) -> int:
    if isinstance(call.request, m.HelloRequest):
        return 0
    kind = _REPLIES[type(call.request)]
    return int(encode_reply(reply, call.request.number, _envelope(call), kind).ByteSize())
