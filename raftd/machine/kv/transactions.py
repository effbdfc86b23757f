"""Compare, then, else: the one way in which the store changes, apart from a plain put.

Which branches run is decided, and everything that can be refused is checked, before anything is
written. So what raises has changed nothing, and a transaction is one revision or none.
Machine's thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import GeneratorType
from typing import Final, NamedTuple, TypeVar

from raftd.machine.kv.commands import encode_pair
from raftd.machine.kv.history import Before, History
from raftd.machine.kv.leases import Leases
from raftd.machine.kv.reading import Found, Pair, Reader, holds
from raftd.machine.kv.table import Table
from raftd.machine.pieces import SOME, Effort, Pieces, at_once, begun
from raftd.machine.protocol import AnswerLost, MachineError
from raftd.wire import refusals, txn_answers
from raftd.wire.look import encode_look_answer, key_of_look
from raftd.wire.results import QUERY_ANSWER_BYTES_MAX
from raftd.wire.spans import span_of
from raftd.wire.txn import (
    Compare,
    DeleteOp,
    Op,
    PutOp,
    RangeOp,
    Txn,
    decode_txn,
)
from raftd.wire.txn_answers import lease_of, value_at

READ_BYTES_MAX: Final = QUERY_ANSWER_BYTES_MAX - (1 << 20)
"""Of keys and records in the answer to a query; a longer one could not be sent."""
ANSWER_BYTES_MAX: Final = 2 << 20
"""Of those in the answer to a command: past it the answer is lost (machine/sessions.py), so nothing
more needs to be read for it."""


T = TypeVar("T")


class Put(NamedTuple):
    previous: bytes | None
    version: int


class Deleted(NamedTuple):
    pairs: list[Pair]


class Done(NamedTuple):
    """What became of a transaction: one result per operation of the branch that ran."""

    succeeded: bool
    ops: Sequence[Op]
    results: list[Result]
    unknown: int = 0
    """A revision that it reads at, whose history only other replicas have."""


class Chosen(NamedTuple):
    """A transaction whose compares are evaluated; nested: of its nested ones, in order."""

    succeeded: bool
    ops: Sequence[Op]
    nested: list[Chosen]


Result = Found | Put | Deleted | Done


class Transactions:
    """Runs transactions on the table."""

    def __init__(
        self,
        table: Table,
        history: History,
        leases: Leases,
        apart: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        """apart: is entered while half of a change is done and others have their turn."""
        self._apart = apart
        self._table = table
        self._history = history
        self._leases = leases
        self._reader = Reader(table, history)
        self._room = 0

    @property
    def revision(self) -> int:
        """The store's."""
        return self._history.last

    def run(self, txn: Txn) -> Done:
        """Execute it. Raises MachineError, and then nothing has changed."""
        return at_once(self.running(txn))

    def running(self, txn: Txn) -> Pieces[Done]:
        """`run`, in pieces."""
        effort = Effort()
        chosen = yield from self._choose(txn, effort)
        unknown = self._check(chosen)
        undone: list[Before] = []
        self._room = ANSWER_BYTES_MAX
        work = self._execute(chosen, undone, self._history.last + 1, effort)
        done = yield from self._changed_by(work, undone)
        return done._replace(unknown=unknown) if unknown else done

    def delete_keys(self, leases: Sequence[int]) -> Pieces[int]:
        """Those of leases, in one revision. Returns how many there were."""
        effort = Effort()
        keys = yield from self._leases.keys_in_order(leases, effort)
        self._leases.let_go(leases)
        undone: list[Before] = []

        def work() -> Pieces[None]:
            undone.extend((yield from self._table.delete_all(keys, effort)))

        yield from self._changed_by(work(), undone)
        return len(keys)

    def _changed_by(self, work: Pieces[T], undone: list[Before]) -> Pieces[T]:
        """What `work` comes to, which notes in `undone` what it changes: one revision, or none."""
        self._table.note = undone.append
        try:
            done = begun(work)
            if isinstance(done, GeneratorType):
                with self._apart():
                    yield
                    done = yield from done
        finally:
            self._table.note = self._history.add
        if undone:
            self._history.add(undone[0] if len(undone) == 1 else undone)
        return done  # type: ignore[return-value]

    def answer(self, query: bytes) -> bytes | Pieces[bytes]:
        """The answer to a transaction that writes nothing, as in wire.txn_answers.

        Raises MachineError, WireError.
        """
        key = key_of_look(query)
        if key is not None:
            return encode_look_answer(self.revision, key, self._table.get(key))
        return begun(self._answer(decode_txn(query)))

    def _answer(self, txn: Txn) -> Pieces[bytes]:
        """Raises MachineError."""
        if txn.writes:
            raise MachineError("transaction: it writes, so it is a command and no query")
        effort = Effort()
        chosen = yield from self._choose(txn, effort)
        if unknown := self._check(chosen):
            raise MachineError(f"{refusals.COMPACTED}; asked {unknown}, its history is not here")
        self._room = READ_BYTES_MAX
        done = yield from self._execute(chosen, [], self._history.last, effort)
        if self._room < 0:
            raise MachineError(
                f"{refusals.TOO_LONG}; the limit is {READ_BYTES_MAX} bytes: ask for less"
            )
        parts = yield from encoding(done, effort)
        return b"".join((txn_answers.answer_head(self.revision), *parts))

    def _choose(self, txn: Txn, effort: Effort) -> Pieces[Chosen]:
        succeeded = True
        for compare in txn.compares:
            if not (yield from self._holds(compare, effort)):
                succeeded = False
                break
        ops = txn.success if succeeded else txn.failure
        nested: list[Chosen] = []
        for op in ops:
            if isinstance(op, Txn):
                nested.append((yield from self._choose(op, effort)))
        return Chosen(succeeded, ops, nested)

    def _check(self, chosen: Chosen) -> int:
        """All puts first, then all reads: of several faults the one that etcd tells. Returns a
        revision that is read at and not known here, or 0.
        """
        self._check_puts(chosen)
        return self._check_reads(chosen)

    def _check_puts(self, chosen: Chosen) -> None:
        nested = iter(chosen.nested)
        for op in chosen.ops:
            if isinstance(op, PutOp):
                if (op.ignore_value or op.ignore_lease) and self._table.get(op.key) is None:
                    raise MachineError(refusals.KEY_NOT_FOUND)
                if op.lease:
                    self._leases.check(op.lease)
            elif isinstance(op, Txn):
                self._check_puts(next(nested))

    def _check_reads(self, chosen: Chosen) -> int:
        nested, unknown = iter(chosen.nested), 0
        for op in chosen.ops:
            if isinstance(op, RangeOp):
                self._reader.check(op)
                unknown = unknown or (0 if self._reader.knows(op) else op.revision)
            elif isinstance(op, Txn):
                unknown = self._check_reads(next(nested)) or unknown
        return unknown

    def _execute(
        self, chosen: Chosen, undone: list[Before], revision: int, effort: Effort
    ) -> Pieces[Done]:
        results: list[Result] = []
        nested = iter(chosen.nested)
        for op in chosen.ops:
            if isinstance(op, PutOp):
                results.append(self._put(op, revision))
            elif isinstance(op, DeleteOp):
                results.append((yield from self._delete(op, undone, effort)))
            elif isinstance(op, RangeOp):
                found = yield from self._reader.range(op, undone, self._room, effort)
                self._room -= found.size_bytes
                results.append(found)
            else:
                results.append((yield from self._execute(next(nested), undone, revision, effort)))
        return Done(chosen.succeeded, chosen.ops, results)

    def _put(self, op: PutOp, revision: int) -> Put:
        table, key, value, lease = self._table, op.key, op.value, op.lease
        previous = table.get(key)
        if previous is not None:
            if op.ignore_value:
                value = previous[value_at(previous) :]
            if op.ignore_lease:
                lease = lease_of(previous)
        version = table.put(key, value, revision)
        if lease:
            table.attach(key, lease)
            self._leases.attach(lease, key)
        return Put(previous, version)

    def _delete(self, op: DeleteOp, undone: list[Before], effort: Effort) -> Pieces[Deleted]:
        table = self._table
        if not op.range_end:
            record = table.delete(op.key)
            return Deleted([] if record is None else [(op.key, record)])
        span, keys = span_of(op.key, op.range_end), list[bytes]()
        for some, _ in table.ascend(span.start, False, span.stop):
            keys += some
            if effort.took(len(some)):
                yield
        pairs = yield from table.delete_all(keys, effort)
        undone += pairs
        return Deleted(pairs)

    def _holds(self, compare: Compare, effort: Effort) -> Pieces[bool]:
        table = self._table
        if not compare.range_end:
            return holds(compare, table.get(compare.key))
        span = span_of(compare.key, compare.range_end)
        some = False
        for keys, run in table.ascend(span.start, False, span.stop):
            for key in keys:
                some = True
                if not holds(compare, run[key]):
                    return False
            if effort.took(len(keys)):
                yield
        return some or holds(compare, None)


