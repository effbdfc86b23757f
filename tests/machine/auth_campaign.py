"""Random users, roles and permissions, and random requests of theirs, against the naive ones.

auth-denied           what a user may not do is refused, and changes nothing
auth-allowed          what a user may do is not refused for want of a permission
auth-identity         who was made anew, has another password, or is nobody, may do nothing
state-machine-safety  a replica restored from a snapshot is equal, and answers alike
"""

from __future__ import annotations

import random
from collections import Counter

from raftd.machine.kv.store import KvStore
from raftd.machine.protocol import MachineError
from raftd.wire import refusals, txn
from raftd.wire.auth import Access, Kind, decode_auth, encode_auth
from raftd.wire.principal import NOBODY, OWN
from tests.machine import requests
from tests.machine.answered import answered
from tests.machine.naive_auth import NaiveAuth
from tests.machine.watch_rules import BrokenRule, restored

USERS = (b"root", b"ann", b"bob", b"cid")
ROLES = (b"root", b"one", b"one", b"two", b"two", b"three")
ENDS = (b"", b"", b"k3", b"k6", b"k7\0", b"l", b"l4", b"m", b"\0")
MANAGEMENT = (
    Kind.USER_ADD, Kind.USER_ADD, Kind.USER_DELETE, Kind.USER_PASSWORD, Kind.USER_GRANT,
    Kind.USER_GRANT, Kind.USER_GRANT, Kind.USER_REVOKE, Kind.ROLE_ADD, Kind.ROLE_ADD,
    Kind.ROLE_DELETE, Kind.ROLE_GRANT, Kind.ROLE_GRANT, Kind.ROLE_GRANT, Kind.ROLE_GRANT,
    Kind.ROLE_GRANT, Kind.ROLE_GRANT, Kind.ROLE_REVOKE, Kind.ENABLE, Kind.ENABLE, Kind.ENABLE,
    Kind.DISABLE,
)  # fmt: skip


