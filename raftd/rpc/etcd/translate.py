"""etcd's messages about keys, as transactions of the store, and its answers as etcd's. Any thread.

Every request is one transaction: a put, a delete and a range are transactions without compares, of
one operation. The revision in an answer's header, also of one inside a transaction, is worked out
here: up to the first change it is the one before the transaction.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from typing import Any, TypeVar

from raftd._pb import etcd_pb2 as pb
from raftd.rpc.etcd.faults import Code, Fault, fault
from raftd.wire import kv, refusals, txn_answers
from raftd.wire import txn as wire
from raftd.wire.errors import WireError
from raftd.wire.kv_results import KeyValue
from raftd.wire.look import Look, encode_look
from raftd.wire.txn_answers import PAIRS_AT_ONCE
from raftd.wire.txn_rules import DUPLICATE

T = TypeVar("T")
Pieces = Generator[None, None, T]
"""An answer that gives way after so many keys: see long_answers.py."""

REVISION_MAX = 2**63 - 1

_TARGETS = {
    pb.Compare.VERSION: (wire.VERSION, "version"),
    pb.Compare.CREATE: (wire.CREATE_REVISION, "create_revision"),
    pb.Compare.MOD: (wire.MOD_REVISION, "mod_revision"),
    pb.Compare.LEASE: (wire.LEASE, "lease"),
}
_RESULTS = {
    pb.Compare.EQUAL: wire.EQUAL,
    pb.Compare.GREATER: wire.GREATER,
    pb.Compare.LESS: wire.LESS,
    pb.Compare.NOT_EQUAL: wire.NOT_EQUAL,
}
_SORTS = {
    pb.RangeRequest.KEY: wire.KEY,
    pb.RangeRequest.VERSION: wire.VERSION,
    pb.RangeRequest.CREATE: wire.CREATE_REVISION,
    pb.RangeRequest.MOD: wire.MOD_REVISION,
    pb.RangeRequest.VALUE: wire.VALUE,
}
_ORDERS = {
    pb.RangeRequest.NONE: wire.NO_ORDER,
    pb.RangeRequest.ASCEND: wire.ASCEND,
    pb.RangeRequest.DESCEND: wire.DESCEND,
}

_REFUSALS = {
    refusals.COMPACTED: "compacted",
    refusals.FUTURE_REVISION: "future_revision",
    refusals.KEY_NOT_FOUND: "key_not_found",
    refusals.LEASE_NOT_FOUND: "lease_not_found",
    refusals.LEASE_EXISTS: "lease_exists",
    refusals.TOO_MANY_LEASES: "too_many_requests",
    refusals.TOO_LONG: "request_too_large",
    refusals.NO_SPACE: "no_space",
    refusals.ROOT_USER_MISSING: "root_user_missing",
    refusals.ROOT_ROLE_MISSING: "root_role_missing",
    refusals.USER_EXISTS: "user_exists",
    refusals.USER_EMPTY: "user_empty",
    refusals.USER_NOT_FOUND: "user_not_found",
    refusals.ROLE_EMPTY: "role_empty",
    refusals.ROLE_EXISTS: "role_exists",
    refusals.ROLE_NOT_FOUND: "role_not_found",
    refusals.ROLE_NOT_GRANTED: "role_not_granted",
    refusals.PERMISSION_NOT_GRANTED: "permission_not_granted",
    refusals.PERMISSION_DENIED: "permission_denied",
    refusals.INVALID_AUTH_MANAGEMENT: "invalid_auth_management",
    refusals.OLD_REVISION: "old_auth_revision",
    refusals.TOO_MUCH_AUTH: "too_many_requests",
}


def refused(message: bytes) -> Fault:
    """The store's refusal as etcd's error."""
    text = message.decode("utf-8", "replace")
    name = _REFUSALS.get(refusals.refusal_of(text))
    return fault(name) if name else Fault(Code.INVALID_ARGUMENT, f"etcdserver: {text}")


# --- requests -----------------------------------------------------------------------------------


def encoded(txn: wire.Txn) -> bytes:
    """The store's command, or query. Raises Fault if it is over a limit of the format."""
    try:
        return wire.encode_txn(txn)
    except WireError as error:
        text = str(error)
        if text == DUPLICATE:
            raise fault("duplicate_key") from None
        if refusals.refusal_of(text) == refusals.TOO_MANY_OPERATIONS:
            raise fault("too_many_ops") from None
        raise fault("request_too_large") from None


