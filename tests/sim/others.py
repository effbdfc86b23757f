"""Clients beside those whose calls are the history: transactions, leases, compactions.

Their commands carry no session, so they may happen twice; the naive store says what each entry must
answer, and what they changed is put into the history as of the moment at which it was applied.

lease-kept          no lease ends before its time has passed since it was granted, or last renewed
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, NamedTuple

from raftd.check.operations import BATCH, OK
from raftd.wire import batch as wire
from raftd.wire import leases, txn
from tests.machine import requests
from tests.machine.naive import Cell
from tests.sim.model import FOREIGN
from tests.sim.world import Violation

if TYPE_CHECKING:
    from tests.sim.cluster import Cluster

FOREIGNER = -2
"""Whose operations they are in the history."""
TTLS = (1, 2, 3)
SLACK_SECONDS = 0.6
"""What a jump of a leader's clock may take from a lease before it counts as a pause."""


class Alive(NamedTuple):
    """since: when it was granted, or when a renewal was sent that was answered."""

    serial: int
    ttl_s: int
    since: float
    jumps: int


class Leasebook:
    """When each lease was certainly alive last, by true time."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._alive: dict[int, Alive] = {}

    def granted(self, lease: int, ttl_s: int, serial: int) -> None:
        world = self._cluster.world
        self._alive[lease] = Alive(serial, ttl_s, world.now, world.stats["clock jumps"])

    def renewed(self, lease: int, sent: float, jumps: int) -> None:
        """A renewal that was sent then was answered."""
        known = self._alive.get(lease)
        if known is not None and known.since < sent:
            self._alive[lease] = known._replace(since=sent, jumps=jumps)

    def revoked(self, lease: int) -> None:
        self._alive.pop(lease, None)

    def expired(self, lease: int, serial: int) -> None:
        """The leader's own command to end it was applied."""
        known = self._alive.get(lease)
        if known is None or known.serial != serial:
            return
        del self._alive[lease]
        world, plan = self._cluster.world, self._cluster.plan
        slack = SLACK_SECONDS * (world.stats["clock jumps"] - known.jumps)
        least = known.ttl_s * (1 - plan.clock_rate_spread) - slack
        world.stats["leases ended"] += 1
        lived = world.now - known.since
        if lived < least - 1e-6:
            raise Violation(
                "lease-kept",
                f"lease {lease} of {known.ttl_s} s ended {lived:.3f} s after it was granted or"
                " renewed",
            )


class Others:
    """Sends a command every now and then, and holds a lease or two."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._world = cluster.world
        self._rng: random.Random = cluster.world.stream("others")
        self._number = FOREIGN
        self._held: dict[int, int] = {}
        self._every = self._rng.choice((0.02, 0.05, 0.2))

    def start(self) -> None:
        self._world.after(self._rng.random() * 0.3, self._next)
        self._world.after(self._rng.random() * 0.5, self._hold)

    def was_applied(self, command: bytes, revision: int, done: bool) -> None:
        """A command of ours, or of a leader's own, was applied for the first time anywhere."""
        now, history = self._world.now, self._cluster.history
        if revision:
            events = self._cluster.checkers.store.events[revision]
            op = history.call(FOREIGNER, BATCH, b"", None, now, effects(events))
            op.outcome, op.ret, op.revision = OK, now, revision
        if not done:
            return
        book = self._cluster.leasebook
        self._world.stats[f"foreign {command[0]}"] += 1
        if command[0] == leases.LEASE_GRANT:
            lease, ttl_s = leases.decode_grant(command)
            book.granted(lease, ttl_s, self._cluster.checkers.store.grants)
        elif command[0] == leases.LEASE_REVOKE:
            book.revoked(leases.decode_number(command))
        elif command[0] == leases.LEASE_EXPIRE:
            for lease, serial in leases.decode_expire(command):
                book.expired(lease, serial)

    def _next(self) -> None:
        if self._cluster.clients_stopped:
            return
        self._world.after(self._rng.random() * 2 * self._every, self._next)
        command = requests.command(self._rng, self._cluster.checkers.store.revision)
        seldom = command[0] == leases.COMPACT and self._rng.random() < 0.9
        if command[0] != leases.LEASE_EXPIRE and not seldom:  # that is a leader's own command
            self._submit(command)

    def _submit(self, command: bytes) -> None:
        self._number += 1
        payload = wire.encode_batch(b"", 0, [(self._number, command)])
        self._cluster.to_node(
            self._target(), self._rng, lambda p, told: p.app.submit(payload, told), _ignored
        )

    def _target(self) -> str:
        leader = self._cluster.leader()
        if leader is not None and self._rng.random() < 0.9:
            return leader.name
        return self._rng.choice(self._cluster.names)

    def _hold(self) -> None:
        """Grant a lease with a key, renew one, or forget one."""
        if self._cluster.clients_stopped:
            return
        rng, world = self._rng, self._world
        world.after(0.05 + rng.random() * 0.3, self._hold)
        if len(self._held) < 3 and rng.random() < 0.5:
            lease = rng.randrange(100, 1 << 40)
            self._held[lease] = rng.choice(TTLS)
            self._submit(leases.encode_lease_grant(lease, self._held[lease]))
            put = txn.PutOp(requests.key(rng), b"leased", lease)
            world.after(0.1, self._submit, txn.encode_txn(txn.Txn([], [put])))
        if self._held and rng.random() < 0.03:
            del self._held[rng.choice(list(self._held))]
        for lease in list(self._held):
            self._renew(lease)

    def _renew(self, lease: int) -> None:
        sent, book = self._world.now, self._cluster.leasebook
        jumps = self._world.stats["clock jumps"]

        def answered(kind: str, value: Any) -> None:
            if kind != "ok" or value[0] != wire.OK:
                return
            ttl_s = leases.decode_renew_answer(value[1]).ttl_s
            if ttl_s:
                self._world.stats["leases renewed"] += 1
                book.renewed(lease, sent, jumps)
            else:
                self._held.pop(lease, None)

        query = leases.encode_lease_renew(lease)
        self._cluster.to_node(
            self._target(), self._rng, lambda p, told: p.app.read(query, told), answered
        )


def effects(events: list[tuple[bytes, Cell, Cell]]) -> tuple[tuple[bytes, bytes | None], ...]:
    """What a revision changed, as a batch of the history."""
    return tuple((key, cell.value) for key, cell, _ in events)


def _ignored(kind: str, value: Any) -> None:
    """The naive store is asked instead."""
