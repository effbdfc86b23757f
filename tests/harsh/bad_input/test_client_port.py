"""Keys, values, deadlines and frames that no client should send."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest

from harness.cluster import channel
from raftd._pb import client_pb2 as pb
from raftd._pb import client_pb2_grpc
from raftd._pb import etcd_pb2 as etcd
from raftd.client import Invalid
from raftd.wire import batch, kv, session_id
from tests.harsh.bad_input.conftest import Live, failure

pytestmark = pytest.mark.cluster

INVALID = grpc.StatusCode.INVALID_ARGUMENT
ODD_BYTES = b"\xff\xfe\x00\xc3\x28\xed\xa0\x80"
"""No UTF-8 whatever way one looks at it, with a NUL inside."""


class Stub:
    """etcd's own calls, blocking."""

    def __init__(self, to: grpc.Channel) -> None:
        self._to = to
        self.Put = self._call("Put", etcd.PutRequest, etcd.PutResponse)
        self.Range = self._call("Range", etcd.RangeRequest, etcd.RangeResponse)
        self.DeleteRange = self._call(
            "DeleteRange", etcd.DeleteRangeRequest, etcd.DeleteRangeResponse
        )
        self.Txn = self._call("Txn", etcd.TxnRequest, etcd.TxnResponse)

    def _call(self, name: str, request: Any, answer: Any) -> Any:
        return self._to.unary_unary(
            f"/etcdserverpb.KV/{name}",
            request_serializer=request.SerializeToString,
            response_deserializer=answer.FromString,
        )


@pytest.fixture
def stub(live: Live) -> Iterator[Stub]:
    with channel(live.leader) as to:
        yield Stub(to)


@pytest.fixture
def commands(live: Live) -> Iterator[client_pb2_grpc.CommandsStub]:
    with channel(live.leader) as to:
        yield client_pb2_grpc.CommandsStub(to)


def refused(call: Callable[[], Any]) -> str:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    code, details = failure(caught.value)
    assert code is INVALID, (code, details)
    return details


KINDS = {"Put": etcd.PutRequest, "Range": etcd.RangeRequest, "DeleteRange": etcd.DeleteRangeRequest}


@pytest.mark.parametrize("method", KINDS)
def test_empty_key(stub: Stub, method: str) -> None:
    details = refused(lambda: getattr(stub, method)(KINDS[method](), timeout=5))
    assert details == "etcdserver: key is not provided"


@pytest.mark.parametrize("method", KINDS)
def test_oversized_key(stub: Stub, method: str) -> None:
    request = KINDS[method](key=b"k" * (kv.KEY_BYTES_MAX + 1))
    details = refused(lambda: getattr(stub, method)(request, timeout=5))
    assert details == "etcdserver: request is too large"


def test_oversized_value(stub: Stub) -> None:
    request = etcd.PutRequest(key=b"big", value=b"v" * (kv.VALUE_BYTES_MAX + 1))
    details = refused(lambda: stub.Put(request, timeout=10))
    assert details == "etcdserver: request is too large"


def test_message_beyond_what_the_port_takes(stub: Stub) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stub.Put(etcd.PutRequest(key=b"big", value=b"v" * (6 << 20)), timeout=10)
    code, details = failure(caught.value)
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "larger than max" in details


def test_largest_key_and_value_are_taken(live: Live) -> None:
    live.put(b"K" * kv.KEY_BYTES_MAX, b"v" * kv.VALUE_BYTES_MAX)


def test_empty_value_is_a_value(live: Live) -> None:
    live.put(b"empty", b"")
    found = live.client.get(b"empty").kv
    assert found is not None
    assert found.value == b""
    assert live.client.get(b"never put").kv is None


def test_bytes_that_are_no_text(live: Live) -> None:
    live.put(ODD_BYTES, ODD_BYTES[::-1])
    found = live.client.get(ODD_BYTES).kv
    assert found is not None
    assert found.value == ODD_BYTES[::-1]


