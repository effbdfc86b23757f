"""Long reads come in pieces, and a piece is as long in a large store as in a small one.

The store is read on the thread that sends heartbeats: a read that is one piece is an election.
Work is counted in lines of Python that ran, which is the same on every machine.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from types import FrameType, GeneratorType
from typing import Any

import pytest

from raftd.machine.kv.store import KvStore
from raftd.wire import kv, leases
from raftd.wire.principal import OWN
from raftd.wire.txn import (
    ASCEND,
    DESCEND,
    GREATER,
    KEY,
    MOD_REVISION,
    VALUE,
    VERSION,
    Compare,
    DeleteOp,
    Op,
    PutOp,
    RangeOp,
    Txn,
    encode_txn,
)
from raftd.wire.txn_answers import RangeAnswer, decode_txn_answer
from tests.machine.leading import FakeNode

FEW, MANY = 5_000, 15_000
LEASE = 7


class Store(KvStore):
    """One command an entry; half of `keys` are changed after revision `then`, some are deleted."""

    def __init__(self, keys: int) -> None:
        super().__init__()
        self.index = 0
        for number in range(keys):
            self.do(kv.encode_put(b"k%06d" % number, b"%d" % (number * 7919 % keys)))
        self.then = self.revision
        for number in range(0, keys, 2):
            self.do(kv.encode_put(b"k%06d" % number, b"x"))
        self.do(encode_txn(Txn((), (DeleteOp(b"k000", b"k001"),))))

    def do(self, command: bytes) -> bytes:
        answer = self.apply(command)
        self.index += 1
        self.on_applied(self.index)
        return answer


@pytest.fixture(scope="module")
def stores() -> list[Store]:
    return [Store(FEW), Store(MANY)]


def everything(**more: Any) -> RangeOp:
    return RangeOp(b"\0", b"\0", **more)


Make = Callable[[Store], list[Op]]
READS: dict[str, Make] = {
    "all": lambda store: [everything()],
    "the last one": lambda store: [everything(order=DESCEND, limit=1, min_mod_revision=1 << 40)],
    "sorted": lambda store: [everything(sort=VALUE, order=DESCEND)],
    "the first of sorted": lambda store: [everything(sort=MOD_REVISION, order=ASCEND, limit=1)],
    "none within bounds": lambda store: [everything(min_mod_revision=1 << 40, limit=1)],
    "in the past": lambda store: [everything(revision=store.then, limit=1)],
    "all in the past": lambda store: [everything(revision=store.then)],
    "how many in the past": lambda store: [everything(revision=store.then, count_only=True)],
    "ten in the past": lambda store: [everything(revision=store.then, limit=1)] * 10,
}


def longest_piece(begin: Callable[[], Any]) -> tuple[int, int, bytes]:
    """(lines that ran in the longest piece, pieces, the answer)."""
    lines = longest = pieces = 0

    def line(frame: FrameType, event: str, arg: object) -> Any:
        nonlocal lines
        lines += event == "line"
        return line

    before = sys.gettrace()
    sys.settrace(line)
    try:
        answer = begin()
        longest, lines, pieces = lines, 0, 1
        while isinstance(answer, GeneratorType):
            try:
                next(answer)
            except StopIteration as end:
                answer = end.value
            longest, lines, pieces = max(longest, lines), 0, pieces + 1
    finally:
        sys.settrace(before)
    return longest, pieces, answer


def check(stores: Sequence[KvStore], request: Callable[[Any], bytes]) -> None:
    few, many = (
        longest_piece(lambda store=store: store.query_as(OWN, request(store)))  # type: ignore[misc]
        for store in stores
    )
    assert many[0] <= 1.5 * few[0], f"{many[0]} lines in one piece, with a third {few[0]}"
    assert many[1] >= MANY // 4096


@pytest.mark.parametrize("name", READS)
def test_a_read_of_many_keys_comes_in_pieces(stores: list[Store], name: str) -> None:
    """The story without it: ten ranges at an old revision over 300,000 keys held a node's network
    thread for 3.8 s, and a plain list of them for half a second.
    """
    check(stores, lambda store: encode_txn(Txn((), READS[name](store))))


def test_compares_of_many_keys_come_in_pieces(stores: list[Store]) -> None:
    all_there = Compare(b"k", VERSION, GREATER, 0, range_end=b"l")
    check(stores, lambda store: encode_txn(Txn([all_there] * 4, [everything(limit=1)])))


def test_the_keys_of_a_lease_come_in_pieces() -> None:
    made = []
    for keys in (FEW, MANY):
        node = FakeNode()
        node.lead(1)
        node.apply(leases.encode_lease_grant(LEASE, 60))
        for number in range(keys):
            put = PutOp(b"k%06d" % (number * 7919 % keys), b"", LEASE)
            node.apply(encode_txn(Txn((), (put,))))
        made.append(node.store)
    check(made, lambda store: leases.encode_lease_time_to_live(LEASE, keys=True))


@pytest.mark.parametrize("order", [ASCEND, DESCEND])
@pytest.mark.parametrize("sort", [KEY, VALUE, MOD_REVISION])
@pytest.mark.parametrize("limit", [0, 700])
def test_a_read_in_pieces_is_what_it_would_be_at_once(
    stores: list[Store], order: int, sort: int, limit: int
) -> None:
    store = stores[0]
    then = [(b"k%06d" % number, b"%d" % (number * 7919 % FEW)) for number in range(FEW)]
    position = {key: place for place, (key, _) in enumerate(then)}
    by: dict[int, Callable[[tuple[bytes, bytes]], Any]] = {
        KEY: lambda pair: pair[0],
        VALUE: lambda pair: pair[1],
        MOD_REVISION: lambda pair: position[pair[0]],
    }
    wanted = sorted(then, key=by[sort], reverse=order == DESCEND)
    op = everything(revision=store.then, sort=sort, order=order, limit=limit)
    answer = decode_txn_answer(store.query(encode_txn(Txn((), (op,))))).responses[0]
    assert isinstance(answer, RangeAnswer)
    assert [(each.key, each.value) for each in answer.kvs] == wanted[: limit or None]
    assert (answer.total, answer.more) == (FEW, 0 < limit < FEW)
