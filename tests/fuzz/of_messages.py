"""Targets: what peers and clients send, from protobuf's bytes to what core and store are given.

A message is put into the right envelope, and its checksums put right, where the knobs say so. What
the codec lets through is handed to a core, which trusts it.
"""

from __future__ import annotations

import random
import zlib
from contextlib import suppress
from struct import error as StructError
from typing import Any

from google.protobuf.message import DecodeError

from raftd._pb import etcd_pb2, raft_pb2
from raftd.core import messages as m
from raftd.core.configuration_format import decode_configuration, encode_configuration
from raftd.core.core import RaftCore
from raftd.core.types import (
    Configuration,
    Entry,
    EntryType,
    Identity,
    NodeId,
    Recovered,
    Settings,
    SnapshotMeta,
)
from raftd.machine.kv.store import KvStore
from raftd.machine.pieces import at_once
from raftd.machine.protocol import MachineError
from raftd.rpc.etcd import checks as etcd_checks
from raftd.rpc.etcd import translate
from raftd.rpc.etcd.faults import Fault
from raftd.rpc.peers import codec, codec_replies
from raftd.rpc.peers.checks import Rejected
from raftd.rpc.peers.envelope import Envelopes, Mismatch
from raftd.rpc.plumbing import malformed
from raftd.wire.errors import WireError
from raftd.wire.txn_answers import decode_txn_answer
from tests.fuzz.target import Target

OWN = Identity("c0ffee", "n1", "i1")
PEER = Identity("c0ffee", "n2", "i2")
VOTERS = Configuration(("n1", "n2", "n3"))
RECORDS = (("n2", "i2"), ("n3", "i3"))
FIX_ENVELOPE, FIX_CHECKSUMS = 8, 16
ABOUT = raft_pb2.About(protocol=1)


def expected(node: NodeId) -> str | None:
    return dict(RECORDS).get(node)


HERE = Envelopes(OWN, expected)
ENVELOPE = Envelopes(PEER, {"n1": "i1"}.get).request_to("n1")

REQUESTS: tuple[tuple[Any, Any, Any], ...] = (
    (raft_pb2.VoteRequest, codec.decode_vote, codec.encode_vote),
    (raft_pb2.AppendRequest, codec.decode_append, codec.encode_append),
    (raft_pb2.SnapshotRequest, codec.decode_snapshot, codec.encode_snapshot),
    (raft_pb2.ReadIndexRequest, codec.decode_read_index, codec.encode_read_index),
    (raft_pb2.TimeoutNowRequest, codec.decode_timeout_now, codec.encode_timeout_now),
    (
        raft_pb2.HelloRequest,
        codec.decode_hello,
        lambda request, envelope: codec.encode_hello(request, envelope, ABOUT),
    ),
)
REPLIES: tuple[tuple[Any, Any], ...] = (
    (raft_pb2.VoteReply, codec_replies.decode_vote_reply),
    (raft_pb2.AppendReply, codec_replies.decode_append_reply),
    (raft_pb2.SnapshotReply, codec_replies.decode_snapshot_reply),
    (raft_pb2.ReadIndexReply, codec_replies.decode_read_index_reply),
    (raft_pb2.TimeoutNowReply, codec_replies.decode_timeout_now_reply),
    (raft_pb2.HelloReply, codec_replies.decode_hello_reply),
)


def _parsed(kind: Any, data: bytes, knobs: int) -> Any:
    """The message, in an envelope that is accepted if the knobs say so. Raises Rejected."""
    try:
        message = kind.FromString(data)
    except DecodeError:
        raise Rejected(malformed.TEXT) from None
    if knobs & FIX_ENVELOPE:
        message.envelope.CopyFrom(ENVELOPE)
    return message