class AuthCampaign:
    """One seed."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(f"{seed}/auth")
        self.store, self.other = KvStore(), KvStore()
        self.naive = NaiveAuth()
        self.stats: Counter[str] = Counter()
        self._principals: list[bytes] = [NOBODY]
        for kind, fields in (
            (Kind.USER_ADD, (b"root", b"h")),
            (Kind.USER_GRANT, (b"root", b"root")),
            (Kind.USER_ADD, (b"ann", b"h")),
            (Kind.ROLE_ADD, (b"one",)),
            (Kind.USER_GRANT, (b"ann", b"one")),
            (Kind.ENABLE, (bytes(32),)),
        ):
            self._manage(kind, *fields)

    def run(self, steps: int = 1000) -> None:
        """Raises BrokenRule."""
        rng = self._rng
        for _ in range(steps):
            if rng.random() < 0.15:
                kind = rng.choice(MANAGEMENT)
                self._manage(kind, *self._fields(kind))
            elif rng.random() < 0.6:
                self._do(self._small(True) or requests.command(rng, self.store.revision))
            else:
                self._ask(self._small(False) or requests.query(rng, self.store.revision))
            if rng.random() < 0.02:
                self._restore()
        self._restore()

    def _small(self, writes: bool) -> bytes:
        """Of one operation, which begins and ends where permissions do; now and then nothing."""
        rng = self._rng
        if rng.random() < 0.3:
            return b""
        key, end = requests.key(rng), rng.choice(ENDS)
        granted = [span for role in self.naive.roles.values() for span in role]
        if granted and rng.random() < 0.5:
            key, end = rng.choice(granted)[0], rng.choice(granted)[1]
        if not writes:
            return txn.encode_txn(txn.Txn((), (txn.RangeOp(key, end),), ()))
        op: txn.Op = txn.PutOp(key, b"v", 0, rng.random() < 0.5)
        if rng.random() < 0.5:
            op = txn.DeleteOp(key, end, rng.random() < 0.5)
        return txn.encode_txn(txn.Txn((), (op,), ()))

    def _fields(self, kind: Kind) -> tuple[bytes, ...]:
        rng = self._rng
        user, role = rng.choice(USERS), rng.choice(ROLES)
        key = requests.key(rng) if rng.random() < 0.8 else b"\0"
        span = key, rng.choice(ENDS)
        if kind is Kind.ROLE_REVOKE and (had := self.naive.roles.get(role.decode())):
            span = rng.choice(sorted(had))
        return {
            Kind.ENABLE: (rng.randbytes(32),),
            Kind.DISABLE: (),
            Kind.USER_ADD: (user, b"h"),
            Kind.USER_DELETE: (user,),
            Kind.USER_PASSWORD: (user, rng.randbytes(4)),
            Kind.USER_GRANT: (user, role),
            Kind.USER_REVOKE: (user, role),
            Kind.ROLE_ADD: (role,),
            Kind.ROLE_DELETE: (role,),
            Kind.ROLE_GRANT: (role, bytes((rng.choice(list(Access)),)), *span),
            Kind.ROLE_REVOKE: (role, *span),
        }[kind]

    def _manage(self, kind: Kind, *fields: bytes) -> None:
        """As the node itself: who else may is a case of commands in general."""
        command = encode_auth(kind, *fields)
        answer = self._applied(OWN, command)
        if not isinstance(answer, str):
            self.naive.note(decode_auth(command), self.store.auth.revision)
            self.stats["managed"] += 1
        for name in self.store.auth.users:
            principal = self.store.auth.principal_of(name)
            if principal not in self._principals:
                self._principals.append(principal)

    def _applied(self, principal: bytes, command: bytes) -> bytes | str:
        """On both replicas."""
        answers = [_said(store, principal, command) for store in (self.store, self.other)]
        if answers[0] != answers[1]:
            raise BrokenRule("state-machine-safety", f"{command[:60]!r}: {answers}")
        return answers[0]

    def _do(self, command: bytes) -> None:
        principal = self._rng.choice(self._principals)
        self._note_leases()
        may = self.naive.may(principal, command)
        before = self.store.revision
        self._judge(principal, may, self._applied(principal, command), command)
        if not may and self.store.revision != before:
            raise BrokenRule("auth-denied", f"{command[:60]!r} was done")

    def _ask(self, query: bytes) -> None:
        principal = self._rng.choice(self._principals)
        may = self.naive.may(principal, query)
        try:
            answer: bytes | str = answered(self.store.query_as(principal, query))
        except MachineError as error:
            answer = refusals.refusal_of(str(error))
        self._judge(principal, may, answer, query)

    def _judge(self, principal: bytes, may: bool, answer: bytes | str, request: bytes) -> None:
        denied = isinstance(answer, str) and answer in refusals.DENIALS
        self.stats["denied" if denied else "allowed"] += 1
        if denied == (not may):
            return
        what = f"{principal!r} {request[:80]!r}: {answer!r}"
        if denied:
            raise BrokenRule("auth-allowed", what)
        known = self.naive.is_who_it_says(principal)
        raise BrokenRule("auth-denied" if known else "auth-identity", what)

    def _note_leases(self) -> None:
        table = self.store.leases
        self.naive.on_lease = {lease: set(table.keys(lease)) for lease in table.granted_s}

    def _restore(self) -> None:
        data = b"".join(self.store.capture())
        if data != b"".join(self.other.capture()):
            raise BrokenRule("state-machine-safety", "two replicas differ")
        self.other = KvStore()
        restored(self.other, data, "the other")


def _said(store: KvStore, principal: bytes, command: bytes) -> bytes | str:
    try:
        answer: bytes | str = answered(store.applying(principal)(command))
    except MachineError as error:
        answer = refusals.refusal_of(str(error))
    store.on_applied(0)
    return answer
