"""What one stranger's request costs the thread that everybody shares, and the memory."""

from __future__ import annotations

import contextlib
import json
import time
from typing import Any

import pytest
from google.protobuf import json_format

from raftd._pb import etcd_pb2 as pb
from raftd.rpc.etcd.faults import Fault
from raftd.rpc.etcd.gateway import reply

BODY_BYTES = 2 << 20
HELD_SECONDS = 0.25
"""Of this thread's own time; less than the shortest election timeout by far."""

BODIES = {
    "messages": (pb.WatchRequest, b"{}" * (BODY_BYTES // 2)),
    "operations": (pb.TxnRequest, b'{"success":[' + b"{}," * (BODY_BYTES // 3) + b"{}]}"),
    "unknown": (pb.RangeRequest, b'{"no":[' + b"[]," * (BODY_BYTES // 3) + b"0]}"),
    "spaces": (pb.RangeRequest, b" " * BODY_BYTES),
    "commas": (pb.RangeRequest, b"," * BODY_BYTES),
    "fewer": (pb.WatchRequest, b"{}" * reply.PARTS_MAX),
}


@pytest.mark.parametrize("what", BODIES)
def test_no_body_holds_the_thread_for_long(what: str) -> None:
    kind, body = BODIES[what]
    refused = what not in ("fewer", "spaces")
    began = time.thread_time()
    with pytest.raises(Fault) if refused else contextlib.nullcontext():
        list(reply.parse_all(kind, body))
    assert time.thread_time() - began < HELD_SECONDS


def test_the_largest_transaction_that_etcd_takes_has_room() -> None:
    compare = pb.Compare(
        result=pb.Compare.GREATER, target=pb.Compare.MOD, key=b"k" * 50, mod_revision=7,
        range_end=b"l" * 50,
    )  # fmt: skip
    put = pb.PutRequest(key=b"k" * 50, value=b"v" * 500, lease=5, prev_kv=True)
    read = pb.RangeRequest(
        key=b"a", range_end=b"b", limit=5, revision=6, sort_order="ASCEND", sort_target="VERSION",
        serializable=True, keys_only=True, count_only=True, min_mod_revision=1,
        max_mod_revision=2, min_create_revision=3, max_create_revision=4,
    )  # fmt: skip
    many = 128
    request = pb.TxnRequest(
        compare=[compare] * many,
        success=[pb.RequestOp(request_put=put)] * many,
        failure=[pb.RequestOp(request_range=read)] * many,
    )
    body = json_format.MessageToJson(request).encode()
    assert list(reply.parse_all(pb.TxnRequest, body)) == [request]


def answers() -> dict[str, Any]:
    header = pb.ResponseHeader(cluster_id=2**63, revision=5)
    kvs = [
        pb.KeyValue(key=b"%05d" % number, value=b"v" * (number % 7), mod_revision=number)
        for number in range(3000)
    ]
    many = pb.RangeResponse(header=header, kvs=kvs, more=True, count=9000)
    some = pb.RangeResponse(kvs=kvs[:3])
    put = pb.PutResponse(header=header, prev_kv=pb.KeyValue(key=b"k", value=bytes(2000)))
    events = [pb.Event(type="DELETE", kv=kv) for kv in kvs]
    parts = (
        pb.ResponseOp(response_range=many),
        pb.ResponseOp(response_put=put),
        pb.ResponseOp(response_range=some),
    )
    return {
        "many": many,
        "headless": pb.RangeResponse(kvs=kvs),
        "empty": pb.RangeResponse(),
        "put": put,
        "txn": pb.TxnResponse(header=header, succeeded=True, responses=parts),
        "names": pb.AuthUserListResponse(header=header, users=["u" * 90] * 90),
        "watch": pb.WatchResponse(watch_id=3, events=events),
    }


@pytest.mark.parametrize("what", answers())
def test_an_answer_is_made_in_small_pieces(what: str) -> None:
    answer = answers()[what]
    pieces = list(reply.pieces_of(answer))
    assert json.loads(b"".join(pieces)) == reply.as_dict(answer)
    assert max(map(len, pieces)) < 16 << 10
    line = b"".join(reply.result_of(answer))
    assert json.loads(line) == {"result": reply.as_dict(answer)}
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
