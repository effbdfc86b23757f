"""No key is written twice by one transaction; so a key changes at most once per revision.

As in etcd, the two branches of one nested transaction may write the same key, since only one of
them runs. Unlike in etcd, a nested delete after a nested put of the same key is refused as well,
not only the other way round.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence

from raftd.wire.errors import WireError
from raftd.wire.spans import Span, span_of
from raftd.wire.txn_types import DeleteOp, Op, PutOp, Txn

DUPLICATE = "duplicate key given in txn request"


def check_writes(success: Sequence[Op], failure: Sequence[Op]) -> None:
    """Raises WireError if a branch writes a key twice."""
    _written(success)
    _written(failure)


def _written(ops: Sequence[Op]) -> tuple[set[bytes], list[Span]]:
    """(keys put, spans deleted) by a branch, each key once."""
    puts: set[bytes] = set()
    deletes: list[Span] = []
    for op in ops:
        op_puts, op_deletes = _written_by(op)
        if not op_puts.isdisjoint(puts):
            raise WireError(DUPLICATE)
        if (deletes and op_puts and _meet(op_puts, deletes)) or (
            op_deletes and puts and _meet(puts, op_deletes)
        ):
            raise WireError(DUPLICATE)
        puts |= op_puts
        deletes += op_deletes
    return puts, deletes


def _written_by(op: Op) -> tuple[set[bytes], list[Span]]:
    if isinstance(op, PutOp):
        return {op.key}, []
    if isinstance(op, DeleteOp):
        return set(), [span_of(op.key, op.range_end)]
    if isinstance(op, Txn):
        then_puts, then_deletes = _written(op.success)
        else_puts, else_deletes = _written(op.failure)
        return then_puts | else_puts, then_deletes + else_deletes
    return set(), []


def _meet(puts: set[bytes], deletes: Iterable[Span]) -> bool:
    order = sorted(puts)
    for span in deletes:
        at = bisect_left(order, span.start)
        if at < len(order) and span.holds(order[at]):
            return True
    return False
