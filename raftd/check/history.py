"""A history from JSON lines (docs/history-format.md); raftd/check/writing.py is the way back.

Reading is strict: a name that the format does not know is an error, since a misspelt `revison`
would silently weaken the verdict. Names that start with "_" are for whoever writes them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

from raftd.check.fields import (
    HistoryError as HistoryError,
)
from raftd.check.fields import (
    count,
    data,
    decoded,
    flag,
    item_of,
    time_of,
    whole,
)
from raftd.check.notices import Notice, notice_of
from raftd.check.operations import (
    BATCH,
    CAS,
    COMPACT,
    DELETE,
    GET,
    GRANT,
    HOLD,
    KINDS,
    OK,
    OUTCOMES,
    PUT,
    RANGE,
    READS,
    RENEW,
    REVOKE,
    TXN,
    UNKNOWN,
    Expect,
    Item,
    Op,
)  # fmt: skip
from raftd.check.parts import at_of, branch_of, lease_of, token_of, txn_of

FORMAT: Final = "raftd-history"
VERSION: Final = 2
READABLE: Final = (1, 2)
"""Version 2 adds transactions, leases, reads of the past, holds, compactions and watches."""
FIRST_REVISION: Final = 1
"""Of a fresh store."""
TEXT_MAX: Final = 1000
"""Characters of an error."""

_COMMON: Final = frozenset(("op", "outcome", "call", "return", "client", "revision"))
_SHOWN: Final = {"value", "version", "mod_revision", "create_revision"}
_FIELDS: Final = {
    PUT: _COMMON | {"key", "value", "version", "lease"},
    GET: _COMMON | _SHOWN | {"key", "lease", "at"},
    DELETE: _COMMON | {"key", "deleted"},
    CAS: _COMMON | {"key", "expect", "value", "succeeded", "version", "current"},
    BATCH: _COMMON | {"operations", "versions"},
    RANGE: _COMMON | {"prefix", "after", "limit", "items", "more", "at"},
    TXN: _COMMON | {"compare", "then", "else", "succeeded", "responses"},
    GRANT: _COMMON | {"lease", "ttl"},
    RENEW: _COMMON | {"lease", "ttl"},
    REVOKE: _COMMON | {"lease", "existed"},
    HOLD: _COMMON | {"key", "token"},
    COMPACT: _COMMON | {"at"},
}
_EXPECTATIONS: Final = ("absent", "value", "version", "mod_revision")


@dataclass(slots=True)
class History:
    """Operations and what watchers were given, and the store before the first of them."""

    ops: list[Op] = field(default_factory=list)
    watches: list[Notice] = field(default_factory=list)
    revision: int = FIRST_REVISION
    initial: dict[bytes, Item] = field(default_factory=dict)


def read(lines: Iterable[str]) -> History:
    """Raises HistoryError."""
    history = History()
    calls: dict[Any, tuple[int, dict[str, Any]]] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            if not isinstance(record, dict):
                raise HistoryError("expected one JSON object a line")
            if "format" in record:
                _header(record, history)
            elif "watch" in record:
                history.watches.append(notice_of(number, record))
            elif "event" in record:
                complete = _event(record, number, calls)
                if complete is not None:
                    history.ops.append(_operation(*complete))
            else:
                history.ops.append(_operation(number, record))
        except HistoryError as error:
            raise _at(number, error) from None
        except ValueError as error:
            raise _at(number, f"not JSON: {error}") from None
        except RecursionError:
            raise _at(number, "nested too deep") from None
    for number, record in calls.values():
        try:
            history.ops.append(_operation(number, record))
        except HistoryError as error:
            raise _at(number, error) from None
    return history


def _at(number: int, what: object) -> HistoryError:
    """In one line: names and values in a history may hold anything."""
    text = "".join(char if char.isprintable() else repr(char)[1:-1] for char in str(what))
    return HistoryError(f"line {number}: {text[:TEXT_MAX]}")


def _header(record: dict[str, Any], history: History) -> None:
    if history.ops or history.watches:
        raise HistoryError("the header must be the first line")
    if record["format"] != FORMAT or record.get("version") not in READABLE:
        raise HistoryError(f"expected format {FORMAT!r} version {VERSION}, or an older one")
    initial = record.get("initial", {})
    if not isinstance(initial, dict):
        raise HistoryError("initial: expected an object")
    history.revision = count(initial, "revision", FIRST_REVISION) or 0
    items = initial.get("items", [])
    if not isinstance(items, list):
        raise HistoryError("initial: items: expected a list")
    for item in items:
        value = item_of(item)
        history.initial[data(item, "key")] = value


def _event(
    record: dict[str, Any], number: int, calls: dict[Any, tuple[int, dict[str, Any]]]
) -> tuple[int, dict[str, Any]] | None:
    """A call is kept until its return comes; both together are an operation."""
    kind, name = record.pop("event"), record.pop("id", None)
    time = record.pop("time", number)
    if not isinstance(name, str | int):
        raise HistoryError("id: expected a string or a number")
    if kind == "call":
        if name in calls:
            raise HistoryError(f"id {name!r}: called twice without a return in between")
        calls[name] = (number, {**record, "call": time, "outcome": UNKNOWN})
        return None
    if kind != "return":
        raise HistoryError(f"event {kind!r}: expected call or return")
    if name not in calls:
        raise HistoryError(f"id {name!r}: a return without a call")
    at, call = calls.pop(name)
    return at, {**call, "outcome": OK, **record, "return": time}


def _operation(number: int, record: dict[str, Any]) -> Op:
    kind = record.get("op")
    if kind not in KINDS:
        raise HistoryError(f"op {kind!r}: expected one of {', '.join(KINDS)}")
    foreign = [name for name in record.keys() - _FIELDS[kind] if not name.startswith("_")]
    if foreign:
        raise HistoryError(f"{kind}: no such field: {', '.join(sorted(foreign))}")
    outcome = record.get("outcome")
    if outcome not in OUTCOMES:
        raise HistoryError(f"outcome {outcome!r}: expected one of {', '.join(OUTCOMES)}")
    op = Op(kind, b"", time_of(record, "call"), outcome=outcome, line=number)
    op.client = str(record.get("client", ""))
    if outcome != UNKNOWN:
        op.ret = time_of(record, "return")
        if op.ret < op.call:
            raise HistoryError("return: is before call")
    _read_request(op, record)
    if outcome == OK:
        op.revision = count(record, "revision")
        _read_answer(op, record)
    return op


def _read_request(op: Op, record: dict[str, Any]) -> None:
    if op.kind == BATCH:
        op.operations = tuple(_batch(record))
        return
    if op.kind in READS:
        op.at = count(record, "at")
    if op.kind == TXN:
        op.txn = txn_of(record)
        return
    if op.kind in (GRANT, RENEW, REVOKE):
        op.lease = lease_of(record)
        op.ttl = time_of(record, "ttl") if op.kind == GRANT else 0.0
        return
    if op.kind == COMPACT:
        op.at = at_of(record)
        return
    if op.kind == RANGE:
        op.key = data(record, "prefix") if "prefix" in record else b""
        op.after = data(record, "after") if "after" in record else b""
        op.limit = count(record, "limit", 0) or 0
        return
    op.key = data(record, "key")
    if op.kind == PUT:
        op.value = data(record, "value")
        op.lease = count(record, "lease") or 0
    elif op.kind == HOLD:
        op.token = token_of(record)
    elif op.kind == CAS:
        op.value = data(record, "value") if record.get("value") is not None else None
        op.expect = _expect(record)


def _read_answer(op: Op, record: dict[str, Any]) -> None:
    if op.kind in (PUT, CAS):
        op.version = count(record, "version")
    if op.kind == GET:
        if "value" not in record:
            raise HistoryError("value: a get that is ok shows one, or null for absent")
        op.found = item_of(record) if record["value"] is not None else None
    elif op.kind == DELETE:
        op.done = flag(record, "deleted")
    elif op.kind == CAS:
        op.done = flag(record, "succeeded")
        if op.done is None:
            raise HistoryError("succeeded: a cas that is ok says true or false")
        op.told = "current" in record and not op.done
        current = record.get("current")
        op.found = item_of(current) if op.told and current is not None else None
    elif op.kind == RANGE:
        items = record.get("items")
        if not isinstance(items, list):
            raise HistoryError("items: a range that is ok shows a list")
        shows = [(item, item_of(item)) for item in items]  # item_of knows that each is an object
        op.items = tuple((data(item, "key"), value) for item, value in shows)
        if any(a[0] >= b[0] for a, b in pairwise(op.items)):
            raise HistoryError("items: expected in byte order of their keys, each once")
        op.more = flag(record, "more")
    elif op.kind == TXN:
        op.done = flag(record, "succeeded")
        if op.done is None:
            raise HistoryError("succeeded: a txn that is ok says true or false")
        assert op.txn is not None
        if record.get("responses") is not None:
            op.branch = branch_of(op.txn, op.done, record["responses"])
    elif op.kind == RENEW:
        op.ttl = time_of(record, "ttl")
        op.done = op.ttl > 0
    elif op.kind == GRANT:
        op.ttl = time_of(record, "ttl")
    elif op.kind == REVOKE:
        op.done = flag(record, "existed")
    elif op.kind == BATCH and record.get("versions") is not None:
        versions = record["versions"]
        if not isinstance(versions, list):
            raise HistoryError("versions: expected a list")
        op.versions = tuple(whole("versions", version) for version in versions)
        if len(op.versions) != len(op.operations):
            raise HistoryError("versions: expected one for each operation")


def _batch(record: dict[str, Any]) -> Iterator[tuple[bytes, bytes | None]]:
    pairs = record.get("operations")
    if not isinstance(pairs, list):
        raise HistoryError("operations: expected a list of [key, value] with null for a delete")
    seen: set[bytes] = set()
    for pair in pairs:
        if not isinstance(pair, list) or len(pair) != 2:
            raise HistoryError("operations: expected [key, value] pairs")
        key = decoded(pair[0], "operations")
        if key in seen:
            raise HistoryError(f"operations: key {key!r} appears twice")
        seen.add(key)
        yield key, None if pair[1] is None else decoded(pair[1], "operations")


def _expect(record: dict[str, Any]) -> Expect:
    expect = record.get("expect")
    if not isinstance(expect, dict) or len(expect) != 1 or next(iter(expect)) not in _EXPECTATIONS:
        raise HistoryError(f"expect: an object with one of {', '.join(_EXPECTATIONS)}")
    kind = next(iter(expect))
    if kind == "absent":
        return Expect(kind)
    if kind == "value":
        return Expect(kind, data(expect, "value"))
    return Expect(kind, number=count(expect, kind) or 0)
