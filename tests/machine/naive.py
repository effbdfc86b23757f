"""The store once more, as simply as can be: every version of every key in a list, nothing clever.

Real answers are compared with its answers, byte by byte; of a refusal the text before the details.
The simulator and the tests of the store share it.
"""

from __future__ import annotations

from typing import NamedTuple

from raftd.wire import kv, leases, refusals, txn
from raftd.wire import txn_answers as answers
from raftd.wire.spans import Span, span_of


class Refused(Exception):
    """MachineError, with the text by which it is known."""


class Cell(NamedTuple):
    """A version of a key. value None: deleted at `mod`."""

    mod: int
    create: int = 0
    version: int = 0
    value: bytes | None = None
    lease: int = 0

    def record(self, *, lease: bool = True, value: bool = True) -> bytes:
        assert self.value is not None
        shown = self.value if value else b""
        if lease and self.lease:
            head = self.create, self.mod, self.version | answers.LEASED, self.lease
            return answers.LEASED_HEAD.pack(*head) + shown
        return kv.RECORD_HEAD.pack(self.create, self.mod, self.version) + shown


NOTHING = Cell(0)


class Naive:
    def __init__(self) -> None:
        self.revision = 1
        self.compacted = 0
        self.cells: dict[bytes, list[Cell]] = {}
        self.leases: dict[int, int] = {}
        self.serials: dict[int, int] = {}
        self.grants = 0
        self.events: dict[int, list[tuple[bytes, Cell, Cell]]] = {}
        """By revision: key, what it became, what it was."""

    # reading

    def at(self, key: bytes, revision: int) -> Cell:
        """A deleted or missing key has value None."""
        cells = reversed(self.cells.get(key, ()))
        return next((cell for cell in cells if cell.mod <= revision), NOTHING)

    def there(self, span: Span, revision: int) -> list[tuple[bytes, Cell]]:
        found = [(key, self.at(key, revision)) for key in sorted(self.cells) if span.holds(key)]
        return [(key, cell) for key, cell in found if cell.value is not None]

    def query(self, request: bytes) -> bytes:
        if request[0] == txn.TXN:
            return self._transaction(txn.decode_txn(request))
        if request[0] == kv.GET:
            key = request[3:]
            cell = self.at(key, self.revision)
            found = cell.value is not None
            head = kv.FLAG_ANSWER.pack(kv.GET, self.revision, found)
            return head + (_pair(key, cell.record(lease=False)) if found else b"")
        assert request[0] == leases.LEASE_LIST
        return leases.encode_list_answer(self.revision, sorted(self.leases))

    # changing

    def execute(self, command: bytes) -> bytes:
        """The answer. Raises Refused."""
        kind = command[0]
        if kind == kv.PUT:
            size = kv.KEYED_HEAD.unpack_from(command)[1]
            put = txn.PutOp(command[3 : 3 + size], command[3 + size :])
            self._transaction(txn.Txn([], [put]))
            return kv.PUT_ANSWER.pack(kind, self.revision, self.at(put.key, 1 << 62).version)
        if kind == kv.DELETE:
            before = self.revision
            self._transaction(txn.Txn([], [txn.DeleteOp(command[3:])]))
            return kv.FLAG_ANSWER.pack(kind, self.revision, self.revision > before)
        if kind == kv.CAS:
            return self._compare_and_set(command)
        if kind == kv.BATCH:
            return self._batch(command)
        if kind == txn.TXN:
            return self._transaction(txn.decode_txn(command))
        return self._lease_or_compact(kind, command)

    def _lease_or_compact(self, kind: int, command: bytes) -> bytes:
        if kind == leases.COMPACT:
            revision = leases.decode_number(command)
            if revision <= self.compacted:
                raise Refused(refusals.COMPACTED)
            if revision > self.revision:
                raise Refused(refusals.FUTURE_REVISION)
            self.compacted = revision
            return leases.REVISION_ANSWER.pack(kind, 1, self.revision, revision)
        if kind == leases.LEASE_GRANT:
            lease, ttl_s = leases.decode_grant(command)
            if lease in self.leases:
                raise Refused(refusals.LEASE_EXISTS)
            self.grants += 1
            self.leases[lease], self.serials[lease] = ttl_s, self.grants
            return leases.TTL_ANSWER.pack(kind, 1, self.revision, ttl_s)
        if kind == leases.LEASE_REVOKE:
            ended = [leases.decode_number(command)]
            if ended[0] not in self.leases:
                raise Refused(refusals.LEASE_NOT_FOUND)
        else:
            named = leases.decode_expire(command)
            ended = list({lease: 0 for lease, serial in named if self.serials.get(lease) == serial})
        everything = self.there(Span(b"", None), 1 << 62)
        keys = [key for key, cell in everything if cell.lease in ended]
        self._transaction(txn.Txn([], [txn.DeleteOp(key) for key in keys]))
        for lease in ended:
            del self.leases[lease], self.serials[lease]
        return leases.REVISION_ANSWER.pack(kind, 1, self.revision, len(keys))

    def _compare_and_set(self, command: bytes) -> bytes:
        _, size, kind, action, number, expected_size = kv.CAS_HEAD.unpack_from(command)
        at = kv.CAS_HEAD.size
        key, expected = command[at : at + size], command[at + size :][:expected_size]
        cell = self.at(key, self.revision)
        succeeded = {
            kv.ABSENT: cell.value is None,
            kv.VALUE: cell.value is not None and cell.value == expected,
            kv.VERSION: (cell.version if cell.value is not None else 0) == number,
            kv.MOD_REVISION: (cell.mod if cell.value is not None else 0) == number,
        }[kind]
        if succeeded:
            new = command[at + size + expected_size :]
            op = txn.PutOp(key, new) if action == kv.PUT else txn.DeleteOp(key)
            self._transaction(txn.Txn([], [op]))
        answer = kv.FLAG_ANSWER.pack(kv.CAS, self.revision, succeeded)
        cell = self.at(key, self.revision)
        if cell.value is None:
            return answer
        return answer + _pair(key, cell.record(lease=False, value=not succeeded))

    def _batch(self, command: bytes) -> bytes:
        count, at = kv.KEYED_HEAD.unpack_from(command)[1], kv.KEYED_HEAD.size
        ops: list[txn.PutOp | txn.DeleteOp] = []
        for _ in range(count):
            action, key_bytes, value_bytes = kv.OPERATION_HEAD.unpack_from(command, at)
            at += kv.OPERATION_HEAD.size
            key, value = command[at : at + key_bytes], command[at + key_bytes :][:value_bytes]
            at += key_bytes + value_bytes
            ops.append(txn.PutOp(key, value) if action == kv.PUT else txn.DeleteOp(key))
        self._transaction(txn.Txn([], ops))
        versions = [
            self.at(op.key, self.revision).version if isinstance(op, txn.PutOp) else 0 for op in ops
        ]
        head = kv.COUNT_ANSWER.pack(kv.BATCH, self.revision, count)
        return head + b"".join(map(kv.VERSIONS_ITEM.pack, versions))

    # transactions

    def _transaction(self, wanted: txn.Txn) -> bytes:
        plan = self._plan(wanted)
        self._check(plan)
        self._changed: list[tuple[bytes, Cell, Cell]] = []
        result = self._run(plan)
        if self._changed:
            self.revision += 1
            self.events[self.revision] = self._changed
        return answers.encode_answer(self.revision, result)

    def _plan(self, wanted: txn.Txn) -> tuple[bool, list[object]]:
        holds = all(map(self._holds, wanted.compares))
        ops = wanted.success if holds else wanted.failure
        return holds, [self._plan(op) if isinstance(op, txn.Txn) else op for op in ops]

    def _holds(self, compare: txn.Compare) -> bool:
        span = span_of(compare.key, compare.range_end)
        cells = [cell for _, cell in self.there(span, self.revision)]
        return all(_holds(compare, cell) for cell in cells or [NOTHING])

    def _check(self, plan: tuple[bool, list[object]]) -> None:
        ops = _flat(plan)
        for put in ops:
            if isinstance(put, txn.PutOp):
                absent = self.at(put.key, self.revision).value is None
                if absent and (put.ignore_value or put.ignore_lease):
                    raise Refused(refusals.KEY_NOT_FOUND)
                if put.lease and put.lease not in self.leases:
                    raise Refused(refusals.LEASE_NOT_FOUND)
        for read in ops:
            if isinstance(read, txn.RangeOp):
                if read.revision > self.revision:
                    raise Refused(refusals.FUTURE_REVISION)
                if 0 < read.revision < self.compacted:
                    raise Refused(refusals.COMPACTED)

    def _run(self, plan: tuple[bool, list[object]]) -> bytes:
        parts: list[bytes] = []
        now = self.revision + 1
        for op in plan[1]:
            if isinstance(op, txn.PutOp):
                was = self.at(op.key, now)
                there = was.value is not None
                value = was.value if op.ignore_value else op.value
                lease = was.lease if op.ignore_lease else op.lease
                create, version = (was.create, was.version + 1) if there else (now, 1)
                self._become(op.key, Cell(now, create, version, value, lease), was)
                shown = _pair(op.key, was.record()) if there and op.prev_kv else b""
                parts.append(answers.encode_put_result(shown))
            elif isinstance(op, txn.DeleteOp):
                gone = self.there(span_of(op.key, op.range_end), now)
                for key, cell in gone:
                    self._become(key, Cell(now), cell)
                shown_all = [_pair(key, cell.record()) for key, cell in gone] if op.prev_kv else []
                parts.append(answers.encode_delete_result(len(gone), len(shown_all), shown_all))
            elif isinstance(op, txn.RangeOp):
                parts.append(self._range(op, op.revision or now))
            else:
                parts.append(self._run(op))  # type: ignore[arg-type]
        return answers.encode_txn_result(plan[0], parts)

    def _become(self, key: bytes, cell: Cell, was: Cell) -> None:
        self.cells.setdefault(key, []).append(cell)
        self._changed.append((key, cell, was))

    def _range(self, op: txn.RangeOp, revision: int) -> bytes:
        every = self.there(span_of(op.key, op.range_end), revision)
        if op.count_only:
            return answers.encode_range_result(False, len(every), 0, [])
        found = [pair for pair in every if _is_within(op, pair[1])]
        by = {
            txn.KEY: lambda pair: pair[0],
            txn.VERSION: lambda pair: pair[1].version,
            txn.CREATE_REVISION: lambda pair: pair[1].create,
            txn.MOD_REVISION: lambda pair: pair[1].mod,
            txn.VALUE: lambda pair: pair[1].value,
        }[op.sort]
        found.sort(key=by, reverse=op.order == txn.DESCEND)
        cut = found[: op.limit] if op.limit else found
        parts = [_pair(key, cell.record(value=not op.keys_only)) for key, cell in cut]
        return answers.encode_range_result(len(cut) < len(found), len(every), len(cut), parts)


