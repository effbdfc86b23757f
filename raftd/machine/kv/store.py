"""The built-in state machine: keys in byte order, under one global revision, as in the etcd v3 API.

A fresh store is at revision 1. Every put, every delete of something and every transaction that
changes something takes one revision; what changes nothing takes none. A key's version counts its
puts since it was made; made anew after a delete, it starts at 1 again.

A plain put goes straight to the table: it is most of what a store does. Everything else that
changes keys is a transaction (transactions.py); the older commands are cases of one, and have
answers of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from struct import error as StructError
from typing import BinaryIO, Final

from raftd.core.effects import Event
from raftd.machine.kv import auth_snapshot, commands, parts, snapshot
from raftd.machine.kv.access import Access
from raftd.machine.kv.auth import Auth
from raftd.machine.kv.history import CHUNK, FIRST_REVISION, History, changes_of
from raftd.machine.kv.last_changes import last_changes
from raftd.machine.kv.leases import Leases
from raftd.machine.kv.lessor import LeaseCommands, Lessor, two_numbers
from raftd.machine.kv.older import Older
from raftd.machine.kv.quota import NO_SPACE, Alarms, Quota, capped
from raftd.machine.kv.reading import Reader
from raftd.machine.kv.retention import DEFAULT, Keep, Retention
from raftd.machine.kv.table import Table
from raftd.machine.kv.transactions import Transactions, encoding_done
from raftd.machine.kv.watch import WatchHub
from raftd.machine.pieces import Effort, Pieces, at_once, begun
from raftd.machine.protocol import Change, Changes, MachineError, NodeHandle
from raftd.wire import alarms as alarm_wire
from raftd.wire import kv as wire
from raftd.wire import leases as lease_wire
from raftd.wire import refusals
from raftd.wire.alarms import Kind
from raftd.wire.auth import AUTH, decode_auth, encode_auth_answer
from raftd.wire.errors import WireError
from raftd.wire.txn import TXN, Txn, decode_txn
from raftd.wire.txn_answers import answer_head

_keyed = wire.KEYED_HEAD.unpack_from  # looked up once, as is all on the path of every put
_pack_put = wire.PUT_ANSWER.pack
PUT: Final = wire.PUT
PUT_END_MAX: Final = wire.KEYED_HEAD.size + wire.KEY_BYTES_MAX


class KvStore:
    """See raftd.machine.protocol for threads and errors, the package's docstring for its use."""

    quick = True

    def __init__(self, keep: Keep = DEFAULT, chunk: int = CHUNK, quota_bytes: int = 0) -> None:
        """keep, quota_bytes (0: none): how much history and how much in all there may be, while
        this node leads. chunk: revisions, for tests.
        """
        self.history = History(chunk)
        self.leases = Leases()
        self.auth = Auth()
        self.alarms = Alarms()
        self._access = Access(self.auth, self.leases)
        self._table = Table(self.history.add, self.leases.detach)
        self._put = self._table.put
        self._revision = FIRST_REVISION
        self._transactions = Transactions(self._table, self.history, self.leases, self._taken_apart)
        self._reader = Reader(self._table, self.history)
        self.last_changes = partial(last_changes, self.history, self._reader.at, self.auth)
        self._older = Older(self._table, self._transactions)
        self._lessor = Lessor(self.leases)
        self._lease_commands = LeaseCommands(self._lessor, self._transactions)
        self.retention = Retention(keep, self.history, self._lessor)
        self.quota = Quota(quota_bytes, self.alarms, self._lessor, lambda: self.size_bytes)
        self._full_at = quota_bytes or float("inf")
        self.watches = WatchHub(self, self._reader)
        self._restored = False
        self._tidy_at = self.history.tidy_at
        # A store that is made of this one may have commands and queries of its own.
        self._done_by = self._do if type(self).apply is KvStore.apply else self.apply
        self._asked_by = self._ask if type(self).query is KvStore.query else self.query

    def apply(self, command: bytes) -> bytes:
        """Execute a command of `wire`. Raises MachineError, and then nothing has changed."""
        answer = self._do(command)
        return answer if isinstance(answer, bytes) else at_once(answer)

    def _do(self, command: bytes) -> bytes | Pieces[bytes]:
        """In pieces if it takes long."""
        operation = command[0] if command else 0
        if operation == PUT:  # the hot path, with as few calls as can be
            try:
                end = _keyed(command)[1] + 3
            except StructError:
                raise commands.malformed(command) from None
            key, value = command[3:end], command[end:]
            if (
                not 3 < end <= PUT_END_MAX
                or end > len(command)
                or len(value) > wire.VALUE_BYTES_MAX
            ):
                raise commands.refused_put(command)
            revision = self._revision + 1
            version = self._put(key, value, revision)
            self._revision = revision
            return _pack_put(PUT, revision, version)
        try:
            return self._apply(operation, command)
        except WireError as error:
            raise MachineError(str(error)) from None

    def applying(self, principal: bytes) -> Callable[[bytes], bytes | Pieces[bytes]]:
        """`apply` for a batch's commands: checked where auth is on, in pieces if it takes long."""
        apply = partial(self._apply_as, principal) if self.auth.enabled else self._done_by
        return partial(capped, apply) if self.alarms.no_space else apply

    def _apply_as(self, principal: bytes, command: bytes) -> bytes | Pieces[bytes]:
        return self._access.command(principal, command, self._done_by)

    def query_as(self, principal: bytes, request: bytes) -> bytes | Pieces[bytes]:
        """`query`, with a check before it where auth is on; in pieces if it takes long."""
        if self.auth.enabled:
            return self._access.query(principal, request, self._asked_by)
        return self._asked_by(request)

    def _apply(self, operation: int, command: bytes) -> bytes | Pieces[bytes]:
        if operation == TXN:
            return begun(self._followed(self._run(decode_txn(command))))
        if operation in (wire.CAS, wire.DELETE, wire.BATCH):
            answer = self._older.apply(operation, command)
            self._revision = self.history.last
            return answer
        if operation == AUTH:
            self.auth.apply(decode_auth(command))
            return encode_auth_answer(self._revision, self.auth.revision)
        if operation == alarm_wire.ALARM:
            raised = self.alarms.apply(command)
            return alarm_wire.encode_alarms_answer(operation, self._revision, raised)
        if operation == lease_wire.COMPACT:
            return self._compact(lease_wire.decode_number(command))
        if operation == lease_wire.LEASE_GRANT:
            return self._lease_commands.grant(command)
        work = self._lease_commands.begin(operation, command)
        if work is None:
            raise commands.malformed(command)
        return begun(self._followed(work))

    def query(self, request: bytes) -> bytes:
        """Answer a query of `wire`. Raises MachineError."""
        answer = self._ask(request)
        return answer if isinstance(answer, bytes) else at_once(answer)

    def _ask(self, request: bytes) -> bytes | Pieces[bytes]:
        operation = request[0] if request else 0
        try:
            if operation in (wire.GET, wire.RANGE):
                return self._older.query(operation, request)
            return self._query(operation, request)
        except WireError as error:
            raise MachineError(str(error)) from None

    def _query(self, operation: int, request: bytes) -> bytes | Pieces[bytes]:
        revision = self._revision
        if operation == TXN:
            return self._transactions.answer(request)
        if operation == lease_wire.LEASE_RENEW:
            ttl_s = self._lessor.renew(lease_wire.decode_number(request))
            return lease_wire.TTL_ANSWER.pack(operation, lease_wire.FORMAT, revision, ttl_s)
        if operation == lease_wire.LEASE_TIME_TO_LIVE:
            return begun(self._lessor.time_to_live(request, revision))
        if operation == lease_wire.LEASE_LIST and request == lease_wire.encode_lease_list():
            return lease_wire.encode_list_answer(revision, sorted(self.leases.granted_s))
        if operation == lease_wire.STATUS and request == lease_wire.encode_status():
            return self._status()
        if operation == alarm_wire.ALARMS and request == alarm_wire.encode_alarms():
            return alarm_wire.encode_alarms_answer(operation, revision, self.alarms.all())
        raise commands.malformed(request)

    def capture(self) -> Iterator[bytes]:
        """Costs copies of lists with an item for every 341-682 keys and every 512 revisions."""
        with self.watches.whole.reading():
            return snapshot.chunks(self._captured())

    def _captured(self) -> snapshot.Captured:
        return snapshot.Captured(
            self._revision,
            self.history.first,
            self._table.count,
            self._table.capture(),
            self.leases.capture(),
            self.history.capture(),
            b"" if self.auth.untouched else auth_snapshot.dump(self.auth),
            self.alarms.all(),
        )

    def parts(self) -> list[tuple[str, Iterable[bytes]]]:
        return parts.of(self._captured())

    def restore(self, reader: BinaryIO) -> None:
        """Read what `capture` wrote. Raises SnapshotFormatError; the store is of no use then."""
        with self.watches.whole.taken_apart():
            self._table.clear()
            snapshot.load(reader, self._table, self.history, self.leases, self.auth, self.alarms)
            self._table.note = self.history.add
            self._revision = self.history.last
        self._restored, self._tidy_at = True, 0

    def attach(self, node: NodeHandle) -> None:
        self._lessor.attach(node)
        self.retention.attach(node)
        self.quota.attach(node)

    def on_event(self, event: Event) -> None:
        self._lessor.on_event(event)
        self.retention.on_event()
        self.quota.on_event()

    def on_applied(self, index: int) -> Pieces[None] | None:
        """After each entry: watchers are called, the history is put in order."""
        watches = self.watches
        if self._restored:  # no flush, which would pass over what the snapshot compacted
            self._restored = False
            return begun(self._told(watches.resync()))
        if (watches.live and watches.seen != self._revision) or watches.late:
            return begun(self._told(watches.flush()))
        watches.seen = self._revision
        self._tidied()
        return None

    def _told(self, work: Pieces[None]) -> Pieces[None]:
        yield from work
        self._tidied()

    def _tidied(self) -> None:
        if self._revision >= self._tidy_at:
            self._tidy()
        if self._table.bytes > self._full_at:
            self.quota.check()

    def _tidy(self) -> None:
        if self.history.roll():
            self._table.note = self.history.add
            self.retention.rolled()
        self._tidy_at = self.history.tidy_at

    @property
    def size_bytes(self) -> int:
        """Of keys, values and history, roughly what a snapshot has."""
        return self._table.bytes + self.history.bytes

    def troubles(self) -> list[str]:
        size, limit = self.size_bytes, self.quota.limit_bytes
        of = f"{size} bytes, quota_bytes {limit}" if limit else f"{size} bytes"
        return [
            f"alarm {alarm.kind.name} raised for {alarm.member} (the store has {of}): "
            + (NO_SPACE if alarm.kind is Kind.NO_SPACE else "see `raftctl alarm list`")
            for alarm in self.alarms.all()
        ]

    @property
    def revision(self) -> int:
        return self._revision

    def __len__(self) -> int:
        """The number of keys."""
        return self._table.count

    def record_at(self, key: bytes, revision: int) -> bytes | None:
        return self._reader.at(key, revision)

    def changes(self, after: int) -> Iterator[Changes]:
        """What was changed since revision `after`. Raises LookupError: it is compacted."""
        if after + 1 < self.history.first:
            raise LookupError(f"revision {after + 1} is compacted; first {self.history.first}")
        for revision, item in self.history.items(after + 1):
            changes = [
                Change(key, self.record_at(key, revision), before)
                for key, before in changes_of(item)
            ]
            yield Changes(revision, changes)

    def _compact(self, revision: int) -> bytes:
        compacted = self.history.compacted
        if revision <= compacted:
            raise MachineError(f"{refusals.COMPACTED}; asked {revision}, compacted at {compacted}")
        if revision > self._revision:
            raise MachineError(
                f"{refusals.FUTURE_REVISION}; asked {revision}, there is {self._revision}"
            )
        self.history.compact(revision)
        self._tidy_at = 0
        return two_numbers(lease_wire.COMPACT, self._revision, revision)

    def _run(self, txn: Txn) -> Pieces[bytes]:
        done = yield from self._transactions.running(txn)
        parts = yield from encoding_done(done, Effort())
        return b"".join((answer_head(self.history.last), *parts))

    def _followed(self, work: Pieces[bytes]) -> Pieces[bytes]:
        try:
            return (yield from work)
        finally:  # also when all is done, and its answer lost
            self._revision = self.history.last

    @contextmanager
    def _taken_apart(self) -> Iterator[None]:
        """As for a restore: watchers hear nothing of half a change."""
        with self.watches.whole.taken_apart():
            yield

    def _status(self) -> bytes:
        history = self.history
        kept = history.last - history.first + 1
        sizes = self._table.count, self._table.bytes, kept, history.bytes, len(self.leases)
        head = lease_wire.STATUS, lease_wire.FORMAT, self._revision, history.compacted
        return lease_wire.STATUS_ANSWER.pack(*head, *sizes)
