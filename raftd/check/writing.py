"""Operations as JSON lines (docs/history-format.md), for whoever records a history."""

from __future__ import annotations

import json
from typing import Any

from raftd.check.history import FIRST_REVISION, FORMAT, VERSION
from raftd.check.notices import Notice, notice_record
from raftd.check.operations import (
    BATCH,
    CAS,
    COMPACT,
    DELETE,
    GET,
    GRANT,
    HOLD,
    INFINITY,
    OK,
    PUT,
    RANGE,
    READS,
    RENEW,
    REVOKE,
    TXN,
    Op,
)  # fmt: skip
from raftd.check.parts import item_record, responses_record, text, txn_record


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


def notice_line(notice: Notice) -> str:
    """What a watcher was told, as a line without its end."""
    return json.dumps(notice_record(notice), separators=(",", ":"))


def header_line(revision: int = FIRST_REVISION) -> str:
    """The first line of a history of a store that was empty, at `revision`."""
    return json.dumps({"format": FORMAT, "version": VERSION, "initial": {"revision": revision}})


def _request(op: Op) -> dict[str, Any]:
    if op.kind == BATCH:
        pairs = [[text(key), text(value)] for key, value in op.operations]
        return {"operations": pairs}
    if op.txn is not None:
        return txn_record(op.txn)
    if op.kind in (GRANT, RENEW, REVOKE):
        return {"lease": op.lease} | ({"ttl": op.ttl} if op.kind == GRANT else {})
    if op.kind == COMPACT:
        return {"at": op.at}
    past = {"at": op.at} if op.kind in READS and op.at is not None else {}
    if op.kind == RANGE:
        request: dict[str, Any] = {"prefix": text(op.key), **past}
        if op.after:
            request["after"] = text(op.after)
        if op.limit:
            request["limit"] = op.limit
        return request
    request = {"key": text(op.key), **past}
    if op.kind == PUT and op.lease:
        request["lease"] = op.lease
    if op.kind == HOLD:
        request["token"] = op.token
    if op.kind in (PUT, CAS):
        request["value"] = text(op.value)
    if op.expect is not None:
        kind = op.expect.kind
        told: Any = True if kind == "absent" else op.expect.number
        request["expect"] = {kind: text(op.expect.value) if kind == "value" else told}
    return request


def _answer(op: Op) -> dict[str, Any]:
    answer: dict[str, Any] = {"revision": op.revision, "version": op.version}
    if op.kind == GET:
        answer.update(item_record(op.found) if op.found is not None else {"value": None})
        return _told(answer) | {"value": answer["value"]}
    if op.kind == DELETE:
        answer["deleted"] = op.done
    elif op.kind == CAS:
        answer["succeeded"] = op.done
        if op.told:
            current = item_record(op.found) if op.found is not None else None
            return _told(answer) | {"current": current}
    elif op.kind == RANGE:
        answer["items"] = [{"key": text(key), **item_record(item)} for key, item in op.items]
        answer["more"] = op.more
    elif op.kind == BATCH:
        answer["versions"] = op.versions
    elif op.kind == TXN:
        answer["succeeded"] = op.done
        answer["responses"] = responses_record(op.branch) if op.branch is not None else None
    elif op.kind in (GRANT, RENEW):
        answer["ttl"] = op.ttl
    elif op.kind == REVOKE:
        answer["existed"] = op.done
    return _told(answer)


def _told(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if value is not None}