def test_raftctl_with_bytes_that_are_no_text(live: Live) -> None:
    endpoints = ",".join(node.client_address for node in live.nodes).encode()
    base = [sys.executable.encode(), b"-m", b"raftd.cli.raftctl", b"--endpoints", endpoints]
    key = b"odd\xff\xfe"
    put = subprocess.run([*base, b"put", key, b"\xc3\x28"], capture_output=True, check=False)
    assert put.returncode == 0, put.stderr
    live.written[key] = b"\xc3\x28"
    get = subprocess.run([*base, b"get", key], capture_output=True, check=False)
    assert (get.returncode, get.stdout.rstrip(b"\n")) == (0, b"\xc3\x28"), get.stderr


def test_client_library_says_it_before_sending(live: Live) -> None:
    for key, value in ((b"", b"v"), (b"k" * 40_000, b"v"), (b"k", b"v" * (2 << 20))):
        with pytest.raises(Invalid, match=r"key|value"):
            live.client.put(key, value)


def put_op(key: bytes) -> etcd.RequestOp:
    return etcd.RequestOp(request_put=etcd.PutRequest(key=key, value=b"1"))


def test_duplicate_keys_in_a_transaction(stub: Stub) -> None:
    delete = etcd.RequestOp(request_delete_range=etcd.DeleteRangeRequest(key=b"twice"))
    request = etcd.TxnRequest(success=[put_op(b"twice"), put_op(b"once"), delete])
    details = refused(lambda: stub.Txn(request, timeout=5))
    assert details == "etcdserver: duplicate key given in txn request"
    assert not stub.Range(etcd.RangeRequest(key=b"once"), timeout=5).kvs, "half of it was done"


def test_empty_and_huge_transactions(stub: Stub) -> None:
    before = stub.Range(etcd.RangeRequest(key=b"k"), timeout=5).header.revision
    done = stub.Txn(etcd.TxnRequest(), timeout=5)
    assert done.header.revision == before, "nothing is no change"
    many = etcd.TxnRequest(success=[put_op(b"%d" % number) for number in range(129)])
    details = refused(lambda: stub.Txn(many, timeout=5))
    assert details == "etcdserver: too many operations in txn request"


@pytest.mark.parametrize("timeout", [-1.0, -1e-3])
def test_deadline_in_the_past(stub: Stub, timeout: float) -> None:
    put, get = etcd.PutRequest(key=b"late", value=b"x"), etcd.RangeRequest(key=b"late")
    for method, request in ((stub.Put, put), (stub.Range, get)):
        with pytest.raises(grpc.RpcError) as caught:
            method(request, timeout=timeout)
        assert failure(caught.value)[0] is grpc.StatusCode.DEADLINE_EXCEEDED


def test_cancelled_calls(stub: Stub) -> None:
    for number in range(100):
        call = stub.Put.future(etcd.PutRequest(key=b"cancelled", value=b"%d" % number), timeout=5)
        call.cancel()


def test_unknown_fields_are_ignored(live: Live) -> None:
    raw = etcd.PutRequest(key=b"newer", value=b"x").SerializeToString()
    unknown = b"\xc2\x3e\x05hello" + b"\xc8\x3e\x07"  # fields 1000 (bytes) and 1001 (number)
    with channel(live.leader) as to:
        put: Any = to.unary_unary("/etcdserverpb.KV/Put")
        assert etcd.PutResponse.FromString(put(raw + unknown, timeout=5)).header.revision
    live.written[b"newer"] = b"x"


def test_unknown_consistency_is_the_strict_one(
    commands: client_pb2_grpc.CommandsStub,
) -> None:
    request = pb.QueryRequest(query=kv.encode_get(b"newer"))
    request.consistency = 77  # type: ignore[assignment]
    assert commands.Query(request, timeout=5).applied_index > 0


