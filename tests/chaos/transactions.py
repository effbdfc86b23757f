"""Transactions on the hot keys, as the checker and as the client call them."""

from __future__ import annotations

import random
from collections.abc import Sequence

from raftd.check.operations import (
    DELETE,
    GET,
    PUT,
    RANGE,
    Branch,
    Compare,
    Item,
    Part,
    Txn,
)
from raftd.client import txn as make
from raftd.wire.kv_results import KeyValue
from raftd.wire.txn_answers import DeleteAnswer, RangeAnswer, TxnAnswer
from raftd.wire.txn_types import Compare as WireCompare
from raftd.wire.txn_types import Op as WireOp


def drawn(
    draw: random.Random, keys: Sequence[bytes], seen: dict[bytes, KeyValue], value: bytes
) -> Txn:
    """One or two compares; puts, a delete, reads of what was just written; one within another."""
    one, two, three = draw.sample(keys, 3)
    compares = [_compare(draw, key, seen.get(key)) for key in (one, two)[: draw.randint(1, 2)]]
    then = (Part(PUT, one, value + b"a"), Part(GET, one), Part(PUT, two, value + b"b"))
    inner = Txn(
        (_compare(draw, three, seen.get(three)),), (Part(DELETE, three),), (Part(GET, one),)
    )
    other = draw.choice(
        ((Part(GET, one), Part(DELETE, two)), (Part(RANGE, b"hot/"),), (Part("txn", txn=inner),))
    )
    return Txn(tuple(compares), then, other) if draw.random() < 0.7 else Txn((), other, ())


def _compare(draw: random.Random, key: bytes, seen: KeyValue | None) -> Compare:
    target = draw.choice(("version", "value", "mod_revision", "create_revision"))
    if seen is None:
        return Compare(key, "version", "=")
    sign = draw.choice(("=", "=", "=", "!=", "<", ">"))
    if target == "value":
        return Compare(key, target, sign, seen.value)
    return Compare(key, target, sign, number=getattr(seen, target))


# -- as the client calls it -----------------------------------------------------------------------


def compares(txn: Txn) -> list[WireCompare]:
    return [_wire_compare(compare) for compare in txn.compares]


def _wire_compare(compare: Compare) -> WireCompare:
    field = getattr(make, compare.target)(compare.key)
    than = compare.value if compare.target == "value" else compare.number
    if compare.sign in ("=", "!="):
        made: WireCompare = field == than if compare.sign == "=" else field != than
        return made
    return field < than if compare.sign == "<" else field > than  # type: ignore[no-any-return]


def operations(parts: Sequence[Part]) -> list[WireOp]:
    return [_wire_op(part) for part in parts]


def _wire_op(part: Part) -> WireOp:
    if part.txn is not None:
        inner = part.txn
        return make.nested(
            when=compares(inner),
            then=operations(inner.then),
            otherwise=operations(inner.otherwise),
        )
    if part.kind == PUT:
        return make.put(part.key, part.value)
    if part.kind == DELETE:
        return make.delete(part.key)
    return make.get(part.key) if part.kind == GET else make.get_prefix(part.key)


def branch(txn: Txn, succeeded: bool, responses: Sequence[object]) -> Branch:
    """What was answered, as the checker calls it."""
    parts = txn.then if succeeded else txn.otherwise
    return Branch(succeeded, tuple(map(_response, parts, responses)))


def _response(part: Part, told: object) -> object:
    if part.txn is not None:
        assert isinstance(told, TxnAnswer)
        return branch(part.txn, told.succeeded, told.responses)
    if isinstance(told, DeleteAnswer):
        return told.deleted
    if not isinstance(told, RangeAnswer):
        return None
    items = tuple((pair.key, shown(pair)) for pair in told.kvs)
    if part.kind == RANGE:
        return items
    return items[0][1] if items else None


def shown(pair: KeyValue) -> Item:
    return Item(pair.value, pair.version, pair.mod_revision, pair.create_revision, pair.lease)