def peer_request(data: bytes) -> None:
    knobs = data[0] if data else 0
    kind, decode, encode = REQUESTS[(knobs & 7) % len(REQUESTS)]
    message = _parsed(kind, data[1:], knobs)
    if knobs & FIX_CHECKSUMS and kind is raft_pb2.AppendRequest:
        lists = message.entry_terms, message.entry_types, message.entry_payloads
        with suppress(StructError):  # a negative type, which is refused before the checksum
            message.entries_crc = codec._crc(message.term, message.prev_index, *lists)
    if knobs & FIX_CHECKSUMS and kind is raft_pb2.SnapshotRequest:
        message.data_crc = zlib.crc32(message.data)
    hello = kind is raft_pb2.HelloRequest
    sender = (HERE.check_hello if hello else HERE.check_request)(message.envelope)
    request = decode(message, sender)
    again = kind.FromString(encode(request, message.envelope).SerializeToString())
    assert decode(again, sender) == request
    _core().step(request, 1.0, 1)


def _core() -> RaftCore:
    disk = Recovered(admitted=True, records=RECORDS)
    core = RaftCore(OWN, Settings(), VOTERS, disk, random.Random(1), 0.0)
    core.start(0.0)
    return core


def peer_reply(data: bytes) -> None:
    knobs = data[0] if data else 0
    kind, decode = REPLIES[(knobs & 7) % len(REPLIES)]
    message = _parsed(kind, data[1:], knobs)
    hello = kind is raft_pb2.HelloReply
    (HERE.check_hello_reply if hello else HERE.check_reply)(message.envelope, "n2")
    reply = decode(message)
    args = (reply, message.number, message.envelope)
    if hello:
        again = codec_replies.encode_hello_reply(*args, ABOUT)
    else:
        again = codec_replies.encode_reply(*args, kind)
    assert decode(kind.FromString(again.SerializeToString())) == reply


def etcd_request(data: bytes) -> None:
    """What the etcd service lets through, the store must understand, and its answer be told."""
    try:
        request = etcd_pb2.TxnRequest.FromString(data)
    except DecodeError:
        raise WireError(malformed.TEXT) from None
    store = KvStore()
    try:
        etcd_checks.check_txn(request)
        txn = translate.txn_op(request)
        command = translate.encoded(txn)
        answer = store.apply(command) if txn.writes else store.query(command)
    except Fault as fault:
        raise WireError(fault.text) from None
    except MachineError as error:
        raise WireError(translate.refused(str(error).encode()).text) from None
    made = translate.txn_answer(etcd_pb2.ResponseHeader(), decode_txn_answer(answer))
    told = at_once(made)
    assert etcd_pb2.TxnResponse.FromString(told.SerializeToString()) == told


def configuration(data: bytes) -> None:
    found = decode_configuration(data)
    assert decode_configuration(encode_configuration(found)) == found


META = SnapshotMeta(7, 3, Configuration(("n1", "n2", "n3"), ("n4",)), 100, 0xFFFFFFFF)
ENTRIES = (
    Entry(6, 2, EntryType.NOOP, b""),
    Entry(7, 3, EntryType.BATCH, b"payload"),
    Entry(8, 3, EntryType.CONFIGURATION, encode_configuration(META.configuration)),
)
FIRST = (Entry(1, 1, EntryType.CONFIGURATION, encode_configuration(VOTERS)),)
REQUEST_SEEDS: tuple[tuple[int, m.Request], ...] = (
    (0, m.VoteRequest(3, "n2", 7, 2, False, False, 5)),
    (0, m.VoteRequest(3, "n2", 0, 0, True, True, 5)),
    (1, m.AppendRequest(3, "n2", 5, 2, ENTRIES, 5, 1)),
    (1, m.AppendRequest(3, "n2", 0, 0, FIRST, 1, 1)),
    (1, m.AppendRequest(3, "n2", 0, 0, (), 0, 1)),
    (2, m.SnapshotRequest(4, "n2", META, 90, b"0123456789", number=9)),
    (3, m.ReadIndexRequest(4, number=5)),
    (4, m.TimeoutNowRequest(4, "n2", number=5)),
    (5, m.HelloRequest(PEER, RECORDS, 6)),
)
REPLY_SEEDS: tuple[tuple[int, m.Reply], ...] = (
    (0, m.VoteReply(7, True, True)),
    (1, m.AppendReply(7, False, 2, 3, 4, number=5)),
    (1, m.NotAdmitted(5)),
    (2, m.SnapshotReply(7, 50, True, 9, number=5)),
    (3, m.ReadIndexReply(7, True, 9, number=5)),
    (4, m.TimeoutNowReply(7, number=5)),
)


