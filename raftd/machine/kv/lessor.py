"""The leader's clock of the leases: when each ends unless it is renewed.

Only the node that leads counts, from the moment at which it became the leader: it first gives every
lease its whole time again, for it cannot know what was renewed elsewhere. What has run out it
proposes to revoke, in the term in which it counted; a leader that was deposed without knowing it
therefore revokes nothing. Renewals change a deadline here and nothing else. A lease whose end was
proposed is not renewed any more.

Time during which this process stood still (a paused machine, a long stop of the disk) counts for
nobody: its clients could not renew.

Machine's thread. The time is the node's monotonic clock's.
"""

from __future__ import annotations

import heapq
from typing import Final

from raftd.core.effects import Event
from raftd.core.types import Role
from raftd.machine.kv.leases import Leases
from raftd.machine.kv.transactions import Transactions
from raftd.machine.pieces import Effort, Pieces, some_of
from raftd.machine.protocol import MachineError, NodeHandle
from raftd.wire import leases as wire
from raftd.wire import refusals

TICK_SECONDS: Final = 0.25
"""How often the leader looks; an end is late by as much at most."""
PROPOSE_AGAIN_SECONDS: Final = 1.0
"""What was proposed may be on its way, or lost."""
NEVER: Final = float("-inf")
LATE_SECONDS: Final = 0.5
"""A look that comes later than this was held up."""


class Lessor:
    """Deadlines, while this node leads; nothing else."""

    def __init__(self, leases: Leases) -> None:
        self._leases = self.leases = leases
        self._node: NodeHandle | None = None
        self._term = 0
        self._ends: dict[int, float] = {}
        self._order: list[tuple[float, int]] = []
        """A heap; an item whose end is not the lease's any more is stale."""
        self._ending: dict[int, float] = {}
        """Those whose end was proposed, and when last."""
        self._looked = 0.0
        self._lost_s = 0.0
        self._looking = False
        """In this term; there is nothing to look at while there is no lease."""

    @property
    def counts(self) -> bool:
        """Does this node lead, as far as the machine has heard?"""
        return self._term != 0

    @property
    def term(self) -> int:
        """In which it leads; 0: it does not."""
        return self._term

    def attach(self, node: NodeHandle) -> None:
        self._node = node

    def on_event(self, event: Event) -> None:
        """Learn from the node's events whether it leads."""
        leads = event.role is Role.LEADER
        if leads and event.term != self._term:
            self._promote(event.term)
        elif not leads and self._term:
            self._term = 0
            self._ends, self._order = {}, []
            self._ending.clear()

    def _promote(self, term: int) -> None:
        self._term = term
        assert self._node is not None
        self._looked, self._lost_s = self._node.now(), 0.0
        self._ends, self._order = {}, []
        self._ending.clear()
        for lease, ttl_s in self._leases.granted_s.items():
            self._count(lease, ttl_s)
        self._looking = False
        self._begin_to_look()

    def _begin_to_look(self) -> None:
        node, term = self._node, self._term
        if self._ends and not self._looking and node is not None:
            self._looking, self._looked = True, node.now()
            node.call_later(TICK_SECONDS, lambda: self._look(term))

    def granted(self, lease: int, ttl_s: int) -> None:
        if self._term:
            self._count(lease, ttl_s)
            self._begin_to_look()

    def revoked(self, lease: int) -> None:
        self._ends.pop(lease, None)
        self._ending.pop(lease, None)

    def renew(self, lease: int) -> int:
        """The seconds that it has again; 0: there is no such lease, or it is ending.

        Raises MachineError where no time is counted.
        """
        self._check_counts()
        ttl_s = self._leases.granted_s.get(lease, 0)
        if not ttl_s or lease in self._ending:
            return 0
        self._count(lease, ttl_s)
        return ttl_s

    def seconds_left(self, lease: int) -> int:
        """-1: there is no such lease. Raises MachineError where no time is counted."""
        self._check_counts()
        if lease not in self._leases.granted_s:
            return -1
        return max(int(self._ends[lease] - self._now()), 0)

    def time_to_live(self, request: bytes, revision: int) -> Pieces[bytes]:
        """The answer to that query of wire. Raises MachineError where no time is counted."""
        lease, wanted = wire.decode_time_to_live(request)
        left, effort = self.seconds_left(lease), Effort()
        keys = (yield from self._leases.keys_in_order([lease], effort)) if wanted else []
        granted = self._leases.granted_s.get(lease, 0)
        parts = [wire.time_to_live_head(revision, left, granted, len(keys))]
        for some in some_of(iter(keys)):
            parts.append(wire.encode_keys(some))
            if effort.took(len(some)):
                yield
        return b"".join(parts)

    def _check_counts(self) -> None:
        if not self._term:
            raise MachineError(refusals.NOT_PRIMARY)

    def _now(self) -> float:
        """Without the time in which this process stood still."""
        assert self._node is not None
        return self._node.now() - self._lost_s

    def _count(self, lease: int, ttl_s: int) -> None:
        end = self._now() + ttl_s
        self._ends[lease] = end
        heapq.heappush(self._order, (end, lease))
        if len(self._order) > 64 + 4 * len(self._ends):  # most are stale: renewed since
            self._order = [(end, lease) for lease, end in self._ends.items()]
            heapq.heapify(self._order)

    def _look(self, term: int) -> None:
        """Propose to revoke what has run out; goes on as long as this node leads."""
        node = self._node
        if self._term != term or node is None:
            return
        now = node.now()
        late = now - self._looked - TICK_SECONDS
        if late > LATE_SECONDS:
            self._lost_s += late
        self._looked = now
        self._find_ended()
        again = now - PROPOSE_AGAIN_SECONDS
        due = sorted(lease for lease, at in self._ending.items() if at <= again)[: wire.EXPIRED_MAX]
        if due:
            serials = self._leases.serials
            node.propose(wire.encode_lease_expire([(each, serials[each]) for each in due]), term)
            self._ending.update(dict.fromkeys(due, now))
        self._looking = False
        self._begin_to_look()

    def _find_ended(self) -> None:
        now = self._now()
        while self._order and self._order[0][0] <= now:
            end, lease = heapq.heappop(self._order)
            if self._ends.get(lease) == end:
                self._ending[lease] = NEVER


