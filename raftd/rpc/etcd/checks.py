"""What etcd refuses of a request before it looks at the store, in etcd's order. Any thread.

All functions raise Fault.
"""

from __future__ import annotations

from collections.abc import Sequence

from raftd._pb import etcd_pb2 as pb
from raftd.rpc.etcd.faults import fault
from raftd.wire.kv import OPERATIONS_MAX as OPERATIONS_IN_ALL_MAX
from raftd.wire.spans import Span, span_of

OPERATIONS_MAX = 128
"""In each list of a transaction; those of nested ones have what is left."""
DEPTH_MAX = 32

SORT_ORDERS = frozenset(pb.RangeRequest.SortOrder.values())
SORT_TARGETS = frozenset(pb.RangeRequest.SortTarget.values())


def check_range(request: pb.RangeRequest) -> None:
    if not request.key:
        raise fault("empty_key")
    if request.sort_order not in SORT_ORDERS or request.sort_target not in SORT_TARGETS:
        raise fault("invalid_sort_option")


def check_put(request: pb.PutRequest) -> None:
    if not request.key:
        raise fault("empty_key")
    if request.ignore_value and request.value:
        raise fault("value_provided")
    if request.ignore_lease and request.lease:
        raise fault("lease_provided")


def check_delete(request: pb.DeleteRangeRequest) -> None:
    if not request.key:
        raise fault("empty_key")


def check_txn(request: pb.TxnRequest) -> None:
    """Sizes and fields, then whether one branch writes a key twice.

    That looks at all pairs, so it is not begun with more operations than the store takes: as lists
    of 128 may be nested three deep in 2 MB, the pairs took minutes, with the network thread.
    """
    _check_operations(request, OPERATIONS_MAX, DEPTH_MAX)
    if _in_all(request) > OPERATIONS_IN_ALL_MAX:
        raise fault("too_many_ops")
    _writes(request.success)
    _writes(request.failure)


def _check_operations(request: pb.TxnRequest, most: int, depth: int) -> None:
    longest = max(len(request.compare), len(request.success), len(request.failure))
    if longest > most or not depth:
        raise fault("too_many_ops")
    for compare in request.compare:
        if not compare.key:
            raise fault("empty_key")
    for operations in (request.success, request.failure):
        for operation in operations:
            _check_operation(operation, most - longest, depth)


def _in_all(request: pb.TxnRequest) -> int:
    """Compares and operations, those of nested transactions among them."""
    count = len(request.compare) + len(request.success) + len(request.failure)
    for operations in (request.success, request.failure):
        for operation in operations:
            if operation.HasField("request_txn"):
                count += _in_all(operation.request_txn)
    return count


def _check_operation(operation: pb.RequestOp, most: int, depth: int) -> None:
    kind = operation.WhichOneof("request")
    if kind == "request_range":
        check_range(operation.request_range)
    elif kind == "request_put":
        check_put(operation.request_put)
    elif kind == "request_delete_range":
        check_delete(operation.request_delete_range)
    elif kind == "request_txn":
        _check_operations(operation.request_txn, most, depth - 1)
    else:
        raise fault("key_not_found")


Deleted = list[Span]


def _writes(operations: Sequence[pb.RequestOp]) -> tuple[set[bytes], Deleted]:
    """(keys put, ranges deleted) by one branch. Raises Fault where they meet."""
    deleted = [
        span_of(operation.request_delete_range.key, operation.request_delete_range.range_end)
        for operation in operations
        if operation.HasField("request_delete_range")
    ]
    put: set[bytes] = set()
    for operation in operations:
        if operation.HasField("request_txn"):
            put |= _nested_writes(operation.request_txn, put, deleted)
    for operation in operations:
        if operation.HasField("request_put"):
            key = operation.request_put.key
            if key in put or _covered(key, deleted):
                raise fault("duplicate_key")
            put.add(key)
    return put, deleted


def _nested_writes(txn: pb.TxnRequest, put: set[bytes], deleted: Deleted) -> set[bytes]:
    """What a nested transaction may put; adds to `deleted`. Its two branches never meet."""
    put_then, deleted_then = _writes(txn.success)
    put_else, deleted_else = _writes(txn.failure)
    for key in put_then | put_else:
        if key in put or _covered(key, deleted):
            raise fault("duplicate_key")
    deleted += deleted_then
    deleted += deleted_else
    return put_then | put_else


def _covered(key: bytes, spans: Deleted) -> bool:
    return any(span.holds(key) for span in spans)
