"""What of the store's commands and queries a user may do. Machine's thread.

All of a transaction is checked, both branches of it, before any of it runs: what somebody may do
must not depend on what is under keys that are not theirs. What is asked is decoded here a second
time; that is paid for only where auth is on. A lease may have a million keys: those are looked at
last, in pieces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Final, NamedTuple

from raftd.machine.kv import commands
from raftd.machine.kv.auth import Auth
from raftd.machine.kv.leases import Leases
from raftd.machine.kv.permissions import Rights
from raftd.machine.pieces import SOME, Effort, Pieces, begun, some_of
from raftd.machine.protocol import MachineError
from raftd.wire import kv as wire
from raftd.wire import leases as lease_wire
from raftd.wire import refusals
from raftd.wire.alarms import ALARM, ALARMS
from raftd.wire.auth import AUTH
from raftd.wire.errors import WireError
from raftd.wire.spans import FROM_KEY, prefix_span
from raftd.wire.txn import TXN, DeleteOp, Op, PutOp, RangeOp, Txn, decode_txn

_FREE: Final = frozenset((lease_wire.LEASE_GRANT,))
"""Commands that any user may do."""
_FREE_QUERIES: Final = frozenset((lease_wire.LEASE_RENEW, lease_wire.LEASE_LIST))
_OPERATORS_QUERIES: Final = frozenset((lease_wire.STATUS, ALARMS))
"""They tell how many keys there are in all, and what ails which member."""
LOOKED_MAX: Final = 10_000


class Looked(NamedTuple):
    """At a lease, whose first `came` keys may all be written. Without this each put beside many
    keys would look at all of them, and a batch of such puts would hold up the node for minutes.

    serial: the lease's, as another one may come under its number. rights: made anew whenever
    anybody's rights may have changed, and when a snapshot is restored.
    """

    serial: int
    rights: Rights
    came: int


Do = Callable[[bytes], bytes | Pieces[bytes]]
Later = list[Callable[[Effort], Pieces[bool]]]
"""What takes long, and is looked at when nothing else says no."""


class Access:
    def __init__(self, auth: Auth, leases: Leases) -> None:
        self._auth = auth
        self._leases = leases
        self._may_all: dict[int, Looked] = {}

    def command(self, principal: bytes, command: bytes, do: Do) -> bytes | Pieces[bytes]:
        """`do` it if it may be done. Raises MachineError; in pieces if it takes long."""
        return self._checked(principal, self._may_do, command, do)

    def query(self, principal: bytes, request: bytes, do: Do) -> bytes | Pieces[bytes]:
        """As `command`."""
        return self._checked(principal, self._may_ask, request, do)

    def _checked(
        self, principal: bytes, may: Callable[[Rights, bytes, Later], bool], request: bytes, do: Do
    ) -> bytes | Pieces[bytes]:
        rights, later = self._auth.rights_of(principal), Later()
        if not rights.root:
            try:
                if not may(rights, request, later):
                    raise MachineError(refusals.PERMISSION_DENIED)
            except WireError as error:
                raise MachineError(str(error)) from None
        return begun(_after(later, do, request)) if later else do(request)

    def _may_do(self, rights: Rights, command: bytes, later: Later) -> bool:
        operation = command[0] if command else 0
        if operation == wire.PUT:
            return rights.may_write(_key_of_put(command))
        if operation == TXN:
            return self._may_run(rights, decode_txn(command), later)
        if operation == wire.DELETE:
            return rights.may_write(commands.decode_key(command))
        if operation == wire.CAS:
            key = commands.decode_cas(command).key
            return rights.may_write(key) and rights.may_read(key)
        if operation == wire.BATCH:
            return all(rights.may_write(key) for key, _ in commands.decode_batch_ops(command))
        if operation == lease_wire.LEASE_REVOKE:
            return self._may_end(rights, lease_wire.decode_number(command), later)
        if operation == lease_wire.COMPACT:
            return rights.may_write(FROM_KEY, FROM_KEY)
        if operation in _FREE:
            return True
        if operation in (AUTH, ALARM, lease_wire.LEASE_EXPIRE):
            return False
        raise commands.malformed(command)

    def _may_ask(self, rights: Rights, request: bytes, later: Later) -> bool:
        operation = request[0] if request else 0
        if operation == wire.GET:
            return rights.may_read(commands.decode_key(request))
        if operation == wire.RANGE:
            return rights.may_read_span(prefix_span(commands.decode_range(request).prefix))
        if operation == TXN:
            return self._may_run(rights, decode_txn(request), later)
        if operation == lease_wire.LEASE_TIME_TO_LIVE:
            lease, with_keys = lease_wire.decode_time_to_live(request)
            if not with_keys:
                return True
            later.append(partial(_may_all, rights.may_read, self._leases.newest(lease, None)))
            return True
        if operation in _FREE_QUERIES:
            return True
        if operation in _OPERATORS_QUERIES:
            return False
        raise commands.malformed(request)

    def _may_run(self, rights: Rights, txn: Txn, later: Later) -> bool:
        return (
            all(rights.may_read(compare.key, compare.range_end) for compare in txn.compares)
            and all(self._may(rights, op, later) for op in txn.success)
            and all(self._may(rights, op, later) for op in txn.failure)
        )

    def _may(self, rights: Rights, op: Op, later: Later) -> bool:
        if isinstance(op, RangeOp):
            return rights.may_read(op.key, op.range_end)
        if isinstance(op, PutOp):
            return (
                rights.may_write(op.key)
                and (not op.prev_kv or rights.may_read(op.key))
                and (not op.lease or self._may_end(rights, op.lease, later))
            )
        if isinstance(op, DeleteOp):
            return rights.may_write(op.key, op.range_end) and (
                not op.prev_kv or rights.may_read(op.key, op.range_end)
            )
        return self._may_run(rights, op, later)

    def _may_end(self, rights: Rights, lease: int, later: Later) -> bool:
        """Whoever may let a lease end, or put a key beside others on it, may write all its keys."""
        came = self._leases.came(lease)
        if not came:
            return True
        new = came - self._looked(rights, lease).came
        if new > SOME:
            later.append(partial(self._may_write_all, rights, lease))
            return True
        may = not new or _may_each(rights.may_write, list(self._leases.newest(lease, new)))
        if may and new:
            self._note(rights, lease)
        return may

    def _may_write_all(self, rights: Rights, lease: int, effort: Effort) -> Pieces[bool]:
        new = self._leases.came(lease) - self._looked(rights, lease).came
        may = yield from _may_all(rights.may_write, self._leases.newest(lease, new), effort)
        if may:
            self._note(rights, lease)
        return may

    def _looked(self, rights: Rights, lease: int) -> Looked:
        serial, known = self._leases.serials.get(lease, 0), self._may_all.get(lease)
        if known is None or known.serial != serial or known.rights is not rights:
            return Looked(serial, rights, 0)
        return known

    def _note(self, rights: Rights, lease: int) -> None:
        """All of its keys may be written."""
        if len(self._may_all) >= LOOKED_MAX:
            self._may_all.clear()
        serial = self._leases.serials.get(lease, 0)
        self._may_all[lease] = Looked(serial, rights, self._leases.came(lease))


def _may_all(may: Callable[..., bool], keys: Iterable[bytes], effort: Effort) -> Pieces[bool]:
    for some in some_of(iter(keys)):
        if not _may_each(may, some):
            return False
        if effort.took(2 * len(some)):
            yield
    return True


def _may_each(may: Callable[..., bool], keys: list[bytes]) -> bool:
    """Who may do it to all keys between the first and the last may do it to each of them: mostly
    this takes a tenth of the time that a look at each would.
    """
    return may(min(keys), max(keys) + b"\0") or all(map(may, keys))


def _after(later: Later, do: Do, request: bytes) -> Pieces[bytes]:
    """One effort for all: a transaction may name a thousand leases."""
    effort = Effort()
    for may in later:
        if not (yield from may(effort)):
            raise MachineError(refusals.PERMISSION_DENIED)
    answer = do(request)
    return answer if isinstance(answer, bytes) else (yield from answer)


def _key_of_put(command: bytes) -> bytes:
    if len(command) < wire.KEYED_HEAD.size:
        raise commands.malformed(command)
    end = wire.KEYED_HEAD.size + int(wire.KEYED_HEAD.unpack_from(command)[1])
    if end > len(command):
        raise commands.malformed(command)
    return command[wire.KEYED_HEAD.size : end]
