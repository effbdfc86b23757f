"""Core replies to protobuf and back, under the same rules as codec.py's requests.

Every wire reply carries its request's number, also where the core's own reply has none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from raftd._pb import raft_pb2 as pb
from raftd.core import messages as m
from raftd.rpc.peers import checks, codec_digest
from raftd.rpc.peers.codec import identity, records_in, records_out

# --- out -----------------------------------------------------------------------------------------


def encode_reply(reply: m.Reply, number: int, envelope: pb.Envelope, kind: type[Any]) -> Any:
    """`kind`: the protobuf reply of the method. `number`: that of the request, for every kind."""
    if isinstance(reply, m.NotAdmitted):
        return kind(envelope=envelope, number=number, not_admitted=True)
    return _REPLIES_OUT[type(reply)](reply, number, envelope)


def _vote_out(reply: m.VoteReply, number: int, envelope: pb.Envelope) -> pb.VoteReply:
    return pb.VoteReply(
        envelope=envelope,
        number=number,
        term=reply.term,
        granted=reply.granted,
        pre=reply.pre,
        removed=reply.removed,
    )


def encode_append_reply(reply: m.AppendReply, number: int, envelope: pb.Envelope) -> pb.AppendReply:
    message = pb.AppendReply(
        envelope=envelope,
        number=number,
        term=reply.term,
        ok=reply.ok,
        durable=reply.durable,
        conflict_term=reply.conflict_term,
        conflict_index=reply.conflict_index,
        unfit=reply.unfit,
        room=reply.room,
        joining=reply.joining,
    )
    if reply.priority:
        message.priority = reply.priority
    if reply.digest is not None:
        codec_digest.digest_out(reply.digest, message)
    return message


def _snapshot_out(reply: m.SnapshotReply, number: int, envelope: pb.Envelope) -> pb.SnapshotReply:
    return pb.SnapshotReply(
        envelope=envelope,
        number=number,
        term=reply.term,
        next_offset=reply.next_offset,
        done=reply.done,
        durable=reply.durable,
    )


def _read_index_out(
    reply: m.ReadIndexReply, number: int, envelope: pb.Envelope
) -> pb.ReadIndexReply:
    return pb.ReadIndexReply(
        envelope=envelope, number=number, term=reply.term, ok=reply.ok, index=reply.index
    )


def _timeout_now_out(
    reply: m.TimeoutNowReply, number: int, envelope: pb.Envelope
) -> pb.TimeoutNowReply:
    return pb.TimeoutNowReply(envelope=envelope, number=number, term=reply.term)


def encode_hello_reply(
    reply: m.HelloReply, number: int, envelope: pb.Envelope, about: pb.About
) -> pb.HelloReply:
    return pb.HelloReply(
        envelope=envelope,
        number=number,
        records=records_out(reply.records),
        refused=reply.refused[: checks.TEXT_MAX],
        about=about,
        removed=reply.removed,
    )


_REPLIES_OUT: dict[type[Any], Callable[[Any, int, pb.Envelope], Any]] = {
    m.VoteReply: _vote_out,
    m.AppendReply: encode_append_reply,
    m.SnapshotReply: _snapshot_out,
    m.ReadIndexReply: _read_index_out,
    m.TimeoutNowReply: _timeout_now_out,
}


# --- in -----------------------------------------------------------------------------------------


def decode_vote_reply(message: pb.VoteReply) -> m.VoteReply | m.NotAdmitted:
    if message.not_admitted:
        return m.NotAdmitted(message.number)
    term = checks.check_term("term", message.term, least=0)
    return m.VoteReply(term, message.granted, message.pre, message.removed)


def decode_append_reply(message: pb.AppendReply) -> m.AppendReply | m.NotAdmitted:
    if message.not_admitted:
        return m.NotAdmitted(message.number)
    return m.AppendReply(
        term=checks.check_term("term", message.term, least=0),
        ok=message.ok,
        durable=checks.check_index("durable", message.durable),
        conflict_term=checks.check_term("conflict_term", message.conflict_term, least=0),
        conflict_index=checks.check_index("conflict_index", message.conflict_index),
        number=message.number,
        unfit=message.unfit,
        room=_room_in(message.room),
        joining=message.joining,
        priority=message.priority,
        digest=codec_digest.digest_in(message) if message.digest_index else None,
    )


def _room_in(room: int) -> m.Room:
    """What a later version may have to say beyond these is more than nothing: no entries now."""
    return m.Room(room) if room <= m.Room.NOTHING else m.Room.NO_ENTRIES


def decode_snapshot_reply(message: pb.SnapshotReply) -> m.SnapshotReply | m.NotAdmitted:
    if message.not_admitted:
        return m.NotAdmitted(message.number)
    return m.SnapshotReply(
        term=checks.check_term("term", message.term, least=0),
        next_offset=checks.check_index("next_offset", message.next_offset),
        done=message.done,
        durable=checks.check_index("durable", message.durable),
        number=message.number,
    )


def decode_read_index_reply(message: pb.ReadIndexReply) -> m.ReadIndexReply | m.NotAdmitted:
    if message.not_admitted:
        return m.NotAdmitted(message.number)
    term = checks.check_term("term", message.term, least=0)
    index = checks.check_index("index", message.index)
    return m.ReadIndexReply(term, message.ok, index, message.number)


def decode_timeout_now_reply(message: pb.TimeoutNowReply) -> m.TimeoutNowReply | m.NotAdmitted:
    if message.not_admitted:
        return m.NotAdmitted(message.number)
    return m.TimeoutNowReply(checks.check_term("term", message.term, least=0), message.number)


def decode_hello_reply(message: pb.HelloReply) -> m.HelloReply:
    checks.check_protocol(message.about.protocol_oldest, message.about.software)
    return m.HelloReply(
        identity=identity(message.envelope),
        records=records_in(message.records),
        refused=checks.check_text("refused", message.refused),
        number=message.number,
        removed=message.removed,
    )
