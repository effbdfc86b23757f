"""Every message through the bytes in which it travels: what the codec refuses or changes is lost.

The simulated network carries the core's own objects. A message that the peers' codec does not take,
or takes for another one, would be sent again and again, for ever.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from raftd._pb import raft_pb2 as pb
from raftd.core import messages as m
from raftd.core.types import Identity, NodeId
from raftd.rpc.peers import codec, codec_replies
from raftd.rpc.peers.checks import Rejected

ABOUT = pb.About(protocol=1, protocol_oldest=1)

_OUT: dict[type[Any], tuple[Callable[..., Any], type[Any], Callable[..., Any]]] = {
    m.VoteRequest: (codec.encode_vote, pb.VoteRequest, codec.decode_vote),
    m.SnapshotRequest: (codec.encode_snapshot, pb.SnapshotRequest, codec.decode_snapshot),
    m.ReadIndexRequest: (codec.encode_read_index, pb.ReadIndexRequest, codec.decode_read_index),
    m.TimeoutNowRequest: (codec.encode_timeout_now, pb.TimeoutNowRequest, codec.decode_timeout_now),
}
_BACK: dict[type[Any], tuple[type[Any], Callable[..., Any]]] = {
    m.VoteRequest: (pb.VoteReply, codec_replies.decode_vote_reply),
    m.AppendRequest: (pb.AppendReply, codec_replies.decode_append_reply),
    m.SnapshotRequest: (pb.SnapshotReply, codec_replies.decode_snapshot_reply),
    m.ReadIndexRequest: (pb.ReadIndexReply, codec_replies.decode_read_index_reply),
    m.TimeoutNowRequest: (pb.TimeoutNowReply, codec_replies.decode_timeout_now_reply),
}


def request_lost(request: m.Request, sender: NodeId) -> str:
    """How the wire would spoil it; "" if the peer hears what was said."""
    try:
        heard = _heard(request, sender)
    except Rejected as error:
        return f"{request} is refused: {error}"
    return "" if heard == request else f"{request} arrives as {heard}"


def _heard(request: m.Request, sender: NodeId) -> m.Request:
    if isinstance(request, m.HelloRequest):
        message = codec.encode_hello(request, _envelope(request.identity), ABOUT)
        return codec.decode_hello(pb.HelloRequest.FromString(message.SerializeToString()), sender)
    if isinstance(request, m.AppendRequest):
        data = codec.encode_append(request, pb.Envelope()).SerializeToString()
        decode = codec.decode_heartbeat if request.is_heartbeat else codec.decode_append
        return decode(pb.AppendRequest.FromString(data), sender)
    encode, kind, decode_any = _OUT[type(request)]
    data = encode(request, pb.Envelope()).SerializeToString()
    heard: m.Request = decode_any(kind.FromString(data), sender)
    return heard


def reply_lost(request: m.Request, reply: m.Reply) -> str:
    """As `request_lost`, of an answer to `request`."""
    try:
        heard = _answer_heard(request, reply)
    except Rejected as error:
        return f"{reply} is refused: {error}"
    return "" if heard == reply else f"{reply} arrives as {heard}"


def _answer_heard(request: m.Request, reply: m.Reply) -> m.Reply:
    if isinstance(request, m.HelloRequest):
        if not isinstance(reply, m.HelloReply):
            return reply  # not admitted: a status, and no message
        envelope = _envelope(reply.identity)
        message = codec_replies.encode_hello_reply(reply, request.number, envelope, ABOUT)
        data = message.SerializeToString()
        return codec_replies.decode_hello_reply(pb.HelloReply.FromString(data))
    kind, decode = _BACK[type(request)]
    message = codec_replies.encode_reply(reply, request.number, pb.Envelope(), kind)
    heard: m.Reply = decode(kind.FromString(message.SerializeToString()))
    return heard


def _envelope(identity: Identity) -> pb.Envelope:
    return pb.Envelope(
        cluster=identity.cluster,
        sender=identity.node,
        sender_incarnation=identity.incarnation,
    )
