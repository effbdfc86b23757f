"""Core requests to protobuf and back. What comes in is checked here; the core trusts it afterwards.

The sender in the envelope is the candidate or leader of the message. Decoding raises
checks.Rejected, one line that names message and field; encoding never fails for what a core makes.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from struct import pack

from raftd._pb import raft_pb2 as pb
from raftd.core import messages as m
from raftd.core.types import (
    INDEX_MAX,
    TERM_MAX,
    Entry,
    EntryType,
    Identity,
    NodeId,
)
from raftd.rpc.peers import checks, codec_digest
from raftd.rpc.peers.checks import Rejected
from raftd.rpc.peers.codec_configuration import (
    check_configuration_payload,
    decode_meta,
    encode_meta,
)
from raftd.wire.batch import ENTRY_BYTES_MAX

ENTRIES_MAX = 65_536
PAYLOAD_MAX = ENTRY_BYTES_MAX
"""What a log may hold must come through here, or nothing behind it ever does."""
CHUNK_MAX = 16 << 20

_ENTRY_TYPES: dict[int, EntryType] = {int(kind): kind for kind in EntryType}


# --- requests out -------------------------------------------------------------------------------


def encode_vote(request: m.VoteRequest, envelope: pb.Envelope) -> pb.VoteRequest:
    return pb.VoteRequest(
        envelope=envelope,
        number=request.number,
        term=request.term,
        last_index=request.last_index,
        last_term=request.last_term,
        pre=request.pre,
        transfer=request.transfer,
    )


def encode_append(request: m.AppendRequest, envelope: pb.Envelope) -> pb.AppendRequest:
    message = pb.AppendRequest(
        envelope=envelope,
        number=request.number,
        term=request.term,
        prev_index=request.prev_index,
        prev_term=request.prev_term,
        commit=request.commit,
    )
    if request.mark is not None:
        message.mark_index, message.mark_number = request.mark.index, request.mark.number
    if request.verdict is not None:
        codec_digest.verdict_out(request.verdict, message)
    if request.entries:
        _, terms, types, payloads = zip(*request.entries)
        message.entry_terms.extend(terms)
        message.entry_types.extend(types)
        message.entry_payloads.extend(payloads)
        message.entries_crc = _crc(request.term, request.prev_index, terms, types, payloads)
    return message


def encode_snapshot(request: m.SnapshotRequest, envelope: pb.Envelope) -> pb.SnapshotRequest:
    return pb.SnapshotRequest(
        envelope=envelope,
        number=request.number,
        term=request.term,
        meta=encode_meta(request.meta),
        offset=request.offset,
        data=request.data,
        data_crc=zlib.crc32(request.data),
    )


def encode_read_index(request: m.ReadIndexRequest, envelope: pb.Envelope) -> pb.ReadIndexRequest:
    return pb.ReadIndexRequest(envelope=envelope, number=request.number, term=request.term)


def encode_timeout_now(request: m.TimeoutNowRequest, envelope: pb.Envelope) -> pb.TimeoutNowRequest:
    return pb.TimeoutNowRequest(envelope=envelope, number=request.number, term=request.term)


def encode_hello(
    request: m.HelloRequest, envelope: pb.Envelope, about: pb.About
) -> pb.HelloRequest:
    return pb.HelloRequest(
        envelope=envelope,
        number=request.number,
        records=records_out(request.records),
        about=about,
    )


# --- requests in --------------------------------------------------------------------------------


def decode_vote(message: pb.VoteRequest, sender: NodeId) -> m.VoteRequest:
    checks.check_term("term", message.term)
    checks.check_position("last", message.last_index, message.last_term)
    if message.last_term > message.term:
        raise Rejected(f"last_term {message.last_term} is above the message's term {message.term}")
    return m.VoteRequest(
        term=message.term,
        candidate=sender,
        last_index=message.last_index,
        last_term=message.last_term,
        pre=message.pre,
        transfer=message.transfer,
        number=message.number,
    )


def decode_append(message: pb.AppendRequest, sender: NodeId) -> m.AppendRequest:
    term, prev_index, prev_term = message.term, message.prev_index, message.prev_term
    commit = message.commit
    # One combined test first: this is the hot path. What fails it is looked at field by field.
    if (
        not 1 <= term <= TERM_MAX
        or prev_term > term
        or prev_index > INDEX_MAX
        or commit > INDEX_MAX
        or (prev_index == 0) != (prev_term == 0)
    ):
        raise _bad_append(message)
    payloads = list(message.entry_payloads)
    entries = _entries_in(message, payloads) if payloads or message.entry_terms else ()
    number = message.number
    if not message.mark_index and not message.compared_index:
        return m.AppendRequest(term, sender, prev_index, prev_term, entries, commit, number)
    mark, verdict = codec_digest.checks_in(message)
    return m.AppendRequest(
        term, sender, prev_index, prev_term, entries, commit, number, mark=mark, verdict=verdict
    )


def decode_heartbeat(message: pb.AppendRequest, sender: NodeId) -> m.AppendRequest:
    if message.entry_payloads or message.entry_terms:
        raise Rejected("it carries entries")
    return decode_append(message, sender)


def _bad_append(message: pb.AppendRequest) -> Rejected:
    try:
        checks.check_term("term", message.term)
        checks.check_position("prev", message.prev_index, message.prev_term)
        checks.check_index("commit", message.commit)
    except Rejected as error:
        return error
    return Rejected(f"prev_term {message.prev_term} is above the message's term {message.term}")


def _entries_in(message: pb.AppendRequest, payloads: list[bytes]) -> tuple[Entry, ...]:
    terms, types = list(message.entry_terms), list(message.entry_types)
    count, first = len(payloads), message.prev_index + 1
    if not count == len(terms) == len(types):
        raise Rejected(f"{len(terms)} entry_terms, {len(types)} types and {count} payloads: uneven")
    if count > ENTRIES_MAX:
        raise Rejected(f"{count} entries, the limit is {ENTRIES_MAX}")
    if message.prev_index + count > INDEX_MAX:
        raise Rejected("the last entry's index is above 2^62")
    if terms[0] < max(message.prev_term, 1) or terms[-1] > message.term:
        raise Rejected(
            f"entry terms {terms[0]}..{terms[-1]} do not lie between prev_term "
            f"{message.prev_term} and the message's term {message.term}"
        )
    if count > 1 and sorted(terms) != terms:
        raise Rejected("the entries' terms fall: they are not one log's")
    if max(map(len, payloads)) > PAYLOAD_MAX:
        raise Rejected(f"an entry of more than {PAYLOAD_MAX} bytes")
    try:
        kinds = [_ENTRY_TYPES[kind] for kind in types]
    except KeyError as error:
        raise Rejected(f"entry type {error.args[0]} is unknown to this version of raftd") from None
    if EntryType.CONFIGURATION in kinds:
        _check_configurations(kinds, payloads)
    if _crc(message.term, message.prev_index, terms, types, payloads) != message.entries_crc:
        raise Rejected(f"entries_crc does not fit entries {first}..{first + count - 1}: damaged")
    return tuple(map(Entry, range(first, first + count), terms, kinds, payloads))


def _check_configurations(kinds: list[EntryType], payloads: list[bytes]) -> None:
    """The one payload that the core itself reads, and from the moment the entry is appended."""
    for kind, payload in zip(kinds, payloads):
        if kind is EntryType.CONFIGURATION:
            check_configuration_payload("a configuration entry", payload)


def decode_snapshot(message: pb.SnapshotRequest, sender: NodeId) -> m.SnapshotRequest:
    checks.check_term("term", message.term)
    meta, data = decode_meta(message.meta), message.data
    if meta.term > message.term:
        raise Rejected(f"meta.term {meta.term} is above the message's term {message.term}")
    if len(data) > CHUNK_MAX:
        raise Rejected(f"a chunk of {len(data)} bytes, the limit is {CHUNK_MAX}")
    if message.offset + len(data) > meta.size_bytes:
        raise Rejected(f"offset {message.offset} + {len(data)} is past the size {meta.size_bytes}")
    if zlib.crc32(data) != message.data_crc:
        raise Rejected(f"data_crc does not fit the chunk at offset {message.offset}: damaged")
    return m.SnapshotRequest(
        term=message.term,
        leader=sender,
        meta=meta,
        offset=message.offset,
        data=data,
        number=message.number,
    )


def decode_read_index(message: pb.ReadIndexRequest, sender: NodeId) -> m.ReadIndexRequest:
    return m.ReadIndexRequest(checks.check_term("term", message.term), message.number)


def decode_timeout_now(message: pb.TimeoutNowRequest, sender: NodeId) -> m.TimeoutNowRequest:
    return m.TimeoutNowRequest(checks.check_term("term", message.term), sender, message.number)


def decode_hello(
    message: pb.HelloRequest, sender: NodeId, unfit: Callable[[int], str] = lambda protocol: ""
) -> m.HelloRequest:
    """unfit: why who speaks this protocol may not take part; empty when they may."""
    checks.check_protocol(message.about.protocol_oldest, message.about.software)
    if why := unfit(message.about.protocol):
        raise Rejected(f"{sender} cannot take part: {why}")
    return m.HelloRequest(
        identity=identity(message.envelope),
        records=records_in(message.records),
        number=message.number,
    )


# --- parts --------------------------------------------------------------------------------------


def _crc(
    term: int,
    prev_index: int,
    terms: Sequence[int],
    types: Sequence[int],
    payloads: Sequence[bytes],
) -> int:
    numbers = (term, prev_index, *terms, *types, *map(len, payloads))
    crc = zlib.crc32(pack(f"<{len(numbers)}Q", *numbers))
    for payload in payloads:
        crc = zlib.crc32(payload, crc)
    return crc


def identity(envelope: pb.Envelope) -> Identity:
    return Identity(envelope.cluster, envelope.sender, envelope.sender_incarnation)


def records_out(records: Sequence[tuple[str, str]]) -> list[pb.Record]:
    return [pb.Record(node=node, incarnation=incarnation) for node, incarnation in records]


def records_in(records: Sequence[pb.Record]) -> tuple[tuple[str, str], ...]:
    if len(records) > checks.RECORDS_MAX:
        raise Rejected(f"{len(records)} records, the limit is {checks.RECORDS_MAX}")
    taken = tuple(
        (
            checks.check_node_id("records.node", record.node),
            checks.check_incarnation("records.incarnation", record.incarnation),
        )
        for record in records
    )
    if len({node for node, _ in taken}) != len(taken):
        raise Rejected("records names a node twice")
    return taken
