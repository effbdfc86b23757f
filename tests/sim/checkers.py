"""The invariants, checked after every event, each with a name that the mutants are caught by.

election-safety            at most one leader a term (Figure 3)
elected-by-votes           a majority of voters has durably voted for a leader (5.2)
leader-append-only         a leader never overwrites or removes its entries (Figure 3)
log-matching               (index, term) decides the whole log up to it (Figure 3)
leader-completeness        a new leader holds all that was committed in earlier terms (Figure 3)
state-machine-safety       one entry and one result per applied index, in order, once (Figure 3)
monotonic                  term and commit index never fall; term and vote not even over a restart
one-vote-per-term          a node gives one vote a term, ever
committed-is-durable       what is committed is synced on a majority
own-term-commit            a leader commits by counting only an entry of its own term (Figure 8)
only-the-leader-appends    appends and snapshots of a term come from its one leader
ack-is-durable             no acknowledgement of what is not synced, or what a queued write undoes
vote-is-durable            no vote before it is synced
term-is-durable            no message shows a term that is not synced
record-is-durable          no Hello claims a record that is not synced
admission                  a node that is not (durably) admitted answers and campaigns for nothing
snapshot-before-marker     no marker in the log before its snapshot file is durable
snapshot-files-kept        no file goes that a mark, on disk or queued, or the machine needs
backup-whole               a snapshot that is held is read whole, whatever comes and goes meanwhile
release-after-marker       no log is dropped that a durable snapshot does not cover
read-index                 a confirmed read's index is at least what was committed as it arrived
recovery                   a restart finds exactly what was synced (and whole writes after it)
commit-is-verified         a follower commits only what its leader's log holds too
queue-order                the log gets all writes in the order in which the core asked for them
persisted-is-synced        the core hears that a write is durable when it is
states-agree               members that compare their states find no difference
answers                    a caller hears once, and an Applied is its own entry with its results
everybody-answered         in a healed cluster nobody waits for an answer for ever
batches-noted              every batch in the log says when its leader took it
exactly-once               answers are those of a naive model that executes each number once
bounds                     batches, windows and queues keep to their limits
log-bounded                entries in memory keep to their limit, on every node
no-gap                     after a write that was given up nothing later is written, ever
released-segments-go       a full disk does not wait for room while segments may go
one-owner                  nobody touches a machine into which a snapshot is being restored
pin-needs-progress         a log is pinned anew only for who got further than ever before
newer-snapshot-sent        a snapshot that was refused gives way to a newer one
heartbeats-go-on           the network thread waits for no disk that is slow or hangs
hand-over-goes-on          a hand-over whose word was lost is repeated, or ends
refused-is-not-repeated    who refuses what it had acknowledged is sent what it lacks
timers-end                 a timer that is due is acted on, and is then due later
silent-leader-ends         nobody goes by a leader for long that it hears nothing of
wire-keeps-messages        what a node says gets through the peers' codec as it was said
strangers-end-nobody       what a peer sends, however wrong, ends no node
members-are-called         a node calls members only, and who leads
configuration-in-force     a node goes by the last configuration in its log, appended or truncated
one-change-at-a-time       a leader changes the members only when the change before is committed
own-term-before-change     and never before an entry of its own term is
only-voters-lead           a leader is a voter, or was one until a change that it holds
snapshot-keeps-members     a snapshot holds the configuration of its index
kept-of-members            what a node keeps for each peer is of members, what it asks of voters
progress-of-members        a leader keeps progress of the members, and of nobody else
no-id-twice                who was removed is never a member again
only-the-removed-leave     nobody ends as removed but who was

And at the end of a seed:
liveness                   a healed majority elects, commits, reads and agrees within bounds
linearizable               one order of the clients' operations explains all that they saw
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from raftd.core.types import Entry, HardState, Index, NodeId, Recovered, Role, Write
from tests.sim.member_checks import MemberChecks
from tests.sim.shadow import Shadow
from tests.sim.views import NodeView

if TYPE_CHECKING:
    from raftd.core.core import RaftCore

PENDING_WRITES_MAX = 20_000


class Checkers(MemberChecks):
    """All of them. The driver calls a method at every place where something can be promised."""

    def started(self, name: NodeId, found: Recovered) -> None:
        """A node has recovered what was synced, and perhaps whole writes after it."""
        view = self.views[name]
        disk = view.disk
        why = disk.differs(found)
        best = why
        for write in view.pending if why else ():
            disk = disk.copy() if disk is view.disk else disk
            disk.apply(write)
            best = disk.differs(found)
            if not best:
                break
        if best:
            self.fail(
                "recovery", f"{name} recovered something else than what was synced: {why}; {best}"
            )
        view.disk = disk
        view.memory = disk.copy()
        view.pending, view.synced_seq, view.given_up, view.released = [], 0, 0, []
        view.role, view.term, view.commit, view.applied = Role.FOLLOWER, found.hard_state.term, 0, 0
        view.up = True
        vote = found.hard_state
        if vote.vote is not None:
            self._vote(name, vote.term, vote.vote)

    def probed(self, name: NodeId, found: Recovered) -> None:
        """What a recovery of the synced bytes alone would find is all that was promised."""
        why = self.views[name].disk.differs(found)
        if why:
            self.fail("recovery", f"{name} would recover something else than was synced: {why}")

    def stopped(self, name: NodeId) -> None:
        self.views[name].up = False
        self.views[name].role = Role.FOLLOWER

    def wiped(self, name: NodeId) -> None:
        view = self.views[name]
        view.disk, view.memory, view.pending = Shadow(self.tables), Shadow(self.tables), []
        view.wiped = True

    # writes

    def persist(self, name: NodeId, write: Write) -> None:
        view = self.views[name]
        memory = view.memory
        if write.hard_state is not None and write.hard_state.term < memory.hard_state.term:
            self.fail(
                "monotonic",
                f"{name} writes term {write.hard_state.term} after {memory.hard_state.term}",
            )
        self._check_vote_change(name, memory.hard_state, write.hard_state)
        if write.entries:
            self._check_entries(view, write.entries)
            self.configurations_written(view, write.entries)
        if write.marker is not None:
            self.marked(name, write.marker.meta)
        try:
            memory.apply(write)
        except IndexError as error:
            self.fail("log-matching", f"{name} leaves a gap: {error}")
        if self.tables.broken:
            self.fail("log-matching", f"{name}: {self.tables.broken}")
        view.pending.append(write)
        if len(view.pending) > PENDING_WRITES_MAX:
            self.fail("bounds", f"{name} has {len(view.pending)} writes queued")

    def _check_vote_change(self, name: NodeId, old: HardState, new: HardState | None) -> None:
        if (
            new is not None
            and new.term == old.term
            and old.vote is not None
            and new.vote != old.vote
        ):
            self.fail(
                "one-vote-per-term", f"{name} term {new.term}: vote {old.vote} became {new.vote}"
            )

    def _check_entries(self, view: NodeView, entries: Sequence[Entry]) -> None:
        first, memory = entries[0].index, view.memory
        if first > memory.last:
            return
        if (
            view.role is Role.LEADER
            and first >= view.led_from
            and view.term == memory.hard_state.term
        ):
            self.fail("leader-append-only", f"{view.name} rewrites {first} in its own term")
        if first <= view.commit:
            self.fail(
                "state-machine-safety",
                f"{view.name} overwrites {first}, committed up to {view.commit}",
            )
        self._world.stats["truncations"] += 1

    def synced(self, name: NodeId, writes: Sequence[Write]) -> None:
        """The log's sync has returned: these writes survive anything."""
        view = self.views[name]
        self.in_order(name, writes)
        for write in writes:
            view.disk.apply(write)
            if write.hard_state is not None and write.hard_state.vote is not None:
                self._vote(name, write.hard_state.term, write.hard_state.vote)
        if view.wiped and view.disk.admitted:
            self.fail("admission", f"{name} lost its disk and is admitted again")
        if writes:
            view.synced_seq = writes[-1].seq
        del view.pending[: len(writes)]

    # after each call into a core

    def after(self, name: NodeId, core: RaftCore) -> None:
        view = self.views[name]
        term, commit, role = core.current_term, core.commit_index, core.role
        if term < view.term:
            self.fail("monotonic", f"{name}: term {view.term} became {term}")
        if commit < view.commit:
            self.fail("monotonic", f"{name}: commit index {view.commit} became {commit}")
        if role is Role.LEADER and (view.role is not Role.LEADER or term != view.term):
            self._elected(view, core)
        self.members_after(view, core)
        view.role, view.term = role, term
        if commit > view.commit:
            self._commits(view, core, commit)
        log = core.log
        last = log.last_index
        if last != view.memory.last or log.last_term != view.memory.terms[-1]:
            self.fail(
                "log-matching",
                f"{name} holds {last}/{log.last_term} and wrote {view.memory.last}",
            )
        if log.durable_index > last:
            self.fail("ack-is-durable", f"{name}: durable {log.durable_index}, last {last}")

    def _elected(self, view: NodeView, core: RaftCore) -> None:
        term = core.current_term
        other = self.leaders.setdefault(term, view.name)
        if other != view.name:
            self.fail("election-safety", f"{other} and {view.name} lead term {term}")
        if not view.disk.admitted:
            self.fail("admission", f"{view.name} leads and is not admitted")
        self._vote(view.name, term, view.name)
        self.elected_by(view, term)
        held = view.disk.hard_state
        if held != HardState(term, view.name):
            self.fail("vote-is-durable", f"{view.name} leads term {term}, synced {held}")
        self._world.stats["elections"] += 1
        view.led_from = view.memory.last
        known = max((index for t, index in self.commit_by_term.items() if t < term), default=0)
        if not view.memory.covers(known, self.committed[known]):
            self.fail(
                "leader-completeness",
                f"{view.name} leads term {term} without committed entry {known}",
            )

    def _commits(self, view: NodeView, core: RaftCore, commit: Index) -> None:
        memory = view.memory
        if commit > memory.last:
            self.fail("commit-is-verified", f"{view.name} commits {commit} of {memory.last}")
        if view.role is Role.LEADER and memory.term(commit) != view.term:
            self.fail(
                "own-term-commit",
                f"{view.name} leads {view.term}, commits {commit} of {memory.term(commit)}",
            )
        known = len(self.committed) - 1
        self._agrees(view, min(commit, known))
        if commit > known:
            if view.role is not Role.LEADER:
                self.fail(
                    "commit-is-verified",
                    f"{view.name} follows and commits {commit}; leaders: {known}",
                )
            for index in range(known + 1, commit + 1):
                chain = memory.chain(index)
                if chain is None:
                    self.fail(
                        "state-machine-safety", f"{view.name} commits {index} and does not hold it"
                    )
                    return
                self.committed.append(chain)
            self.commit_by_term[view.term] = commit
            self.committed_by = memory.configuration
            self.durable_on_majority(commit)
        view.commit = commit

    def _agrees(self, view: NodeView, index: Index) -> None:
        if index > 0 and not view.memory.covers(index, self.committed[index]):
            name = "commit-is-verified" if view.role is not Role.LEADER else "state-machine-safety"
            self.fail(name, f"{view.name} commits another entry at {index} than was committed")

    def durable_on_majority(self, index: Index) -> None:
        """Also asked after every crash: committed stays durable, whatever is down."""
        if index > 0:
            self.held_by_majority(index)

    def applying(self, name: NodeId, entry: Entry) -> None:
        view = self.views[name]
        if entry.index != view.applied + 1:
            self.fail("state-machine-safety", f"{name} applies {entry.index} after {view.applied}")
        if entry.index >= len(self.committed):
            self.fail(
                "state-machine-safety", f"{name} applies {entry.index}, which nobody has committed"
            )
        if self.tables.link(self.committed[entry.index - 1], entry) != self.committed[entry.index]:
            self.fail("state-machine-safety", f"{name} applies another entry at {entry.index}")
        view.applied = entry.index

    def applied_result(self, name: NodeId, index: Index, payload: bytes, result: bytes) -> None:
        known = self.results.get(index)
        if known is None:
            self.results[index], self.payloads[index] = result, payload
            self._model.apply(index, payload, result)
        elif known != result:
            self.fail(
                "state-machine-safety", f"{name} answers {result!r} at {index}, another {known!r}"
            )

    def installed(self, name: NodeId, index: Index) -> None:
        view = self.views[name]
        if index < view.applied:
            self.fail("monotonic", f"{name} restores {index} under {view.applied} applied")
        if index >= len(self.committed):
            self.fail(
                "state-machine-safety", f"{name} installs {index}, which nobody has committed"
            )
        view.applied = index

    # reads

    def read_arrives(self) -> Index:
        """What is committed by anyone at this moment: the least index that the read may see."""
        return len(self.committed) - 1

    def read_confirmed(self, name: NodeId, index: Index, floor: Index) -> None:
        if index < floor:
            self.fail(
                "read-index",
                f"{name} confirms a read at {index}; {floor} was committed when it arrived",
            )