def _flat(plan: tuple[bool, list[object]]) -> list[object]:
    """The operations of the branches that run, nested ones in their place."""
    flat: list[object] = []
    for op in plan[1]:
        nested = isinstance(op, tuple) and not isinstance(
            op, txn.PutOp | txn.RangeOp | txn.DeleteOp
        )
        flat += _flat(op) if nested else [op]  # type: ignore[arg-type]
    return flat


def _is_within(op: txn.RangeOp, cell: Cell) -> bool:
    return op.min_mod_revision <= cell.mod <= (
        op.max_mod_revision or 1 << 62
    ) and op.min_create_revision <= cell.create <= (op.max_create_revision or 1 << 62)


def _holds(compare: txn.Compare, cell: Cell) -> bool:
    if compare.target == txn.VALUE:
        if cell.value is None:
            return False
        order = (cell.value > compare.value) - (cell.value < compare.value)
    else:
        field = {
            txn.VERSION: cell.version,
            txn.CREATE_REVISION: cell.create,
            txn.MOD_REVISION: cell.mod if cell.value is not None else 0,
            txn.LEASE: cell.lease,
        }[compare.target]
        order = (field > compare.number) - (field < compare.number)
    return {
        txn.EQUAL: order == 0,
        txn.GREATER: order > 0,
        txn.LESS: order < 0,
        txn.NOT_EQUAL: order != 0,
    }[compare.result]


def _pair(key: bytes, record: bytes) -> bytes:
    return kv.PAIR_HEAD.pack(len(key), len(record)) + key + record
