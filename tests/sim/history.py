"""What clients saw, noted as it happens, and judged at the end by the checker that ships.

Every answer of the store carries the revision at which it was given, so raftd.check sorts by it and
walks up; ranges and batches are one atomic step each there. An operation whose outcome is unknown
may have happened once, at any later time, or never; one that certainly never happened must not be
seen. A command that was sent again counts with its last outcome only: its number makes it one.

Which of the unknown ones happened, and where, can be a long search: a seed may leave half of its
writes without an answer, and 20 million steps decide nothing then. Here the committed log knows.
Its word is one explanation, and the checker says whether that one explains all answers. If it does,
the history is linearizable; if not, what clients saw is not what the log did, and that is a fault
whatever else might explain it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from raftd.check import history as histories
from raftd.check.judge import LINEARIZABLE, judge
from raftd.check.operations import (
    BATCH,
    CAS,
    DELETE,
    FAIL,
    GET,
    OK,
    PUT,
    RANGE,
    READS,
    UNKNOWN,
    Item,
    Op,
)  # fmt: skip
from raftd.wire import kv
from tests.sim.world import Violation

STEPS_ALONE = 200_000
"""Of the checker, for a history that is at fault, without what the log knows."""

Number = tuple[bytes, int]
"""A command's session (empty: none) and its number there: no two are alike."""

__all__ = ["BATCH", "CAS", "DELETE", "GET", "PUT", "RANGE", "History", "Item", "Op", "check"]


class History:
    """Operations of all clients, in the order of their calls. Without an answer: unknown."""

    def __init__(self) -> None:
        self.ops: list[Op] = []
        self._numbers: dict[int, Number] = {}
        self._last_seen: dict[bytes, Item] = {}

    def call(
        self,
        client: int,
        kind: str,
        key: bytes,
        value: bytes | None,
        now: float,
        operations: tuple[tuple[bytes, bytes | None], ...] = (),
    ) -> Op:
        op = Op(kind, key, now, client=str(client), value=value, operations=operations)
        self.ops.append(op)
        return op

    def sent(self, op: Op, session: bytes, seq: int) -> None:
        """Under which number the log will know it."""
        self._numbers[id(op)] = session, seq

    def told(self, made: Mapping[Number, int]) -> list[Op]:
        """The operations; of the unknown ones those that happened, each at its revision.

        made: the revision that each command in the log made; 0 for one that changed nothing.
        """
        ops: list[Op] = []
        for op in self.ops:
            if op.outcome != UNKNOWN:
                ops.append(op)
                continue
            number = self._numbers.get(id(op))
            revision = made.get(number, 0) if number is not None else 0  # reads have none
            if revision:
                ops.append(replace(op, outcome=OK, revision=revision, done=True))
        return ops

    def last_seen(self, key: bytes) -> Item | None:
        """The key as of the newest mod_revision that any client has seen of it; None: of none."""
        return self._last_seen.get(key)

    def lost(self, op: Op, now: float, *, unsure: bool) -> None:
        """It was given up. unsure: an attempt may have done it, or may do so still."""
        if not unsure:
            op.outcome, op.ret = FAIL, now

    def done(self, op: Op, answer: bytes, now: float) -> None:
        op.outcome, op.ret = OK, now
        _DECODERS[op.kind](op, answer)
        if op.kind == RANGE:
            for key, item in op.items:
                self._saw(key, item)
        elif op.kind == BATCH:
            for (key, value), version in zip(op.operations, op.versions or (), strict=True):
                if value is not None:
                    self._saw(key, Item(value, version, op.revision))
        elif op.kind != DELETE:
            wrote = op.kind == PUT or (op.done and op.value is not None)
            seen = Item(op.value, op.version, op.revision) if wrote else op.found
            if seen is not None:
                self._saw(op.key, seen)

    def _saw(self, key: bytes, item: Item) -> None:
        known = self._last_seen.get(key)
        if known is None or (item.mod_revision or 0) >= (known.mod_revision or 0):
            self._last_seen[key] = item


def _put(op: Op, answer: bytes) -> None:
    op.revision, op.version = kv.decode_put(answer)


def _delete(op: Op, answer: bytes) -> None:
    op.revision, op.done = kv.decode_delete(answer)


def _cas(op: Op, answer: bytes) -> None:
    op.revision, op.done, current = kv.decode_cas(answer)
    if op.done:
        op.version = current.version if current is not None else None
    else:
        op.told, op.found = True, _item(current)


def _batch(op: Op, answer: bytes) -> None:
    op.revision, versions = kv.decode_batch_ops(answer)
    op.versions = tuple(versions)


def _get(op: Op, answer: bytes) -> None:
    op.revision, found = kv.decode_get(answer)
    op.found = _item(found)


def _range(op: Op, answer: bytes) -> None:
    op.revision, kvs, op.more = kv.decode_range(answer)
    op.items = tuple((pair.key, Item(pair.value, pair.version, pair.mod_revision)) for pair in kvs)


def _item(pair: kv.KeyValue | None) -> Item | None:
    return Item(pair.value, pair.version, pair.mod_revision) if pair is not None else None


_DECODERS = {PUT: _put, DELETE: _delete, CAS: _cas, BATCH: _batch, GET: _get, RANGE: _range}


def check(ops: Sequence[Op]) -> None:
    """Raises Violation. `ops` are all that may have changed the store since it was empty."""
    verdict = judge(histories.History(list(ops)), "revisions")
    if verdict.result != LINEARIZABLE:
        shows = "".join(f"; {op}" for op in verdict.window)
        raise Violation("linearizable", f"{verdict.result}: {verdict.reason}{shows}")


def check_told(history: History, made: Mapping[Number, int], stats: Counter[str]) -> None:
    """The same with the log's word for what became of unknown operations; counts what it judges.

    Raises Violation, which also says whether the clients alone could tell.
    """
    try:
        check(history.told(made))
    except Violation as error:
        alone = judge(histories.History(history.ops), "revisions", STEPS_ALONE)
        raise Violation(error.name, f"{error.detail}; clients alone: {alone.result}") from None
    stats["ops judged"] += len(history.ops)
    stats["unknown writes judged"] += sum(
        op.outcome == UNKNOWN and op.kind not in READS for op in history.ops
    )
    stats.update(f"{op.kind} judged" for op in history.ops if op.outcome == OK)
