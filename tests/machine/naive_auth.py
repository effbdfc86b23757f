"""Users and roles once more, as simply as can be: nothing is kept that can be worked out."""

from __future__ import annotations

from dataclasses import dataclass, field

from raftd.wire import kv, leases, txn
from raftd.wire.auth import Access, AuthCommand, Kind
from raftd.wire.principal import OWN, user_of
from raftd.wire.spans import Span, prefix_span, span_of

Granted = tuple[bytes, bytes, Access]


def covered(wanted: Span, spans: list[Span]) -> bool:
    """Point by point: a union leaves a gap only where one of its spans begins or ends."""
    points = {wanted.start, *(span.stop for span in spans if span.stop is not None)}
    inside = [point for point in points if wanted.holds(point) or point == wanted.start]
    endless = wanted.stop is not None or any(span.stop is None for span in spans)
    return endless and all(any(span.holds(point) for span in spans) for point in inside)


@dataclass
class NaiveAuth:
    """keys_of: the keys on a lease, asked when it matters."""

    enabled: bool = False
    users: dict[str, tuple[int, set[str]]] = field(default_factory=dict)
    roles: dict[str, dict[tuple[bytes, bytes], Access]] = field(default_factory=dict)
    on_lease: dict[int, set[bytes]] = field(default_factory=dict)

    def note(self, command: AuthCommand, revision: int) -> None:
        """It was done; revision: the auth revision afterwards."""
        kind, fields = command
        names = [each.decode("latin-1") for each in fields]
        if kind is Kind.ENABLE:
            self.enabled = True
        elif kind is Kind.DISABLE:
            self.enabled = False
        elif kind is Kind.USER_ADD:
            self.users[names[0]] = revision, set()
        elif kind is Kind.USER_PASSWORD:
            self.users[names[0]] = revision, self.users[names[0]][1]
        elif kind is Kind.USER_DELETE:
            del self.users[names[0]]
        elif kind is Kind.USER_GRANT:
            self.users[names[0]][1].add(names[1])
        elif kind is Kind.USER_REVOKE:
            self.users[names[0]][1].remove(names[1])
        elif kind is Kind.ROLE_ADD:
            self.roles[names[0]] = {}
        elif kind is Kind.ROLE_DELETE:
            del self.roles[names[0]]
            for _, has in self.users.values():
                has.discard(names[0])
        elif kind is Kind.ROLE_GRANT:
            self.roles[names[0]][fields[2], fields[3]] = Access(fields[1][0])
        else:
            del self.roles[names[0]][fields[1], fields[2]]

    def is_who_it_says(self, principal: bytes) -> bool:
        user = user_of(principal)
        return user is not None and self.users.get(user[0], (0,))[0] == user[1]

    def may(self, principal: bytes, request: bytes) -> bool:
        """A command or a query, of somebody who is who they say."""
        if not self.enabled or principal == OWN:
            return True
        if not self.is_who_it_says(principal):
            return False
        name = (user_of(principal) or ("", 0))[0]
        roles = self.users[name][1]
        if "root" in roles:
            return True
        granted = [
            (key, end, access)
            for role in roles
            for (key, end), access in self.roles.get(role, {}).items()
        ]
        return _Checker(granted, self.on_lease).may(request)


class _Checker:
    def __init__(self, granted: list[Granted], on_lease: dict[int, set[bytes]]) -> None:
        def of(other: Access) -> list[Span]:
            return [span_of(key, end) for key, end, access in granted if access is not other]

        self._reads, self._writes = of(Access.WRITE), of(Access.READ)
        self._on_lease = on_lease

    def may(self, request: bytes) -> bool:
        kind = request[0]
        if kind in (kv.PUT, kv.DELETE):
            size = kv.KEYED_HEAD.unpack_from(request)[1]
            return self.writes(request[3 : 3 + size])
        if kind == kv.GET:
            return self.reads(request[3:])
        if kind == kv.RANGE:
            _, prefix_bytes, _, _ = kv.RANGE_HEAD.unpack_from(request)
            at = kv.RANGE_HEAD.size
            return covered(prefix_span(request[at : at + prefix_bytes]), self._reads)
        if kind == kv.CAS:
            size = kv.CAS_HEAD.unpack_from(request)[1]
            key = request[kv.CAS_HEAD.size : kv.CAS_HEAD.size + size]
            return self.writes(key) and self.reads(key)
        if kind == kv.BATCH:
            return all(self.writes(key) for key in _keys_of_batch(request))
        if kind == txn.TXN:
            return self.txn(txn.decode_txn(request))
        if kind == leases.LEASE_REVOKE:
            return self.ends(leases.decode_number(request))
        if kind == leases.COMPACT:
            return self.writes(b"\0", b"\0")
        return kind in (leases.LEASE_GRANT, leases.LEASE_LIST)

    def reads(self, key: bytes, end: bytes = b"") -> bool:
        return covered(span_of(key, end), self._reads)

    def writes(self, key: bytes, end: bytes = b"") -> bool:
        return covered(span_of(key, end), self._writes)

    def ends(self, lease: int) -> bool:
        return all(self.writes(key) for key in self._on_lease.get(lease, ()))

    def txn(self, whole: txn.Txn) -> bool:
        asked = [self.reads(compare.key, compare.range_end) for compare in whole.compares]
        for op in (*whole.success, *whole.failure):
            if isinstance(op, txn.Txn):
                asked.append(self.txn(op))
            elif isinstance(op, txn.RangeOp):
                asked.append(self.reads(op.key, op.range_end))
            elif isinstance(op, txn.PutOp):
                asked += [self.writes(op.key), not op.prev_kv or self.reads(op.key)]
                asked.append(not op.lease or self.ends(op.lease))
            else:
                asked.append(self.writes(op.key, op.range_end))
                asked.append(not op.prev_kv or self.reads(op.key, op.range_end))
        return all(asked)


def _keys_of_batch(request: bytes) -> list[bytes]:
    count, at, keys = kv.KEYED_HEAD.unpack_from(request)[1], kv.KEYED_HEAD.size, []
    for _ in range(count):
        _, key_bytes, value_bytes = kv.OPERATION_HEAD.unpack_from(request, at)
        at += kv.OPERATION_HEAD.size
        keys.append(request[at : at + key_bytes])
        at += key_bytes + value_bytes
    return keys
