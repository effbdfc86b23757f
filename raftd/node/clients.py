"""What clients ask of a node: submit a batch, query the state. Network thread only."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

from raftd.core.effects import Effects, NotLeader, Unavailable
from raftd.core.types import Index, Term
from raftd.node.apply_jobs import Query
from raftd.node.applying import Applying
from raftd.node.disk_room import DiskRoom
from raftd.node.driver import CoreDriver
from raftd.node.fair_queue import FairQueue
from raftd.node.leader_wait import LeaderWait
from raftd.node.measures import Measures
from raftd.node.outcomes import (
    Answered,
    Applied,
    Done,
    NodeStopped,
    Outcome,
    Refusal,
    Refused,
    Unknown,
    answer,
)
from raftd.node.overload import Overload
from raftd.node.settings import NodeSettings
from raftd.node.turn_queue import Rounds, TurnQueue
from raftd.node.wellbeing import Wellbeing
from raftd.wire.batch import noted
from raftd.wire.principal import NOBODY, OWN


class Clients:
    """All that is asked in one round becomes one append, or shares one read index."""

    def __init__(
        self,
        driver: CoreDriver,
        applying: Applying,
        room: DiskRoom,
        wellbeing: Wellbeing,
        settings: NodeSettings,
        measures: Measures,
    ) -> None:
        self._took = measures.requests
        self._driver = driver
        self._core = driver.core
        self._applying = applying
        self._room = room
        self._wellbeing = wellbeing
        self._queue = TurnQueue(settings)
        self._appends = Rounds(driver, settings.gather_seconds, self._propose)
        self._read_indexes = Rounds(driver, settings.gather_seconds, self._read)
        self._fair = FairQueue(settings, driver.clock.now, self._enter)
        self._leader_wait = LeaderWait(driver, settings.leader_wait_seconds)
        self._overload = Overload(driver.clock)
        wellbeing.add(self._overload.ailments)
        self._waiters = applying.waiters
        self._led = False
        self._refusal_of: Callable[[bytes], str] = lambda batch: ""
        driver.on_role(self._role_changed)
        driver.on_failure(self.stop)

    def admit_by(self, refusal: Callable[[bytes], str]) -> None:
        """From now on, propose no batch of which `refusal` tells a reason."""
        self._refusal_of = refusal

    def proposals(self) -> tuple[int, int]:
        """(taken and not answered yet, taken and failed or of unknown outcome since the start)."""
        held = len(self._leader_wait)
        taken = len(self._waiters) + self._queue.batches + len(self._fair) + held
        return taken, self._waiters.failed

    def queues(self) -> dict[str, int]:
        """What waits for an answer here, by the name of its figure."""
        waiting = self._fair.bytes + self._queue.size_bytes + self._leader_wait.bytes
        return {
            "pending_bytes": self._waiters.bytes + waiting,
            "queries_pending": self._queue.queries,
            "machine_jobs_waiting": self._applying.worker.backlog,
        }

    def submit(self, batch: bytes, done: Done, principal: bytes = NOBODY) -> None:
        """Propose one BATCH payload, which the caller has checked, as one entry.

        Everything submitted in one round shares one critical section, one write to the log and one
        message a peer.
        """
        if not self._driver.leading and self._leader_wait.hold(
            len(batch), lambda: self._submit(batch, done, principal)
        ):
            return
        self._submit(batch, done, principal)

    def _submit(self, batch: bytes, done: Done, principal: bytes) -> None:
        refused = self._refuse_at_once(len(batch))
        if refused is None and (why := self._refusal_of(batch)):
            refused = Refused(Refusal.NOT_ALLOWED, why)
        if refused is not None:
            done(self._overload.note(refused))
        else:
            self._fair.put(batch, done, principal)

    def _enter(self, batch: bytes, done: Done, principal: bytes) -> None:
        self._queue.batch(batch, done, principal)
        self._appends.arrived(len(batch))

    def _refuse_at_once(self, size_bytes: int) -> Refused | None:
        refused = self._refuse()
        if refused is not None:
            return refused
        waiters, fair = self._waiters, self._fair
        pending_bytes = waiters.bytes + fair.bytes + size_bytes
        # What waits for its turn was let in, and enters a log that may be full by then.
        log_bytes = self._core.log.bytes + fair.bytes
        return self._queue.refuse(len(waiters) + len(fair), pending_bytes, log_bytes)

    def _refuse(self) -> Refused | None:
        """Whatever the load: does this node take nothing?"""
        driver = self._driver
        if driver.stopped:
            return Refused(Refusal.UNAVAILABLE, driver.stopped)
        if not driver.leading:
            return Refused(Refusal.NOT_LEADER, "not the leader", self._core.leader_id)
        if self._room.lacking:
            return Refused(Refusal.UNAVAILABLE, "the leader's disk is full (see `raftctl why`)")
        if why := self._wellbeing.refusal():
            return Refused(Refusal.UNAVAILABLE, why)
        return None

    def _propose(self) -> None:
        batches, dones, principals = self._queue.take_batches()
        if not batches:
            return
        if (refused := self._refuse()) is not None:  # some have waited for their turn
            self._fail(dones, refused)
            return
        core, taken_ms = self._core, self._driver.clock.epoch_ms()
        since = self._appends.since
        batches = [
            noted(batch, taken_ms, principal)
            for batch, principal in zip(batches, principals, strict=True)
        ]
        try:
            fx = self._driver.enter(lambda now: core.propose(batches, now))
        except NotLeader as error:
            self._fail(dones, Refused(Refusal.NOT_LEADER, error.reason, error.leader))
        except Unavailable as error:
            self._fail(dones, Refused(Refusal.UNAVAILABLE, str(error), error.leader))
        except NodeStopped as error:
            self._fail(dones, Unknown(str(error)))
        else:
            dones[-1] = self._measured("command", dones[-1], since, len(dones))
            answered = self._appends.began(len(dones))
            for (index, term), batch, done in zip(fx.assigned, batches, dones, strict=True):
                self._waiters.add(index, term, len(batch), _then(done, answered))

    def propose_in(self, term: Term, batch: bytes) -> None:
        """Append what this node's own machine wants, if the node leads in `term`; else drop it.

        Clients that fill the door do not keep it out: it is little, and it is what makes room.
        """
        if self._refuse() is not None or self._refusal_of(batch):
            return
        core = self._core
        payload = noted(batch, self._driver.clock.epoch_ms(), OWN)

        def propose(now: float) -> Effects:
            if core.current_term != term:
                raise NotLeader(core.leader_id, "the term is over")
            return core.propose([payload], now)

        with contextlib.suppress(NotLeader, Unavailable, NodeStopped):
            self._driver.enter(propose)

    def _fail(self, dones: Sequence[Done], outcome: Outcome) -> None:
        self._waiters.failed += len(dones)
        answer(dones, outcome)

    def query(
        self, queries: Sequence[bytes], stale: bool, done: Done, principal: bytes = NOBODY
    ) -> None:
        """Answer from the applied state: after a ReadIndex round, or as it is now if `stale`."""
        if (
            not stale
            and not self._driver.leading
            and self._leader_wait.hold(
                sum(map(len, queries)), lambda: self._query(queries, stale, done, principal)
            )
        ):
            return
        self._query(queries, stale, done, principal)

    def _query(self, queries: Sequence[bytes], stale: bool, done: Done, principal: bytes) -> None:
        if self._driver.stopped:
            done(Refused(Refusal.UNAVAILABLE, self._driver.stopped))
        elif why := self._wellbeing.refusal():
            done(Refused(Refusal.UNAVAILABLE, why))
        elif self._queue.full(queries, self._applying.worker.backlog):
            done(self._overload.note(self._queue.no_room_for_reads()))
        elif stale:
            measured = self._measured("stale_read", done, self._driver.clock.now(), 1)
            self._applying.put(Query(0, queries, measured, principal))
            self._applying.go_on()
        else:
            self._queue.read(queries, done, principal)
            self._read_indexes.arrived(0)

    def _read(self) -> None:
        waiting = self._queue.take_reads()
        if not waiting:
            return
        core = self._core
        queries, done, principal = waiting[-1]
        measured = self._measured("read", done, self._read_indexes.since, len(waiting))
        waiting[-1] = queries, measured, principal
        answered = self._read_indexes.began(len(waiting))

        def confirmed(index: Index, refusal: NotLeader | None) -> None:
            if not self._queue.reads_done(waiting):
                return
            answered(len(waiting))
            for queries, done, principal in waiting:
                if refusal is not None:
                    done(Refused(Refusal.NOT_LEADER, refusal.reason, refusal.leader))
                else:
                    self._applying.put(Query(index, queries, done, principal))
            if refusal is None:
                self._applying.go_on()

        try:
            self._driver.enter(lambda now: core.read(now, confirmed))
        except NotLeader as error:
            confirmed(0, error)
        except NodeStopped as error:
            confirmed(0, NotLeader(None, str(error)))

    def _measured(self, kind: str, done: Done, since: float, count: int) -> Done:
        """With the answer to the last one of a round all `count` of it are measured, as if they had
        come together `since`: one look at the clock for all of them.
        """
        now, histogram = self._driver.clock.now, self._took[kind]

        def answered(outcome: Outcome) -> None:
            if isinstance(outcome, (Applied, Answered)):
                histogram.observe(now() - since, count)
            done(outcome)

        return answered

    def _role_changed(self) -> None:
        """A leader that lost leadership cannot learn any more how uncommitted entries end."""
        led, self._led = self._led, self._driver.leading
        if led and not self._led:
            core, why = self._core, "leadership was lost"
            waiting = self._fair.everybody()
            self._waiters.fail_above(core.commit_index, why, core.leader_id)
            self._fail(waiting, Refused(Refusal.NOT_LEADER, why, core.leader_id))

    def stop(self, why: str) -> None:
        """Answer everybody who waits here; `stop_queries` answers those whom the machine has."""
        self._leader_wait.release()  # the node takes nothing more: they are refused
        waiting = self._fair.everybody()  # first: an answer lets the next one in
        self._waiters.fail_above(0, why, None)
        _refuse([*self._queue.everybody(), *waiting], why)

    def stop_queries(self, why: str) -> None:
        """After `stop`, when the machine's owner has ended (or is this thread)."""
        _refuse([query.done for query in self._applying.worker.take_queries()], why)


def _then(done: Done, answered: Callable[[int], None]) -> Done:
    def both(outcome: Outcome) -> None:
        answered(1)  # first: who asks again within `done` is not also one that waits for it
        done(outcome)

    return both


def _refuse(dones: Sequence[Done], why: str) -> None:
    """Certainly not done, or only asked."""
    answer(dones, Refused(Refusal.UNAVAILABLE, why))