def test_unknown_method_and_service(live: Live) -> None:
    with channel(live.leader) as to:
        for path in ("/etcdserverpb.KV/Explode", "/no.such.Service/Put"):
            method: Any = to.unary_unary(path)
            with pytest.raises(grpc.RpcError) as caught:
                method(b"", timeout=5)
            assert failure(caught.value)[0] is grpc.StatusCode.UNIMPLEMENTED


GARBAGE_BATCHES = {
    "nothing": b"\x00",
    "short": b"\x01\x00",
    "noise": bytes(range(256)),
    "version": b"\x63" + bytes(40),
    "count": b"\x02\x00\xff\xff" + bytes(32),
    "version 1": b"\x01\x00\x01\x00" + bytes(16) + batch.COMMAND_HEAD.pack(0, 1) + b"x",
    "a note": batch.noted(batch.encode_batch(b"", 0, [(0, b"x")]), 1, b"root"),
    "tail": batch.encode_batch(b"", 0, [(0, b"x")]) + b"more",
}


@pytest.mark.parametrize("what", GARBAGE_BATCHES)
def test_garbage_batch_on_a_stream(commands: client_pb2_grpc.CommandsStub, what: str) -> None:
    """The frame fails with one line; the stream and its neighbours go on."""
    good = pb.PipelineRequest(number=2, queries=pb.QueryBatch(query=[kv.encode_get(b"x")]))
    frames = [pb.PipelineRequest(number=1, batch=GARBAGE_BATCHES[what]), good]
    replies = {reply.number: reply for reply in commands.Pipeline(iter(frames), timeout=10)}
    bad = replies[1].failure
    assert bad.code == pb.INVALID
    assert bad.certainly_not_done
    assert bad.message.strip()
    assert "\n" not in bad.message
    assert replies[2].results


def test_command_that_the_store_cannot_read(commands: client_pb2_grpc.CommandsStub) -> None:
    """A well-formed batch of nonsense commands is answered by the machine, alike on every node."""
    for command in (b"", b"\x00", b"\xff" * 100, bytes([kv.PUT]) + b"\xff\xff"):
        with pytest.raises(grpc.RpcError) as caught:
            commands.Submit(pb.SubmitRequest(command=command), timeout=5)
        code, details = failure(caught.value)
        assert code in (INVALID, grpc.StatusCode.FAILED_PRECONDITION), (code, details)
        assert details


def test_sessions_that_nobody_opened(commands: client_pb2_grpc.CommandsStub) -> None:
    for index in (1, 2**63, 2**64 - 1):
        session = session_id.with_index(session_id.draw(), index)
        request = pb.SubmitRequest(
            session=pb.Session(id=session, seq=1, floor=0), command=kv.encode_put(b"s", b"")
        )
        with pytest.raises(grpc.RpcError) as caught:
            commands.Submit(request, timeout=5)
        assert failure(caught.value)[0] is grpc.StatusCode.NOT_FOUND


def test_numbers_used_twice_or_below_the_floor(commands: client_pb2_grpc.CommandsStub) -> None:
    session = commands.OpenSession(pb.OpenSessionRequest(), timeout=5).session

    def submit(seq: int, floor: int, value: bytes) -> grpc.StatusCode:
        place = pb.Session(id=session, seq=seq, floor=floor)
        request = pb.SubmitRequest(session=place, command=kv.encode_put(b"seq", value))
        try:
            commands.Submit(request, timeout=5)
        except grpc.RpcError as error:
            return failure(error)[0]
        return grpc.StatusCode.OK

    assert submit(5, 0, b"a") is grpc.StatusCode.OK
    assert submit(5, 0, b"a") is grpc.StatusCode.OK, "a retry is answered"
    assert submit(5, 0, b"b") is grpc.StatusCode.ALREADY_EXISTS
    assert submit(6, 5, b"c") is grpc.StatusCode.OK
    assert submit(5, 5, b"a") in (grpc.StatusCode.OUT_OF_RANGE, INVALID)
    assert submit(0, 5, b"a") in (grpc.StatusCode.OUT_OF_RANGE, INVALID)
