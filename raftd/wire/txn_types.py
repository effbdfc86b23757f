"""What a transaction of the built-in store is made of: compares, then, else.

Plain values, with the names and the meaning that they have in the etcd v3 API. Any thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

VERSION: Final = 0
CREATE_REVISION: Final = 1
MOD_REVISION: Final = 2
VALUE: Final = 3
LEASE: Final = 4
KEY: Final = 5
"""What is compared, or sorted by (never KEY, never LEASE respectively)."""

EQUAL: Final = 0
GREATER: Final = 1
LESS: Final = 2
NOT_EQUAL: Final = 3

NO_ORDER: Final = 0
ASCEND: Final = 1
DESCEND: Final = 2


class Compare(NamedTuple):
    """`target` of every key in the span, `result`, this. value: for VALUE; number: for the others.

    A key that is not there compares as zeros; with VALUE it never holds. An empty range compares as
    one key that is not there.
    """

    key: bytes
    target: int
    result: int
    number: int = 0
    value: bytes = b""
    range_end: bytes = b""


class RangeOp(NamedTuple):
    """A read. limit 0: none; revision 0: the present; a bound of 0: none.

    order with sort (KEY, VERSION, CREATE_REVISION, MOD_REVISION, VALUE); limit comes after both.
    """

    key: bytes
    range_end: bytes = b""
    limit: int = 0
    revision: int = 0
    order: int = NO_ORDER
    sort: int = KEY
    keys_only: bool = False
    count_only: bool = False
    min_mod_revision: int = 0
    max_mod_revision: int = 0
    min_create_revision: int = 0
    max_create_revision: int = 0


class PutOp(NamedTuple):
    """lease 0 detaches the key from the one it had. The ignore flags keep what the key has."""

    key: bytes
    value: bytes = b""
    lease: int = 0
    prev_kv: bool = False
    ignore_value: bool = False
    ignore_lease: bool = False


class DeleteOp(NamedTuple):
    key: bytes
    range_end: bytes = b""
    prev_kv: bool = False


class Txn(NamedTuple):
    """If all compares hold, the operations of `success`, else those of `failure`; one revision."""

    compares: Sequence[Compare] = ()
    success: Sequence[Op] = ()
    failure: Sequence[Op] = ()

    @property
    def writes(self) -> bool:
        """Is there a put or a delete anywhere in it? Without one it may be sent as a query."""
        return any(
            isinstance(op, PutOp | DeleteOp) or (isinstance(op, Txn) and op.writes)
            for op in (*self.success, *self.failure)
        )


Op = RangeOp | PutOp | DeleteOp | Txn