def one(op: wire.Op) -> wire.Txn:
    """The transaction of one operation."""
    return wire.Txn((), (op,), ())


def range_op(request: pb.RangeRequest) -> wire.RangeOp:
    order, sort = _ORDERS[request.sort_order], _SORTS[request.sort_target]
    if order == wire.NO_ORDER and sort != wire.KEY:
        order = wire.ASCEND
    return wire.RangeOp(
        request.key,
        request.range_end,
        max(0, request.limit),
        max(0, request.revision),
        order,
        sort,
        request.keys_only,
        request.count_only,
        *_bounds(request.min_mod_revision, request.max_mod_revision),
        *_bounds(request.min_create_revision, request.max_create_revision),
    )


def is_look(request: pb.RangeRequest) -> bool:
    """One key as it is now, and nothing else asked: most of what is read."""
    return not (
        request.range_end
        or request.revision
        or request.limit
        or request.keys_only
        or request.count_only
        or request.min_mod_revision
        or request.max_mod_revision
        or request.min_create_revision
        or request.max_create_revision
        or request.sort_order
        or request.sort_target
    )


def look(request: pb.RangeRequest) -> bytes:
    """The store's query. Raises Fault if the key is over a limit of the format."""
    try:
        return encode_look(request.key)
    except WireError:
        raise fault("request_too_large") from None


def _bounds(least: int, most: int) -> tuple[int, int]:
    """A negative least bound leaves out nothing, a negative upper one leaves out everything."""
    if most < 0:
        return REVISION_MAX, 0
    return max(0, least), most


def is_plain(request: pb.PutRequest) -> bool:
    """A key and a value, and nothing else asked: most of what a store does, by its quickest way."""
    return not (request.lease or request.prev_kv or request.ignore_value or request.ignore_lease)


def plain_put(request: pb.PutRequest) -> bytes:
    """The store's command. Raises Fault if it is over a limit of the format."""
    try:
        return kv.encode_put(request.key, request.value)
    except WireError:
        raise fault("request_too_large") from None


def put_op(request: pb.PutRequest) -> wire.PutOp:
    return wire.PutOp(
        request.key,
        request.value,
        request.lease,
        request.prev_kv,
        request.ignore_value,
        request.ignore_lease,
    )


def delete_op(request: pb.DeleteRangeRequest) -> wire.DeleteOp:
    return wire.DeleteOp(request.key, request.range_end, request.prev_kv)


def txn_op(request: pb.TxnRequest) -> wire.Txn:
    """Of a request that was checked. Raises Fault for compares that nobody knows."""
    compares = [_compare(compare) for compare in request.compare]
    return wire.Txn(compares, _ops(request.success), _ops(request.failure))


def _ops(operations: Iterable[pb.RequestOp]) -> list[wire.Op]:
    return [_op(operation) for operation in operations]


def _op(operation: pb.RequestOp) -> wire.Op:
    kind = operation.WhichOneof("request")
    if kind == "request_range":
        return range_op(operation.request_range)
    if kind == "request_put":
        return put_op(operation.request_put)
    if kind == "request_delete_range":
        return delete_op(operation.request_delete_range)
    return txn_op(operation.request_txn)


def _compare(compare: pb.Compare) -> wire.Compare:
    result = _RESULTS.get(compare.result)
    if result is None:
        text = f"etcdserver: compare with the unknown result {compare.result}"
        raise Fault(Code.INVALID_ARGUMENT, text)
    if compare.target == pb.Compare.VALUE:
        return wire.Compare(compare.key, wire.VALUE, result, 0, compare.value, compare.range_end)
    known = _TARGETS.get(compare.target)
    if known is None:
        text = f"etcdserver: compare with the unknown target {compare.target}"
        raise Fault(Code.INVALID_ARGUMENT, text)
    target, field = known
    number: int = getattr(compare, field)
    return wire.Compare(compare.key, target, result, number, b"", compare.range_end)


