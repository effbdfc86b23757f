"""What is refused before the store is looked at: etcd's rules, its order, its texts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import pytest

from raftd._pb import etcd_pb2 as pb
from raftd.rpc.etcd import checks
from raftd.rpc.etcd.faults import FAULTS, Fault, fault
from raftd.wire.spans import Span

GET = pb.RequestOp(request_range=pb.RangeRequest(key=b"a"))


def delete(key: bytes, end: bytes = b"") -> pb.RequestOp:
    return pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=key, range_end=end))


def put(key: bytes) -> pb.RequestOp:
    return pb.RequestOp(request_put=pb.PutRequest(key=key))


def nested(then: list[pb.RequestOp], other: list[pb.RequestOp]) -> pb.RequestOp:
    return pb.RequestOp(request_txn=pb.TxnRequest(success=then, failure=other))


def refusal(check: Callable[[Any], None], request: object) -> str:
    with pytest.raises(Fault) as caught:
        check(request)
    return caught.value.text


@pytest.mark.parametrize(
    ("check", "request_", "text"),
    [
        (checks.check_range, pb.RangeRequest(), "key is not provided"),
        (
            checks.check_range,
            pb.RangeRequest(key=b"a", sort_target=9),  # type: ignore[arg-type]
            "invalid sort option",
        ),
        (checks.check_put, pb.PutRequest(value=b"x"), "key is not provided"),
        (
            checks.check_put,
            pb.PutRequest(key=b"a", value=b"x", ignore_value=True),
            "value is provided",
        ),
        (
            checks.check_put,
            pb.PutRequest(key=b"a", lease=1, ignore_lease=True),
            "lease is provided",
        ),
        (checks.check_delete, pb.DeleteRangeRequest(), "key is not provided"),
        (checks.check_txn, pb.TxnRequest(success=[pb.RequestOp()]), "key not found"),
        (checks.check_txn, pb.TxnRequest(compare=[pb.Compare()]), "key is not provided"),
        (
            checks.check_txn,
            pb.TxnRequest(failure=[GET] * 129),
            "too many operations in txn request",
        ),
    ],
)
def test_a_faulty_request_is_refused_in_etcds_words(
    check: Callable[[Any], None], request_: object, text: str
) -> None:
    assert refusal(check, request_) == f"etcdserver: {text}"


def test_a_key_is_not_written_twice_by_one_branch() -> None:
    for operations in (
        [put(b"a"), put(b"a")],
        [put(b"a"), delete(b"a")],
        [delete(b"a", b"c"), put(b"b")],
        [put(b"z"), delete(b"a", b"\0")],
        [nested([put(b"a")], []), put(b"a")],
        [nested([put(b"a")], []), nested([], [put(b"a")])],
        [delete(b"a"), nested([put(b"a")], [])],
    ):
        for request in (pb.TxnRequest(success=operations), pb.TxnRequest(failure=operations)):
            text = refusal(checks.check_txn, request)
            assert text == "etcdserver: duplicate key given in txn request"


def test_what_etcd_takes_is_taken() -> None:
    for request in (
        pb.TxnRequest(),
        pb.TxnRequest(success=[put(b"a")], failure=[put(b"a"), delete(b"b", b"c")]),
        pb.TxnRequest(success=[nested([put(b"a")], [put(b"a")])]),
        pb.TxnRequest(success=[put(b"c"), delete(b"a", b"c"), delete(b"a")]),
        pb.TxnRequest(success=[put(b"a"), *[GET] * 127]),
    ):
        checks.check_txn(request)


def test_nested_transactions_have_what_is_left() -> None:
    for count, fits in ((126, True), (127, False)):
        request = pb.TxnRequest(success=[*[GET] * count, nested([GET], [])])
        if fits:
            checks.check_txn(request)
        else:
            text = refusal(checks.check_txn, request)
            assert text == "etcdserver: too many operations in txn request"


def test_pairs_are_not_looked_at_in_what_has_too_many_operations_anyway(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The story without it: a request of 54 kB took 1 s of the network thread, one of 2 MB minutes,
    and was refused behind that for its number of operations.
    """
    looked = [0]

    def counted(key: bytes, spans: list[Span]) -> bool:
        looked[0] += len(spans)
        return covered(key, spans)

    covered = checks._covered
    monkeypatch.setattr(checks, "_covered", counted)
    some = range(64)
    deletes = [nested([delete(b"d%d/%d" % (a, b)) for b in some], []) for a in range(32)]
    puts = [nested([put(b"p%d/%d" % (a, b)) for b in some], []) for a in range(32)]
    large = pb.TxnRequest(success=deletes + puts)
    assert refusal(checks.check_txn, large) == fault("too_many_ops").text
    assert looked[0] == 0
    checks.check_txn(pb.TxnRequest(success=deletes[:7] + puts[:8]))
    assert 0 < looked[0] < 512 * 512


def test_transactions_are_not_nested_without_end() -> None:
    request = pb.TxnRequest()
    for _ in range(checks.DEPTH_MAX + 1):
        request = pb.TxnRequest(success=[pb.RequestOp(request_txn=request)])
    assert refusal(checks.check_txn, request) == "etcdserver: too many operations in txn request"


def test_the_errors_that_go_clients_compare_are_to_the_letter() -> None:
    assert len({text for _, text in FAULTS.values()}) == len(FAULTS)
    for name, code, text in (
        ("compacted", "OUT_OF_RANGE", "mvcc: required revision has been compacted"),
        ("lease_not_found", "NOT_FOUND", "requested lease not found"),
        ("no_leader", "UNAVAILABLE", "no leader"),
        ("not_leader", "FAILED_PRECONDITION", "not leader"),
        ("too_many_requests", "RESOURCE_EXHAUSTED", "too many requests"),
    ):
        made = fault(name)
        assert (made.code, made.text) == (grpc.StatusCode[code], f"etcdserver: {text}")
