"""What clients ask of a node: submit a batch, query the state. Network thread only."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from raftd.core.core import RaftCore
from raftd.core.effects import Effects, NotLeader, Unavailable
from raftd.core.types import Index, NodeId, Term
from raftd.node.apply_worker import Query
from raftd.node.door import Door
from raftd.node.errors import NodeStopped
from raftd.node.outcomes import Outcome, Refusal, Refused, Unknown
from raftd.node.ports import Clock
from raftd.node.waiters import Waiters
from raftd.wire.batch import noted

if TYPE_CHECKING:
    from raftd.node.replica import Replica

Done = Callable[[Outcome], None]


class Clients:
    """All that is asked in one turn of the loop becomes one append, and one ReadIndex round."""

    def __init__(self, replica: Replica, core: RaftCore, door: Door, clock: Clock) -> None:
        """clock: what the leader notes with each batch."""
        self._replica = replica
        self._core = core
        self._clock = clock
        self._door = door
        self.waiters = Waiters()

    def proposals(self) -> tuple[int, int]:
        """(taken and not answered yet, taken and failed or of unknown outcome since the start)."""
        return len(self.waiters) + self._door.batches, self.waiters.failed

    def submit(self, batch: bytes, done: Done) -> None:
        """Propose one BATCH payload, checked at the door by the caller, as one entry.

        Everything submitted in one turn of the loop shares one critical section, one write to the
        log and one message a peer.
        """
        refused = self._refuse_at_door(len(batch))
        if refused is not None:
            done(refused)
        elif self._door.batch(batch, done):
            self._replica.soon(self._propose)

    def _refuse_at_door(self, size_bytes: int) -> Refused | None:
        replica, waiters = self._replica, self.waiters
        if replica.stopped:
            return Refused(Refusal.UNAVAILABLE, replica.stopped)
        if not replica.leading:
            return Refused(Refusal.NOT_LEADER, "not the leader", self._core.leader_id)
        if replica.room.lacking:
            return Refused(Refusal.UNAVAILABLE, "the leader's disk is full (see `raftctl why`)")
        if why := replica.wellbeing.refusal():
            return Refused(Refusal.UNAVAILABLE, why)
        pending_bytes = waiters.bytes + size_bytes
        return self._door.refuse(len(waiters), pending_bytes, self._core.log.bytes)

    def _propose(self) -> None:
        batches, dones = self._door.take_batches()
        if not batches:
            return
        core, taken_ms = self._core, self._clock.epoch_ms()
        batches = [noted(batch, taken_ms) for batch in batches]
        try:
            fx = self._replica.enter(lambda now: core.propose(batches, now))
        except NotLeader as error:
            self._fail(dones, Refused(Refusal.NOT_LEADER, error.reason, error.leader))
        except Unavailable as error:
            self._fail(dones, Refused(Refusal.UNAVAILABLE, str(error)))
        except NodeStopped as error:
            self._fail(dones, Unknown(str(error)))
        else:
            for (index, term), batch, done in zip(fx.assigned, batches, dones, strict=True):
                self.waiters.add(index, term, len(batch), done)

    def propose_in(self, term: Term, batch: bytes) -> None:
        """Append what this node's own machine wants, if the node leads in `term`; else drop it."""
        if self._refuse_at_door(len(batch)) is not None:
            return
        core = self._core
        payload = noted(batch, self._clock.epoch_ms())

        def propose(now: float) -> Effects:
            if core.current_term != term:
                raise NotLeader(core.leader_id, "the term is over")
            return core.propose([payload], now)

        with contextlib.suppress(NotLeader, Unavailable, NodeStopped):
            self._replica.enter(propose)

    def _fail(self, dones: Sequence[Done], outcome: Outcome) -> None:
        self.waiters.failed += len(dones)
        answer(dones, outcome)

    def query(self, queries: Sequence[bytes], stale: bool, done: Done) -> None:
        """Answer from the applied state: after a ReadIndex round, or as it is now if `stale`."""
        if self._replica.stopped:
            done(Refused(Refusal.UNAVAILABLE, self._replica.stopped))
        elif why := self._replica.wellbeing.refusal():
            done(Refused(Refusal.UNAVAILABLE, why))
        elif self._door.full(queries, self._replica.apply.backlog):
            done(Refused(Refusal.OVERLOADED, "too many reads are waiting: try again later"))
        elif stale:
            self._replica.apply.put(Query(0, queries, done))
            self._replica.apply_now()
        elif self._door.read(queries, done):
            self._replica.soon(self._read)

    def _read(self) -> None:
        waiting = self._door.take_reads()
        if not waiting:
            return
        core, replica = self._core, self._replica

        def confirmed(index: Index, refusal: NotLeader | None) -> None:
            if not self._door.reads_done(waiting):
                return
            for queries, done in waiting:
                if refusal is not None:
                    done(Refused(Refusal.NOT_LEADER, refusal.reason, refusal.leader))
                else:
                    replica.apply.put(Query(index, queries, done))
            if refusal is None:
                replica.apply_now()

        try:
            replica.enter(lambda now: core.read(now, confirmed))
        except NotLeader as error:
            confirmed(0, error)
        except NodeStopped as error:
            confirmed(0, NotLeader(None, str(error)))

    def lost_leadership(self, commit: Index, leader: NodeId | None) -> None:
        """What is committed will still be answered; of the rest nobody here will hear the end."""
        self.waiters.fail_above(commit, "leadership was lost", leader)

    def stop(self, why: str) -> None:
        """Answer everybody who waits here; `stop_queries` answers those whom the machine has."""
        self.waiters.fail_above(0, why, None)
        self.refuse(self._door.everybody(), why)

    def stop_queries(self, why: str) -> None:
        """After `stop`, when the machine's owner has ended (or is this thread)."""
        self.refuse([query.done for query in self._replica.apply.take_queries()], why)

    def refuse(self, dones: Sequence[Done], why: str) -> None:
        """Certainly not done, or only asked."""
        answer(dones, Refused(Refusal.UNAVAILABLE, why))


def answer(dones: Iterable[Done], outcome: Outcome) -> None:
    for done in dones:
        done(outcome)
