"""What clients saw, and whether one sequence of operations explains it: linearizable, applied once.

Every answer of the store carries the revision at which it was given, and revisions order all
writes. So no search is needed: sort by revision, then check that

 1. no revision was given out twice;
 2. every read shows the value, version and mod_revision of the last write at or before its
 revision;
 3. a value that was seen belongs to one write, at one revision (nothing is applied twice);
 4. versions of a key rise by one from write to write, but for gaps that unknown writes can fill;
 5. real time agrees: no operation has a lower revision than one that returned before it was called.

An operation whose outcome is unknown may have happened at any later time, or never; one that
certainly never happened must not be seen.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable

from raftd.wire import kv
from tests.sim.world import Violation

INFINITY = float("inf")


class Op:
    """One operation of one client. revision 0: no answer."""

    __slots__ = (
        "attempt",
        "call",
        "changed",
        "client",
        "expected",
        "key",
        "kind",
        "outcome",
        "ret",
        "revision",
        "seen",
        "settled",
        "value",
        "version",
    )

    def __init__(
        self, client: int, kind: str, key: bytes, value: bytes | None, call: float
    ) -> None:
        self.client = client
        self.kind = kind
        self.key = key
        self.value = value
        self.call = call
        self.ret = INFINITY
        self.outcome = "open"
        self.settled = False
        self.revision = 0
        self.changed = False
        self.version = 0
        self.expected = 0
        self.attempt = 0
        self.seen: kv.KeyValue | None = None

    def __str__(self) -> str:
        value = self.value.decode("ascii", "replace").rstrip(".") if self.value else "-"
        when = f"[{self.call:.4f}, {self.ret:.4f}]"
        text = f"client {self.client} {self.kind} {self.key.decode()} {value} {when}"
        where = f"revision={self.revision} version={self.version} seen={self.seen}"
        return f"{text} {self.outcome} {where}"


class History:
    def __init__(self) -> None:
        self.ops: list[Op] = []
        self._last_seen: dict[bytes, int] = {}

    def call(self, client: int, kind: str, key: bytes, value: bytes | None, now: float) -> Op:
        op = Op(client, kind, key, value, now)
        self.ops.append(op)
        return op

    def last_seen(self, key: bytes) -> int:
        """The newest mod_revision that any client has seen of a key; 0 for none."""
        return self._last_seen.get(key, 0)

    def lost(self, op: Op, now: float, *, unsure: bool) -> None:
        op.settled = True
        op.outcome = "unknown" if unsure else "failed"
        if not unsure:
            op.ret = now

    def done(self, op: Op, answer: bytes, now: float) -> None:
        op.settled, op.outcome, op.ret = True, "ok", now
        if op.kind == "put":
            put = kv.decode_put(answer)
            op.revision, op.version, op.changed = put.revision, put.version, True
        elif op.kind == "delete":
            deleted = kv.decode_delete(answer)
            op.revision, op.changed = deleted.revision, deleted.deleted
        elif op.kind == "cas":
            cas = kv.decode_cas(answer)
            op.revision, op.changed, op.seen = cas.revision, cas.succeeded, cas.current
            op.version = cas.current.version if cas.succeeded and cas.current else 0
        else:
            got = kv.decode_get(answer)
            op.revision, op.seen = got.revision, got.kv
        mod = (
            op.revision
            if op.changed and op.kind != "delete"
            else op.seen.mod_revision
            if op.seen
            else 0
        )
        self._last_seen[op.key] = max(mod, self._last_seen.get(op.key, 0))


class Write:
    """A write in the reconstructed order. value None: a delete."""

    __slots__ = ("op", "revision", "value", "version")

    def __init__(self, revision: int, value: bytes | None, version: int, op: Op) -> None:
        self.revision = revision
        self.value = value
        self.version = version
        self.op = op

    def __lt__(self, other: Write) -> bool:
        return self.revision < other.revision


def _fail(what: str, *ops: Op) -> None:
    raise Violation("linearizable", what + "".join(f"; {op}" for op in ops))


def check(ops: Iterable[Op]) -> int:
    """Raises Violation. Returns how many operations were judged."""
    known = list(ops)
    for op in known:
        if not op.settled:
            op.outcome = "unknown"  # still under way when the run ended
    writes, owners = _known_writes(known)
    unknown: dict[bytes | None, Op] = {
        op.value: op for op in known if op.outcome == "unknown" and op.value is not None
    }
    spare: dict[bytes, int] = {}
    deletes: dict[bytes, int] = {}
    for op in known:
        if op.outcome == "unknown" and op.kind != "get":
            spare[op.key] = spare.get(op.key, 0) + 1
            if op.kind == "delete":
                deletes[op.key] = deletes.get(op.key, 0) + 1
    for op in known:
        _place_unknown(op, writes, owners, unknown)
    for op in known:
        if op.outcome == "ok":
            _check_seen(op, writes.get(op.key, []), deletes.get(op.key, 0))
    for key, sequence in writes.items():
        _check_versions(sequence, spare.get(key, 0))
    _check_real_time(known)
    return len(known)


def _known_writes(ops: list[Op]) -> tuple[dict[bytes, list[Write]], dict[int, Op]]:
    writes: dict[bytes, list[Write]] = {}
    owners: dict[int, Op] = {}
    for op in ops:
        if op.outcome != "ok" or not op.changed:
            continue
        other = owners.setdefault(op.revision, op)
        if other is not op:
            _fail(f"revision {op.revision} was given to two writes", op, other)
        value = None if op.kind == "delete" else op.value
        writes.setdefault(op.key, []).append(Write(op.revision, value, op.version, op))
    for sequence in writes.values():
        sequence.sort()
    return writes, owners


def _place_unknown(
    op: Op, writes: dict[bytes, list[Write]], owners: dict[int, Op], unknown: dict[bytes | None, Op]
) -> None:
    """A value was seen whose write never heard an answer: now its revision is known."""
    seen = op.seen
    if op.outcome != "ok" or op.changed or seen is None or seen.mod_revision in owners:
        return
    writer = unknown.get(seen.value)
    if writer is None or writer.key != op.key:
        _fail("a read shows a value that nobody wrote at that revision", op)
        return
    if writer.revision not in (0, seen.mod_revision):
        _fail(
            f"a write was applied twice, at {writer.revision} and {seen.mod_revision}", writer, op
        )
    writer.revision, writer.version = seen.mod_revision, seen.version
    owners[seen.mod_revision] = writer
    insort(
        writes.setdefault(op.key, []), Write(seen.mod_revision, seen.value, seen.version, writer)
    )


def _check_seen(op: Op, sequence: list[Write], deletes: int) -> None:
    if op.changed:
        return
    probe = bisect_right(sequence, op.revision, key=lambda write: write.revision)
    last = sequence[probe - 1] if probe else None
    seen = op.seen
    if seen is None:
        if last is not None and last.value is not None and not deletes:
            _fail(f"nothing there at {op.revision}, but", op, last.op)
        return
    if last is None or seen.mod_revision != last.revision:
        _fail(
            f"stale: the last write at or before {op.revision} is another",
            op,
            *([last.op] if last else []),
        )
    elif seen.value != last.value or seen.version != last.version:
        _fail("the same revision shows two values", op, last.op)


def _check_versions(sequence: list[Write], spare: int) -> None:
    before: Write | None = None
    for write in sequence:
        if write.value is not None:
            base = before.version if before is not None and before.value is not None else 0
            gap = write.version - base - 1
            if gap > spare or (gap < 0 and not spare):
                _fail(
                    f"version {write.version} after {base}: something was applied twice, or not",
                    write.op,
                )
        before = write


def _check_real_time(ops: list[Op]) -> None:
    placed = [op for op in ops if op.revision]
    calls = sorted(placed, key=lambda op: op.call)
    returns = sorted((op for op in placed if op.ret < INFINITY), key=lambda op: op.ret)
    newest: Op | None = None
    at = 0
    for op in calls:
        while at < len(returns) and returns[at].ret < op.call:
            if newest is None or returns[at].revision > newest.revision:
                newest = returns[at]
            at += 1
        if newest is None:
            continue
        if op.revision < newest.revision:
            _fail("an operation went back behind one that had returned before it began", op, newest)
        writes = op.changed or op.outcome == "unknown"
        if writes and op.revision == newest.revision:
            _fail("a write has the revision of what had returned before it began", op, newest)