def _request_seed(number: int, request: m.Request) -> bytes:
    return REQUESTS[number][2](request, ENVELOPE).SerializeToString()  # type: ignore[no-any-return]


def _reply_seed(number: int, reply: m.Reply) -> bytes:
    kind = REPLIES[number][0]
    message = codec_replies.encode_reply(reply, 5, ENVELOPE, kind)
    return message.SerializeToString()  # type: ignore[no-any-return]


HELLO_REPLY = codec_replies.encode_hello_reply(
    m.HelloReply(PEER, RECORDS, "no", 6), 6, ENVELOPE, ABOUT
).SerializeToString()
ETCD_PUT = etcd_pb2.RequestOp(request_put=etcd_pb2.PutRequest(key=b"key", value=b"v", prev_kv=True))
ETCD_GET = etcd_pb2.RequestOp(
    request_range=etcd_pb2.RangeRequest(key=b"a", range_end=b"z", limit=2, sort_target="MOD")
)
ETCD_DELETE = etcd_pb2.RequestOp(
    request_delete_range=etcd_pb2.DeleteRangeRequest(key=b"k", range_end=b"l", prev_kv=True)
)
ETCD_COMPARE = etcd_pb2.Compare(key=b"key", target="CREATE", result="EQUAL", create_revision=0)
ETCD_REQUESTS = (
    etcd_pb2.TxnRequest(success=[ETCD_PUT]),
    etcd_pb2.TxnRequest(success=[ETCD_GET]),
    etcd_pb2.TxnRequest(compare=[ETCD_COMPARE], success=[ETCD_PUT, ETCD_GET], failure=[ETCD_GET]),
    etcd_pb2.TxnRequest(
        success=[
            etcd_pb2.RequestOp(request_txn=etcd_pb2.TxnRequest(success=[ETCD_PUT])),
            ETCD_GET,
        ],
        failure=[ETCD_DELETE],
    ),
)

CODEC = ("raftd/rpc/peers/checks.py", "raftd/rpc/peers/envelope.py")
KNOBS = FIX_ENVELOPE | FIX_CHECKSUMS

TARGETS = (
    Target(
        "peer-request",
        peer_request,
        (Rejected, Mismatch),
        (
            *(bytes((n | KNOBS,)) + _request_seed(n, request) for n, request in REQUEST_SEEDS),
            b"\x00" + _request_seed(*REQUEST_SEEDS[0]),
        ),
        ("raftd/rpc/peers/codec.py", *CODEC),
    ),
    Target(
        "peer-reply",
        peer_reply,
        (Rejected, Mismatch),
        (
            *(bytes((n | KNOBS,)) + _reply_seed(n, reply) for n, reply in REPLY_SEEDS),
            b"\x05" + HELLO_REPLY,
            b"\x00" + _reply_seed(*REPLY_SEEDS[0]),
        ),
        ("raftd/rpc/peers/codec_replies.py", *CODEC),
    ),
    Target(
        "etcd-request",
        etcd_request,
        (WireError,),
        tuple(request.SerializeToString() for request in ETCD_REQUESTS),
        (
            "raftd/rpc/etcd/checks.py",
            "raftd/rpc/etcd/translate.py",
            "raftd/wire/txn.py",
            "raftd/machine/kv/transactions.py",
        ),
    ),
    Target(
        "configuration",
        configuration,
        (ValueError,),
        (encode_configuration(META.configuration), encode_configuration(VOTERS)),
        ("raftd/core/membership.py",),
    ),
)