class LeaseCommands:
    """Grants, and the ends of leases: with each its keys go, in one revision."""

    def __init__(self, lessor: Lessor, transactions: Transactions) -> None:
        self._lessor = lessor
        self._leases = lessor.leases
        self._transactions = transactions

    def begin(self, operation: int, command: bytes) -> Pieces[bytes] | None:
        """What returns the answer to a command of wire; None: it ends no lease.

        Raises MachineError, and then nothing has changed.
        """
        if operation == wire.LEASE_REVOKE:
            lease = wire.decode_number(command)
            self._leases.check(lease)
            return self._end(operation, [lease])
        if operation == wire.LEASE_EXPIRE:
            serials, ended = self._leases.serials, wire.decode_expire(command)
            there = {lease: None for lease, serial in ended if serials.get(lease) == serial}
            return self._end(operation, list(there))
        return None

    def grant(self, command: bytes) -> bytes:
        """The answer. Raises MachineError."""
        grant = wire.decode_grant(command)
        self._leases.grant(*grant)
        self._lessor.granted(*grant)
        head = wire.LEASE_GRANT, wire.FORMAT, self._transactions.revision
        return wire.TTL_ANSWER.pack(*head, grant.ttl_s)

    def _end(self, operation: int, leases: list[int]) -> Pieces[bytes]:
        keys = yield from self._transactions.delete_keys(leases)
        for lease in leases:
            self._leases.forget(lease)
            self._lessor.revoked(lease)
        return two_numbers(operation, self._transactions.revision, keys)


def two_numbers(operation: int, revision: int, number: int) -> bytes:
    """The answer to a compaction, and to the end of leases."""
    return wire.REVISION_ANSWER.pack(operation, wire.FORMAT, revision, number)
