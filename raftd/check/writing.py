"""Operations as JSON lines (docs/history-format.md), for whoever records a history."""

from __future__ import annotations

import base64
import json
from typing import Any

from raftd.check.history import FIRST_REVISION, FORMAT, VERSION
from raftd.check.operations import BATCH, CAS, DELETE, GET, INFINITY, OK, PUT, RANGE, Item, Op


def line_of(op: Op) -> str:
    """One operation as a line, without the line's end."""
    record: dict[str, Any] = {"op": op.kind}
    if op.client:
        record["client"] = op.client
    record["call"] = op.call
    if op.ret != INFINITY:
        record["return"] = op.ret
    record["outcome"] = op.outcome
    record.update(_request(op))
    if op.outcome == OK:
        record.update(_answer(op))
    return json.dumps(record, separators=(",", ":"))


def header_line(revision: int = FIRST_REVISION) -> str:
    """The first line of a history of a store that was empty, at `revision`."""
    return json.dumps({"format": FORMAT, "version": VERSION, "initial": {"revision": revision}})


def _request(op: Op) -> dict[str, Any]:
    if op.kind == BATCH:
        pairs = [[_text(key), _text(value)] for key, value in op.operations]
        return {"operations": pairs}
    if op.kind == RANGE:
        request: dict[str, Any] = {"prefix": _text(op.key)}
        if op.after:
            request["after"] = _text(op.after)
        if op.limit:
            request["limit"] = op.limit
        return request
    request = {"key": _text(op.key)}
    if op.kind in (PUT, CAS):
        request["value"] = _text(op.value)
    if op.expect is not None:
        kind = op.expect.kind
        told: Any = True if kind == "absent" else op.expect.number
        request["expect"] = {kind: _text(op.expect.value) if kind == "value" else told}
    return request


def _answer(op: Op) -> dict[str, Any]:
    answer: dict[str, Any] = {"revision": op.revision, "version": op.version}
    if op.kind == GET:
        answer.update(_shown(op.found) if op.found is not None else {"value": None})
        return _told(answer) | {"value": answer["value"]}
    if op.kind == DELETE:
        answer["deleted"] = op.done
    elif op.kind == CAS:
        answer["succeeded"] = op.done
        if op.told:
            current = _told(_shown(op.found)) if op.found is not None else None
            return _told(answer) | {"current": current}
    elif op.kind == RANGE:
        answer["items"] = [{"key": _text(key), **_told(_shown(item))} for key, item in op.items]
        answer["more"] = op.more
    elif op.kind == BATCH:
        answer["versions"] = op.versions
    return _told(answer)


def _shown(item: Item) -> dict[str, Any]:
    return {
        "value": _text(item.value), "version": item.version, "mod_revision": item.mod_revision
    }  # fmt: skip


def _told(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if value is not None}


def _text(value: bytes | None) -> Any:
    if value is None:
        return None
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}