def encoding_done(done: Done, effort: Effort) -> Pieces[list[bytes]]:
    """`encoding`, of a command. Raises AnswerLost."""
    if done.unknown:
        raise AnswerLost(
            f"done, but it reads at revision {done.unknown}, whose history is not here: this store "
            "began with a snapshot of version 1"
        )
    return (yield from encoding(done, effort))


def encoding(done: Done, effort: Effort) -> Pieces[list[bytes]]:
    """The parts of an answer of wire.txn_answers behind its head. The caller joins them, once: an
    answer may have 32 MiB.
    """
    parts = [txn_answers.txn_head(done.succeeded, len(done.ops))]
    for op, result in zip(done.ops, done.results, strict=True):
        parts += yield from _encode(op, result, effort)
    return parts


def _encode(op: Op, result: Result, effort: Effort) -> Pieces[list[bytes]]:
    if isinstance(result, Found):
        head = txn_answers.encode_range_result(result.more, result.total, len(result.pairs), ())
        return [head, *(yield from _encode_pairs(result.pairs, effort))]
    if isinstance(result, Put):
        assert isinstance(op, PutOp)
        wanted = result.previous if op.prev_kv else None
        return [txn_answers.encode_put_result(encode_pair(op.key, wanted))]
    if isinstance(result, Deleted):
        assert isinstance(op, DeleteOp)
        count = len(result.pairs)
        head = txn_answers.encode_delete_result(count, count if op.prev_kv else 0, ())
        return [head, *((yield from _encode_pairs(result.pairs, effort)) if op.prev_kv else ())]
    return (yield from encoding(result, effort))


def _encode_pairs(pairs: list[Pair], effort: Effort) -> Pieces[list[bytes]]:
    """Uses them up: to let go of 300,000 at a time takes 30 ms. Each part is of several pairs."""
    parts: list[bytes] = []
    pairs.reverse()
    while pairs:
        some = pairs[: -SOME - 1 : -1]
        del pairs[-SOME:]
        parts.append(b"".join([encode_pair(key, record) for key, record in some]))
        if effort.took(len(some)):
            yield
    return parts
