"""What of the store's commands and queries a user may do. Machine's thread.

All of a transaction is checked, both branches of it, before any of it runs: what somebody may do
must not depend on what is under keys that are not theirs. What is asked is decoded here a second
time; that is paid for only where auth is on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from raftd.machine.kv import commands
from raftd.machine.kv.auth import Auth
from raftd.machine.kv.leases import Leases
from raftd.machine.kv.permissions import Rights
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


class Access:
    """Checks raise MachineError, and so say no."""

    def __init__(self, auth: Auth, leases: Leases) -> None:
        self._auth = auth
        self._leases = leases
        self._may_all: dict[int, Looked] = {}

    def check_command(self, principal: bytes, command: bytes) -> None:
        rights = self._auth.rights_of(principal)
        if not rights.root:
            _checked(lambda: self._may_do(rights, command))

    def check_query(self, principal: bytes, request: bytes) -> None:
        rights = self._auth.rights_of(principal)
        if not rights.root:
            _checked(lambda: self._may_ask(rights, request))

    def _may_do(self, rights: Rights, command: bytes) -> bool:
        operation = command[0] if command else 0
        if operation == wire.PUT:
            return rights.may_write(_key_of_put(command))
        if operation == TXN:
            return self._may_run(rights, decode_txn(command))
        if operation == wire.DELETE:
            return rights.may_write(commands.decode_key(command))
        if operation == wire.CAS:
            key = commands.decode_cas(command).key
            return rights.may_write(key) and rights.may_read(key)
        if operation == wire.BATCH:
            return all(rights.may_write(key) for key, _ in commands.decode_batch_ops(command))
        if operation == lease_wire.LEASE_REVOKE:
            return self._may_end(rights, lease_wire.decode_number(command))
        if operation == lease_wire.COMPACT:
            return rights.may_write(FROM_KEY, FROM_KEY)
        if operation in _FREE:
            return True
        if operation in (AUTH, ALARM, lease_wire.LEASE_EXPIRE):
            return False
        raise commands.malformed(command)

    def _may_ask(self, rights: Rights, request: bytes) -> bool:
        operation = request[0] if request else 0
        if operation == wire.GET:
            return rights.may_read(commands.decode_key(request))
        if operation == wire.RANGE:
            return rights.may_read_span(prefix_span(commands.decode_range(request).prefix))
        if operation == TXN:
            return self._may_run(rights, decode_txn(request))
        if operation == lease_wire.LEASE_TIME_TO_LIVE:
            lease, with_keys = lease_wire.decode_time_to_live(request)
            if not with_keys:
                return True
            return _may_each(rights.may_read, list(self._leases.newest(lease, None)))
        if operation in _FREE_QUERIES:
            return True
        if operation in _OPERATORS_QUERIES:
            return False
        raise commands.malformed(request)

    def _may_run(self, rights: Rights, txn: Txn) -> bool:
        return (
            all(rights.may_read(compare.key, compare.range_end) for compare in txn.compares)
            and all(self._may(rights, op) for op in txn.success)
            and all(self._may(rights, op) for op in txn.failure)
        )

    def _may(self, rights: Rights, op: Op) -> bool:
        if isinstance(op, RangeOp):
            return rights.may_read(op.key, op.range_end)
        if isinstance(op, PutOp):
            return (
                rights.may_write(op.key)
                and (not op.prev_kv or rights.may_read(op.key))
                and (not op.lease or self._may_end(rights, op.lease))
            )
        if isinstance(op, DeleteOp):
            return rights.may_write(op.key, op.range_end) and (
                not op.prev_kv or rights.may_read(op.key, op.range_end)
            )
        return self._may_run(rights, op)

    def _may_end(self, rights: Rights, lease: int) -> bool:
        """Whoever may let a lease end, or put a key beside others on it, may write all its keys."""
        leases = self._leases
        serial, came = leases.serials.get(lease, 0), leases.came(lease)
        if not came:
            return True
        known = self._may_all.get(lease)
        if known is None or known.serial != serial or known.rights is not rights:
            known = Looked(serial, rights, 0)
        if not _may_each(rights.may_write, list(leases.newest(lease, came - known.came))):
            return False
        if len(self._may_all) >= LOOKED_MAX:
            self._may_all.clear()
        self._may_all[lease] = Looked(serial, rights, came)
        return True


def _may_each(may: Callable[..., bool], keys: list[bytes]) -> bool:
    """Who may do it to all keys between the first and the last may do it to each of them: of
    200,000 keys this takes a tenth of the time that a look at each would.
    """
    if not keys or may(min(keys), max(keys) + b"\0"):
        return True
    return all(map(may, keys))


def _checked(may: Callable[[], bool]) -> None:
    try:
        if may():
            return
    except WireError as error:
        raise MachineError(str(error)) from None
    raise MachineError(refusals.PERMISSION_DENIED)


def _key_of_put(command: bytes) -> bytes:
    if len(command) < wire.KEYED_HEAD.size:
        raise commands.malformed(command)
    end = wire.KEYED_HEAD.size + int(wire.KEYED_HEAD.unpack_from(command)[1])
    if end > len(command):
        raise commands.malformed(command)
    return command[wire.KEYED_HEAD.size : end]
