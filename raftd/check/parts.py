"""Transactions of a history from JSON and back, and the numbers that name leases and tokens."""

from __future__ import annotations

import base64
from typing import Any, Final

from raftd.check.fields import HistoryError, count, data, flag, item_of
from raftd.check.operations import (
    DELETE,
    GET,
    PUT,
    RANGE,
    TXN,
    Branch,
    Compare,
    Item,
    Part,
    Txn,
)  # fmt: skip

NUMBERS: Final = ("version", "create_revision", "mod_revision", "lease")
SIGNS: Final = ("=", "!=", "<", ">")
DEPTH_MAX: Final = 16
_PART: Final = {
    PUT: {"value", "lease"},
    GET: set[str](),
    DELETE: {"prefix"},
    RANGE: set[str](),
    TXN: set[str](),
}


def lease_of(record: dict[str, Any]) -> int:
    return count(record, "lease") or _missing("lease")


def token_of(record: dict[str, Any]) -> int:
    return count(record, "token") or _missing("token")


def at_of(record: dict[str, Any]) -> int:
    return count(record, "at") or _missing("at")


def _missing(name: str) -> int:
    raise HistoryError(f"{name}: expected a number from 1 on")


# -- the question ---------------------------------------------------------------------------------


def txn_of(record: Any, depth: int = 1) -> Txn:
    """`compare`, `then` and `else`, each a list that may be left out. Raises HistoryError."""
    if not isinstance(record, dict):
        raise HistoryError("txn: expected an object with compare, then, else")
    if depth > DEPTH_MAX:
        raise HistoryError(f"txn: nested more than {DEPTH_MAX} times")
    return Txn(
        tuple(_compare(one) for one in _list(record, "compare")),
        tuple(_part(one, depth) for one in _list(record, "then")),
        tuple(_part(one, depth) for one in _list(record, "else")),
    )


def _list(record: dict[str, Any], name: str) -> list[Any]:
    found = record.get(name, [])
    if not isinstance(found, list):
        raise HistoryError(f"{name}: expected a list")
    return found


def _compare(record: Any) -> Compare:
    if not isinstance(record, dict):
        raise HistoryError("compare: expected objects")
    foreign = record.keys() - {"key", "target", "is", "than", "prefix"}
    if foreign:
        raise HistoryError(f"compare: no such field: {', '.join(sorted(foreign))}")
    target, sign = record.get("target"), record.get("is")
    if sign not in SIGNS:
        raise HistoryError(f"is: expected one of {' '.join(SIGNS)}")
    key, prefix = data(record, "key"), bool(flag(record, "prefix"))
    if target == "value":
        return Compare(key, target, sign, data(record, "than"), 0, prefix)
    if target not in NUMBERS:
        raise HistoryError(f"target: expected value or one of {', '.join(NUMBERS)}")
    return Compare(key, target, sign, b"", count(record, "than", 0) or 0, prefix)


def _part(record: Any, depth: int) -> Part:
    kind = next((kind for kind in _PART if isinstance(record, dict) and kind in record), "")
    if not kind:
        raise HistoryError(f"then, else: expected objects with one of {', '.join(_PART)}")
    foreign = record.keys() - _PART[kind] - {kind}
    if foreign:
        raise HistoryError(f"{kind}: no such field: {', '.join(sorted(foreign))}")
    if kind == TXN:
        return Part(TXN, txn=txn_of(record[TXN], depth + 1))
    value = data(record, "value") if kind == PUT else b""
    lease = count(record, "lease", 0) or 0
    return Part(kind, data(record, kind), value, lease, bool(flag(record, "prefix")))


# -- the answer -----------------------------------------------------------------------------------


def branch_of(txn: Txn, succeeded: bool, responses: Any) -> Branch:
    """One response for each operation of the branch that ran. Raises HistoryError."""
    parts = txn.then if succeeded else txn.otherwise
    if not isinstance(responses, list) or len(responses) != len(parts):
        raise HistoryError("responses: expected a list, one for each operation of the branch")
    return Branch(succeeded, tuple(map(_response, parts, responses)))


def _response(part: Part, told: Any) -> object:
    if part.txn is not None:
        done = flag(told, "succeeded") if isinstance(told, dict) else None
        if done is None:
            raise HistoryError("responses: a txn says whether it succeeded")
        return branch_of(part.txn, done, told.get("responses"))
    if part.kind == GET:
        return item_of(told) if told is not None else None
    if part.kind == RANGE:
        if not isinstance(told, list):
            raise HistoryError("responses: a range shows a list")
        shows = [(item, item_of(item)) for item in told]
        return tuple((data(item, "key"), value) for item, value in shows)
    if part.kind == DELETE and told is not None:
        return count({"deleted": told}, "deleted")
    return None


# -- and back -------------------------------------------------------------------------------------


def txn_record(txn: Txn) -> dict[str, Any]:
    return {
        "compare": [_compare_record(compare) for compare in txn.compares],
        "then": [_part_record(part) for part in txn.then],
        "else": [_part_record(part) for part in txn.otherwise],
    }


def _compare_record(compare: Compare) -> dict[str, Any]:
    than = text(compare.value) if compare.target == "value" else compare.number
    record = {
        "key": text(compare.key), "target": compare.target, "is": compare.sign, "than": than
    }  # fmt: skip
    return record | ({"prefix": True} if compare.prefix else {})


def _part_record(part: Part) -> dict[str, Any]:
    if part.txn is not None:
        return {TXN: txn_record(part.txn)}
    record: dict[str, Any] = {part.kind: text(part.key)}
    if part.kind == PUT:
        record["value"] = text(part.value)
    if part.lease:
        record["lease"] = part.lease
    return record | ({"prefix": True} if part.prefix else {})


def responses_record(branch: Branch) -> list[Any]:
    return [_response_record(response) for response in branch.responses]


def _response_record(response: object) -> Any:
    if isinstance(response, Branch):
        return {"succeeded": response.succeeded, "responses": responses_record(response)}
    if isinstance(response, Item):
        return item_record(response)
    if isinstance(response, tuple):
        return [{"key": text(key), **item_record(item)} for key, item in response]
    return response


def item_record(item: Item) -> dict[str, Any]:
    """What was told of a key."""
    told = {**item._asdict(), "value": text(item.value)}
    return {name: value for name, value in told.items() if value is not None}


def text(value: bytes | None) -> Any:
    """A key or value in JSON."""
    if value is None:
        return None
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}