# --- answers ------------------------------------------------------------------------------------


def key_value(found: KeyValue) -> pb.KeyValue:
    return pb.KeyValue(
        key=found.key,
        value=found.value,
        create_revision=found.create_revision,
        mod_revision=found.mod_revision,
        version=found.version,
        lease=found.lease,
    )


def range_answer(
    header: pb.ResponseHeader, found: txn_answers.RangeAnswer
) -> Pieces[pb.RangeResponse]:
    answer = pb.RangeResponse(header=header, more=found.more, count=found.total)
    yield from _add(answer.kvs, found.kvs)
    return answer


def _add(to: Any, kvs: list[KeyValue]) -> Pieces[None]:
    """Uses them up: to let go of 300,000 at a time takes long, too."""
    kvs.reverse()
    while kvs:
        to.extend([key_value(kv) for kv in kvs[: -PAIRS_AT_ONCE - 1 : -1]])
        del kvs[-PAIRS_AT_ONCE:]
        if kvs:
            yield


def look_answer(header: pb.ResponseHeader, found: Look) -> pb.RangeResponse:
    if found.kv is None:
        return pb.RangeResponse(header=header)
    return pb.RangeResponse(header=header, kvs=(key_value(found.kv),), count=1)


def put_answer(header: pb.ResponseHeader, done: txn_answers.PutAnswer) -> pb.PutResponse:
    prev = None if done.prev_kv is None else key_value(done.prev_kv)
    return pb.PutResponse(header=header, prev_kv=prev)


def delete_answer(
    header: pb.ResponseHeader, done: txn_answers.DeleteAnswer
) -> Pieces[pb.DeleteRangeResponse]:
    answer = pb.DeleteRangeResponse(header=header, deleted=done.deleted)
    yield from _add(answer.prev_kvs, done.prev_kvs)
    return answer


def txn_answer(header: pb.ResponseHeader, result: txn_answers.TxnResult) -> Pieces[pb.TxnResponse]:
    changes = _changes(result.responses)
    responses = yield from _Responses(result.revision - changes).all(result.responses)
    return pb.TxnResponse(header=header, succeeded=result.succeeded, responses=responses)


def _changes(responses: Sequence[txn_answers.Response]) -> bool:
    return any(_changed(response) for response in responses)


def _changed(response: txn_answers.Response) -> bool:
    if isinstance(response, txn_answers.PutAnswer):
        return True
    if isinstance(response, txn_answers.DeleteAnswer):
        return response.deleted > 0
    return isinstance(response, txn_answers.TxnAnswer) and _changes(response.responses)


class _Responses:
    """Walks through the answers inside a transaction, which say the revision so far."""

    def __init__(self, before: int) -> None:
        self._before = before
        self._changed = False

    def all(self, responses: Iterable[txn_answers.Response]) -> Pieces[list[pb.ResponseOp]]:
        made: list[pb.ResponseOp] = []
        for response in responses:
            made.append((yield from self._one(response)))
        return made

    def _one(self, response: txn_answers.Response) -> Pieces[pb.ResponseOp]:
        if isinstance(response, txn_answers.TxnAnswer):
            nested = yield from self.all(response.responses)
            txn = pb.TxnResponse(
                header=pb.ResponseHeader(), succeeded=response.succeeded, responses=nested
            )
            return pb.ResponseOp(response_txn=txn)
        self._changed = self._changed or _changed(response)
        header = pb.ResponseHeader(revision=self._before + self._changed)
        if isinstance(response, txn_answers.RangeAnswer):
            answer = yield from range_answer(header, response)
            return pb.ResponseOp(response_range=answer)
        if isinstance(response, txn_answers.PutAnswer):
            return pb.ResponseOp(response_put=put_answer(header, response))
        deleted = yield from delete_answer(header, response)
        return pb.ResponseOp(response_delete_range=deleted)
