"""The older commands and queries of the store: cases of a transaction, with answers of their own.

Their answers never show a lease. Machine's thread.
"""

from __future__ import annotations

from raftd.machine.kv import commands
from raftd.machine.kv.table import Table
from raftd.machine.kv.transactions import Deleted, Put, Transactions
from raftd.wire import kv as wire
from raftd.wire import txn
from raftd.wire.txn import Compare, DeleteOp, Op, PutOp, Txn
from raftd.wire.txn_answers import LEASED_AT, LEASED_BIT, without_lease


class Older:
    """put is not here: see store.py."""

    def __init__(self, table: Table, transactions: Transactions) -> None:
        self._table = table
        self._transactions = transactions

    def apply(self, operation: int, command: bytes) -> bytes:
        """Raises MachineError, and then nothing has changed."""
        if operation == wire.CAS:
            return self._compare_and_set(commands.decode_cas(command))
        if operation == wire.DELETE:
            return self._delete(commands.decode_key(command))
        return self._batch(commands.decode_batch_ops(command))

    def query(self, operation: int, request: bytes) -> bytes:
        """Raises MachineError."""
        if operation == wire.RANGE:
            return self._range(commands.decode_range(request))
        key = commands.decode_key(request)
        record = self._table.get(key)
        if record is not None and record[LEASED_AT] >= LEASED_BIT:
            record = without_lease(record)
        return commands.encode_get(self._transactions.revision, key, record)

    def _delete(self, key: bytes) -> bytes:
        done = self._transactions.run(Txn([], [DeleteOp(key)]))
        [deleted] = done.results
        assert isinstance(deleted, Deleted)
        return commands.encode_delete(self._transactions.revision, bool(deleted.pairs))

    def _compare_and_set(self, cas: commands.Cas) -> bytes:
        then: Op = DeleteOp(cas.key) if cas.value is None else PutOp(cas.key, cas.value)
        done = self._transactions.run(Txn([_compare(cas)], [then]))
        record = self._table.get(cas.key)
        shown = without_lease(record) if record is not None else None
        if done.succeeded and shown is not None:
            shown = shown[: wire.RECORD_HEAD.size]  # the caller knows the value
        return commands.encode_cas(self._transactions.revision, done.succeeded, cas.key, shown)

    def _batch(self, operations: list[tuple[bytes, bytes | None]]) -> bytes:
        ops = [DeleteOp(key) if value is None else PutOp(key, value) for key, value in operations]
        done = self._transactions.run(Txn([], ops))
        versions = [result.version if isinstance(result, Put) else 0 for result in done.results]
        return commands.encode_batch_ops(self._transactions.revision, versions)

    def _range(self, wanted: commands.Range) -> bytes:
        """Some 0.7 us a key, and 0.1 ms for each run of keys that has to be sorted first."""
        prefix, after, limit = wanted
        start, exclusive = (after, True) if after >= prefix else (prefix, False)
        pack, room = wire.PAIR_HEAD.pack, wire.RANGE_BYTES_MAX
        parts: list[bytes] = []
        count = 0
        revision = self._transactions.revision
        for keys, run in self._table.ascend(start, exclusive):
            for key in keys:
                if not key.startswith(prefix):
                    return commands.encode_range(revision, False, count, parts)
                record = run[key]
                if record[LEASED_AT] >= LEASED_BIT:
                    record = without_lease(record)
                head = pack(len(key), len(record))
                room -= len(head) + len(key) + len(record)
                if count >= limit or (room < 0 and count):
                    return commands.encode_range(revision, True, count, parts)
                parts += (head, key, record)
                count += 1
        return commands.encode_range(revision, False, count, parts)


def _compare(cas: commands.Cas) -> Compare:
    if cas.kind == wire.VALUE:
        return Compare(cas.key, txn.VALUE, txn.EQUAL, value=cas.expected)
    if cas.kind == wire.ABSENT:
        return Compare(cas.key, txn.VERSION, txn.EQUAL, 0)
    target = txn.VERSION if cas.kind == wire.VERSION else txn.MOD_REVISION
    return Compare(cas.key, target, txn.EQUAL, cas.number)
