"""Operations of clients on a key-value store, with their answers: what a history is made of.

Values only; any thread. docs/history-format.md has the same as JSON lines.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

INFINITY: Final = float("inf")

OK: Final = "ok"
FAIL: Final = "fail"
UNKNOWN: Final = "unknown"
OUTCOMES: Final = (OK, FAIL, UNKNOWN)

PUT: Final = "put"
GET: Final = "get"
DELETE: Final = "delete"
CAS: Final = "cas"
RANGE: Final = "range"
BATCH: Final = "batch"
TXN: Final = "txn"
GRANT: Final = "grant"
RENEW: Final = "renew"
REVOKE: Final = "revoke"
HOLD: Final = "hold"
COMPACT: Final = "compact"
KINDS: Final = (PUT, GET, DELETE, CAS, RANGE, BATCH, TXN, GRANT, RENEW, REVOKE, HOLD, COMPACT)
READS: Final = (GET, RANGE)
ASIDE: Final = (GRANT, RENEW, HOLD, COMPACT)
"""They change no key: rules of their own judge them, beside the order of the others."""

SHOWN: Final = 24
"""Bytes of a key or value that a line of a report shows."""


class Item(NamedTuple):
    """A key as an answer shows it. None: the answer did not tell."""

    value: bytes | None
    version: int | None = None
    mod_revision: int | None = None
    create_revision: int | None = None
    lease: int | None = None


class Compare(NamedTuple):
    """One condition of a transaction. key: or all keys with that prefix, if `prefix`; target:
    "value", "version", "create_revision", "mod_revision" or "lease"; sign: "=", "!=", "<" or ">".
    """

    key: bytes
    target: str
    sign: str
    value: bytes = b""
    number: int = 0
    prefix: bool = False


class Part(NamedTuple):
    """One operation of a transaction: PUT, GET, DELETE, RANGE (key is the prefix) or TXN. prefix:
    a delete of all keys that begin so.
    """

    kind: str
    key: bytes = b""
    value: bytes = b""
    lease: int = 0
    prefix: bool = False
    txn: Txn | None = None


class Txn(NamedTuple):
    """If all compares hold, `then`, else `otherwise`: at once, at one revision."""

    compares: tuple[Compare, ...] = ()
    then: tuple[Part, ...] = ()
    otherwise: tuple[Part, ...] = ()


class Branch(NamedTuple):
    """What a transaction answered. responses: per operation of the branch that ran None for a put,
    the number of keys for a delete, Item or None for a get, (key, Item) pairs for a range, Branch.
    """

    succeeded: bool
    responses: tuple[object, ...]


class Expect(NamedTuple):
    """What a compare-and-set compares with: kind "absent", "value", "version" or "mod_revision"."""

    kind: str
    value: bytes = b""
    number: int = 0


@dataclass(slots=True)
class Op:
    """One operation of one client.

    call, ret: seconds (or any other unit) of one monotonic clock; ret is INFINITY while no answer
    came. outcome: OK, FAIL (certainly not done, now or later) or UNKNOWN (perhaps, at any time
    after the call).

    at: for a get or a range, the past revision that it asks about. lease: that a put attaches its
    key to, or that a grant, renewal or revocation is about; ttl: its time to live, in the unit of
    call and ret. token: the fencing token of a hold, which lasts from call to ret. keys: filled by
    the judge, all that a transaction or the end of a lease can touch. also: other leases that end
    at the same revision.

    key: for a range, the prefix. value: what is written; None in a cas deletes. after, limit: of a
    range (0: no limit). operations: of a batch.

    The rest is the answer, None where it did not tell: revision (of the whole store, after a
    change, or when it was read), version (of the key, after a put or a successful cas), done (of a
    delete: there was such a key; of a cas or a transaction: it succeeded; of a renewal or a
    revocation: there was such a lease), found (of a get, and of a failed cas if
    `told`; None: absent), items and more of a range, versions of a batch.
    """

    kind: str
    key: bytes
    call: float
    ret: float = INFINITY
    outcome: str = UNKNOWN
    client: str = ""
    line: int = 0
    value: bytes | None = None
    expect: Expect | None = None
    operations: tuple[tuple[bytes, bytes | None], ...] = ()
    after: bytes = b""
    limit: int = 0
    revision: int | None = None
    version: int | None = None
    done: bool | None = None
    told: bool = False
    found: Item | None = None
    items: tuple[tuple[bytes, Item], ...] = ()
    more: bool | None = None
    versions: tuple[int, ...] | None = None
    at: int | None = None
    txn: Txn | None = None
    branch: Branch | None = None
    lease: int = 0
    ttl: float = 0.0
    token: int = 0
    keys: tuple[bytes, ...] = ()
    also: tuple[int, ...] = ()

    @property
    def level(self) -> int:
        """The revision of the state that its answer shows. Needs `revision`."""
        return self.at if self.at is not None else self.revision or 0

    def named(self) -> list[bytes]:
        """Keys that it names; of a range, those that it was shown."""
        if self.kind == BATCH:
            return [key for key, _ in self.operations]
        if self.kind == RANGE:
            return [key for key, _ in self.items]
        if self.kind in (TXN, REVOKE):
            return [*self.keys]
        return [self.key]

    def __str__(self) -> str:
        who = f"client {self.client} " if self.client else ""
        end = f"{self.ret:.6f}" if self.ret != INFINITY else "..."
        where = f"line {self.line}: " if self.line else ""
        return f"{where}{who}[{self.call:.6f}, {end}] {self._what()} -> {self._answer()}"

    def _what(self) -> str:
        if self.kind == BATCH:
            parts = [f"{shown(key)}={shown(value)}" for key, value in self.operations]
            return f"batch {' '.join(parts)}"
        if self.kind == TXN and self.txn is not None:
            return f"txn {_shown_txn(self.txn)}"
        if self.kind in (GRANT, RENEW, REVOKE):
            return f"{self.kind} lease {self.lease:x} for {self.ttl:g}"
        if self.kind == COMPACT:
            return f"compact {self.at}"
        text = f"{self.kind} {shown(self.key)}"
        if self.kind == HOLD:
            return f"{text} by token {self.token}"
        past = f" at {self.at}" if self.at is not None else ""
        if self.kind == RANGE:
            return text + "*" + past
        text += past
        if self.expect is not None:
            text += f" if {_shown_expect(self.expect)}"
        if self.kind in (PUT, CAS):
            text += f" := {shown(self.value)}"
        return text

    def _answer(self) -> str:
        if self.outcome != OK:
            return self.outcome
        parts = ["ok"]
        if self.kind == GET or self.told:
            parts.append(f"shows {_shown_item(self.found)}")
        if self.kind == RANGE:
            shows = " ".join(f"{shown(key)}={shown(item.value)}" for key, item in self.items[:8])
            parts.append(f"shows {len(self.items)} keys {shows}")
        for name in ("done", "revision", "version"):
            told = getattr(self, name)
            if told is not None:
                parts.append(f"{name} {told}")
        return " ".join(parts)


def relaxed(op: Op) -> Op:
    """The same write as if nothing were known of it but that it may happen once, at any time."""
    return replace(
        op, call=-INFINITY, ret=INFINITY, outcome=UNKNOWN, revision=None, version=None, done=None,
        told=False, found=None, versions=None, branch=None,
    )  # fmt: skip


def may_put(op: Op, key: bytes, value: bytes | None) -> bool:
    """Whether it can have put this value there (None: any value)."""
    return any(
        name == key and put is not None and value in (None, put) for name, put in _puts(op)
    )  # fmt: skip


def _puts(op: Op) -> Iterator[tuple[bytes, bytes | None]]:
    if op.kind == BATCH:
        yield from op.operations
    elif op.txn is not None:
        for part in parts_of(op.txn, op.done):
            if part.kind == PUT:
                yield part.key, part.value
    elif op.kind in (PUT, CAS):
        yield op.key, op.value


def parts_of(txn: Txn, succeeded: bool | None = None) -> Iterator[Part]:
    """Those of the branch that ran, of both if that is not known; nested ones too."""
    then = txn.then if succeeded is not False else ()
    for part in (*then, *(txn.otherwise if not succeeded else ())):
        yield part
        if part.txn is not None:
            yield from parts_of(part.txn)


def compares_of(txn: Txn) -> Iterator[Compare]:
    """Of nested ones too."""
    yield from txn.compares
    for part in (*txn.then, *txn.otherwise):
        if part.txn is not None:
            yield from compares_of(part.txn)


def shown(value: bytes | None) -> str:
    """A key or value for people, cut if it is long."""
    if value is None:
        return "absent"
    text = value[:SHOWN].decode("utf-8", "backslashreplace")
    if not text.isprintable() or not text or " " in text:
        text = repr(value[:SHOWN])[1:]
    return text + ("..." if len(value) > SHOWN else "")


def _shown_item(item: Item | None) -> str:
    if item is None:
        return "absent"
    mod = f" of revision {item.mod_revision}" if item.mod_revision is not None else ""
    return shown(item.value) + mod


def _shown_txn(txn: Txn) -> str:
    compares = " and ".join(
        f"{compare.target} {shown(compare.key)}{'*' * compare.prefix} {compare.sign} "
        + (shown(compare.value) if compare.target == "value" else str(compare.number))
        for compare in txn.compares
    )
    then, otherwise = (" ".join(map(_shown_part, parts)) for parts in (txn.then, txn.otherwise))
    return f"if {compares or 'always'} then [{then}] else [{otherwise}]"


def _shown_part(part: Part) -> str:
    if part.txn is not None:
        return f"({_shown_txn(part.txn)})"
    text = f"{part.kind} {shown(part.key)}{'*' * (part.prefix or part.kind == RANGE)}"
    return text + (f" := {shown(part.value)}" if part.kind == PUT else "")


def _shown_expect(expect: Expect) -> str:
    if expect.kind == "absent":
        return "absent"
    return shown(expect.value) if expect.kind == "value" else f"{expect.kind} {expect.number}"
