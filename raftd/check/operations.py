"""Operations of clients on a key-value store, with their answers: what a history is made of.

Values only; any thread. docs/history-format.md has the same as JSON lines.
"""

from __future__ import annotations

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
KINDS: Final = (PUT, GET, DELETE, CAS, RANGE, BATCH)
READS: Final = (GET, RANGE)

SHOWN: Final = 24
"""Bytes of a key or value that a line of a report shows."""


class Item(NamedTuple):
    """A key as an answer shows it. None: the answer did not tell."""

    value: bytes | None
    version: int | None = None
    mod_revision: int | None = None


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

    key: for a range, the prefix. value: what is written; None in a cas deletes. after, limit: of a
    range (0: no limit). operations: of a batch.

    The rest is the answer, None where it did not tell: revision (of the whole store, after a
    change, or when it was read), version (of the key, after a put or a successful cas), done (of a
    delete: there was such a key; of a cas: it succeeded), found (of a get, and of a failed cas if
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

    def named(self) -> list[bytes]:
        """Keys that it names; of a range, those that it was shown."""
        if self.kind == BATCH:
            return [key for key, _ in self.operations]
        if self.kind == RANGE:
            return [key for key, _ in self.items]
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
        text = f"{self.kind} {shown(self.key)}"
        if self.kind == RANGE:
            return text + "*"
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
        told=False, found=None, versions=None,
    )  # fmt: skip


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


def _shown_expect(expect: Expect) -> str:
    if expect.kind == "absent":
        return "absent"
    return shown(expect.value) if expect.kind == "value" else f"{expect.kind} {expect.number}"
