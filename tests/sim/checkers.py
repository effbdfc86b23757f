"""The invariants, checked after every event, each with a name that the mutants are caught by.

 election-safety            at most one leader a term (Figure 3)
 leader-append-only         a leader never overwrites or removes its entries (Figure 3)
 log-matching               (index, term) decides the whole log up to it (Figure 3)
 leader-completeness        a new leader holds all that was committed in earlier terms (Figure 3)
 state-machine-safety       one entry and one result per applied index, in order, once (Figure 3)
 monotonic                  term and commit index never fall; term and vote not even over a restart
 one-vote-per-term          a node gives one vote a term, ever
 committed-is-durable       what is committed is synced on a majority
 own-term-commit            a leader moves its commit index only to an entry of its own term (Figure 8)
 only-the-leader-appends    appends and snapshots of a term come from its one leader
 ack-is-durable             no acknowledgement of an entry that is not synced, or that a queued write undoes
 vote-is-durable            no vote before it is synced
 term-is-durable            no message shows a term that is not synced
 record-is-durable          no Hello claims a record that is not synced
 admission                  a node that is not (durably) admitted answers and campaigns for nothing
 snapshot-before-marker     no marker in the log before its snapshot file is durable
 release-after-marker       no log is dropped that a durable snapshot does not cover
 read-index                 a confirmed read's index is at least what was committed when the read arrived
 recovery                   a restart finds exactly what was synced (and whole writes after it)
 commit-is-verified         a follower commits only what its leader's log holds too
 exactly-once               answers are those of a naive model that executes each number once
 bounds                     batches, windows and queues keep to their limits
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from raftd.core.messages import (
    AppendReply,
    AppendRequest,
    HelloReply,
    HelloRequest,
    NotAdmitted,
    Reply,
    Request,
    SnapshotReply,
    SnapshotRequest,
    VoteReply,
    VoteRequest,
)
from raftd.core.types import Configuration, Entry, HardState, Index, NodeId, Recovered, Role, Settings, Term, Write
from tests.sim.model import Model
from tests.sim.plan import Plan
from tests.sim.shadow import Chains, Shadow
from tests.sim.world import Violation, World

if TYPE_CHECKING:
    from raftd.core.core import RaftCore

PENDING_WRITES_MAX = 20_000


class NodeView:
    """What the checkers know about one node."""

    def __init__(self, name: NodeId, tables: Chains) -> None:
        self.name = name
        self.memory = Shadow(tables)
        self.disk = Shadow(tables)
        self.pending: list[Write] = []
        self.role = Role.FOLLOWER
        self.term: Term = 0
        self.commit: Index = 0
        self.applied: Index = 0
        self.led_from: Index = 0
        self.wiped = False
        self.sent_to: dict[tuple[NodeId, Term], Index] = {}
        self.up = False


class Checkers:
    """All of them. The driver calls a method at every place where something can be promised."""

    def __init__(self, world: World, configuration: Configuration, plan: Plan) -> None:
        self._world = world
        self._settings = plan.settings
        self._model = Model(world.stats, plan.sessions_max)
        self.tables = Chains()
        self.voters = configuration.voters
        self.majority = len(self.voters) // 2 + 1
        self.views = {name: NodeView(name, self.tables) for name in configuration.members()}
        self.leaders: dict[Term, NodeId] = {}
        self.votes: dict[tuple[NodeId, Term], NodeId] = {}
        self.committed: list[int] = [0]
        """Chain by index: the one committed log."""
        self.commit_by_term: dict[Term, Index] = {}
        self.results: dict[Index, bytes] = {}

    def fail(self, name: str, detail: str) -> None:
        raise Violation(name, detail)

    # lives

    def started(self, name: NodeId, found: Recovered) -> None:
        """A node has recovered. What it found must be what was synced, plus whole writes after it."""
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
            self.fail("recovery", f"{name} recovered something else than what was synced: {why}; {best}")
        view.disk = disk
        view.memory = disk.copy()
        view.pending = []
        view.role, view.term, view.commit, view.applied = Role.FOLLOWER, found.hard_state.term, 0, 0
        view.up = True
        vote = found.hard_state
        if vote.vote is not None:
            self._vote(name, vote.term, vote.vote)

    def stopped(self, name: NodeId) -> None:
        self.views[name].up = False
        self.views[name].role = Role.FOLLOWER

    def wiped(self, name: NodeId) -> None:
        view = self.views[name]
        view.disk, view.memory = Shadow(self.tables), Shadow(self.tables)
        view.pending = []
        view.wiped = True

    # writes

    def persist(self, name: NodeId, write: Write) -> None:
        view = self.views[name]
        memory = view.memory
        if write.hard_state is not None and write.hard_state.term < memory.hard_state.term:
            self.fail("monotonic", f"{name} writes term {write.hard_state.term} after {memory.hard_state.term}")
        self._check_vote_change(name, memory.hard_state, write.hard_state)
        if write.entries:
            self._check_entries(view, write.entries)
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
        if new is not None and new.term == old.term and old.vote is not None and new.vote != old.vote:
            self.fail("one-vote-per-term", f"{name} term {new.term}: vote {old.vote} became {new.vote}")

    def _check_entries(self, view: NodeView, entries: Sequence[Entry]) -> None:
        first, memory = entries[0].index, view.memory
        if first > memory.last:
            return
        if view.role is Role.LEADER and first >= view.led_from and view.term == memory.hard_state.term:
            self.fail("leader-append-only", f"{view.name} rewrites {first} in its own term")
        if first <= view.commit:
            self.fail("state-machine-safety", f"{view.name} overwrites {first}, committed up to {view.commit}")
        self._world.stats["truncations"] += 1

    def synced(self, name: NodeId, writes: Sequence[Write]) -> None:
        """The log's sync has returned: these writes survive anything."""
        view = self.views[name]
        for write in writes:
            view.disk.apply(write)
        del view.pending[: len(writes)]

    def marker(self, name: NodeId, index: Index, file_durable: bool) -> None:
        if not file_durable:
            self.fail("snapshot-before-marker", f"{name} marks snapshot {index} without a durable file")

    def release(self, name: NodeId, index: Index) -> None:
        snapshot = self.views[name].disk.snapshot
        if index > (snapshot.index if snapshot else 0):
            self.fail("release-after-marker", f"{name} drops its log to {index}, durable snapshot: {snapshot}")

    # messages

    def request(self, name: NodeId, core: RaftCore, peer: NodeId, request: Request) -> None:
        view = self.views[name]
        if isinstance(request, HelloRequest):
            self._records(view, request.records)
            return
        term = request.term
        if isinstance(request, VoteRequest):
            self._vote_request(view, request)
            term -= request.pre
        elif isinstance(request, AppendRequest):
            self._append_request(view, core, peer, request)
        elif isinstance(request, SnapshotRequest):
            self._from_leader(view, request.term, request.leader)
        self._term_shown(view, term, request)

    def _vote_request(self, view: NodeView, request: VoteRequest) -> None:
        if request.candidate != view.name:
            self.fail("one-vote-per-term", f"{view.name} campaigns as {request.candidate}")
        if not view.disk.admitted:
            self.fail("admission", f"{view.name} campaigns and is not admitted")

    def _append_request(self, view: NodeView, core: RaftCore, peer: NodeId, request: AppendRequest) -> None:
        self._from_leader(view, request.term, request.leader)
        limits = self._settings
        entries = request.entries
        if len(entries) > limits.batch_entries_max:
            self.fail("bounds", f"{view.name} sends {len(entries)} entries, limit {limits.batch_entries_max}")
        if len(entries) > 1 and sum(entry.size_bytes for entry in entries) > limits.batch_bytes_max:
            self.fail("bounds", f"{view.name} sends more than {limits.batch_bytes_max} bytes at once")
        if request.commit > view.commit and request.commit > core.commit_index:
            self.fail("committed-is-durable", f"{view.name} announces commit {request.commit}")
        self._count_resend(view, peer, request)
        before = request.prev_index
        for entry in entries:
            if entry.index != before + 1:
                self.fail("log-matching", f"{view.name} sends {entry.index} after {before}")
            before = entry.index

    def _count_resend(self, view: NodeView, peer: NodeId, request: AppendRequest) -> None:
        if request.entries:
            sent = view.sent_to.get((peer, request.term), 0)
            if request.entries[0].index <= sent:
                self._world.stats["resends"] += 1
            view.sent_to[peer, request.term] = max(sent, request.entries[-1].index)

    def _from_leader(self, view: NodeView, term: Term, leader: NodeId) -> None:
        if leader != view.name or self.leaders.get(term) != view.name:
            self.fail("only-the-leader-appends", f"{view.name} sends for {leader} in term {term}")

    def _term_shown(self, view: NodeView, term: Term, message: object) -> None:
        if term > view.disk.hard_state.term:
            self.fail("term-is-durable", f"{view.name} shows term {term} in {message}, synced {view.disk.hard_state}")

    def _records(self, view: NodeView, records: Sequence[tuple[NodeId, str]]) -> None:
        for node, incarnation in records:
            if view.disk.records.get(node) != incarnation and node != view.name:
                self.fail("record-is-durable", f"{view.name} claims {node}={incarnation}")

    def reply(self, name: NodeId, reply: Reply, request: Request) -> None:
        view = self.views[name]
        if isinstance(reply, NotAdmitted):
            return
        if isinstance(reply, HelloReply):
            self._records(view, reply.records)
            return
        if not view.disk.admitted:
            self.fail("admission", f"{name} answers {reply} and is not admitted")
        if isinstance(reply, VoteReply):
            self._vote_reply(view, reply, request)
            if reply.pre and reply.granted:
                return
        elif isinstance(reply, (AppendReply, SnapshotReply)):
            self._acknowledges(view, reply.durable, reply)
        self._term_shown(view, reply.term, reply)

    def _vote_reply(self, view: NodeView, reply: VoteReply, request: Request) -> None:
        if not reply.granted or reply.pre or not isinstance(request, VoteRequest):
            return
        self._vote(view.name, reply.term, request.candidate)
        held = view.disk.hard_state
        if held.term == reply.term and held.vote != request.candidate or held.term < reply.term:
            self.fail("vote-is-durable", f"{view.name} votes {request.candidate} in {reply.term}, synced {held}")

    def _vote(self, name: NodeId, term: Term, candidate: NodeId) -> None:
        if self.views[name].wiped:
            return
        known = self.votes.setdefault((name, term), candidate)
        if known != candidate:
            self.fail("one-vote-per-term", f"{name} voted for {known} and {candidate} in term {term}")

    def _acknowledges(self, view: NodeView, durable: Index, reply: Reply) -> None:
        if durable == 0:
            return
        disk, memory = view.disk, view.memory
        if durable > disk.last and not (disk.snapshot and durable <= disk.snapshot.index):
            self.fail("ack-is-durable", f"{view.name} sends {reply}, synced up to {disk.last}")
        mine = memory.chain(durable)
        if mine is not None and not disk.covers(durable, mine):
            self.fail("ack-is-durable", f"{view.name} sends {reply}, the disk holds another entry there")
        for write in view.pending:
            if write.entries and write.entries[0].index <= durable:
                self.fail("ack-is-durable", f"{view.name} sends {reply}, write #{write.seq} will undo that")

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
        view.role, view.term = role, term
        if commit > view.commit:
            self._commits(view, core, commit)
        log = core.log
        if log.last_index != view.memory.last or log.last_term != view.memory.terms[-1]:
            self.fail("log-matching", f"{name} holds {log.last_index}/{log.last_term} and wrote {view.memory.last}")
        if core.durable_index > log.last_index:
            self.fail("ack-is-durable", f"{name}: durable {core.durable_index}, last {log.last_index}")

    def _elected(self, view: NodeView, core: RaftCore) -> None:
        term = core.current_term
        other = self.leaders.setdefault(term, view.name)
        if other != view.name:
            self.fail("election-safety", f"{other} and {view.name} lead term {term}")
        if not view.disk.admitted:
            self.fail("admission", f"{view.name} leads and is not admitted")
        self._vote(view.name, term, view.name)
        held = view.disk.hard_state
        if held != HardState(term, view.name):
            self.fail("vote-is-durable", f"{view.name} leads term {term}, synced {held}")
        self._world.stats["elections"] += 1
        view.led_from = view.memory.last
        known = max((index for t, index in self.commit_by_term.items() if t < term), default=0)
        if not view.memory.covers(known, self.committed[known]):
            self.fail("leader-completeness", f"{view.name} leads term {term} without committed entry {known}")

    def _commits(self, view: NodeView, core: RaftCore, commit: Index) -> None:
        memory = view.memory
        if commit > memory.last:
            self.fail("commit-is-verified", f"{view.name} commits {commit} of {memory.last}")
        if view.role is Role.LEADER and memory.term(commit) != view.term:
            self.fail("own-term-commit", f"{view.name} leads {view.term}, commits {commit} of {memory.term(commit)}")
        known = len(self.committed) - 1
        self._agrees(view, min(commit, known))
        if commit > known:
            if view.role is not Role.LEADER:
                self.fail("commit-is-verified", f"{view.name} follows and commits {commit}; leaders: {known}")
            for index in range(known + 1, commit + 1):
                chain = memory.chain(index)
                if chain is None:
                    self.fail("state-machine-safety", f"{view.name} commits {index} and does not hold it")
                    return
                self.committed.append(chain)
            self.commit_by_term[view.term] = commit
            self.durable_on_majority(commit)
        view.commit = commit

    def _agrees(self, view: NodeView, index: Index) -> None:
        if index > 0 and not view.memory.covers(index, self.committed[index]):
            name = "commit-is-verified" if view.role is not Role.LEADER else "state-machine-safety"
            self.fail(name, f"{view.name} commits another entry at {index} than was committed")

    def durable_on_majority(self, index: Index) -> None:
        """Also asked after every crash: committed stays durable, whatever is down."""
        if index <= 0:
            return
        chain = self.committed[index]
        holders = [n for n in self.voters if self.views[n].disk.covers(index, chain)]
        lost = sum(1 for n in self.voters if self.views[n].wiped)
        if len(holders) < self.majority - lost:
            self.fail("committed-is-durable", f"entry {index} is synced on {holders} only, of {len(self.voters)}")

    def applying(self, name: NodeId, entry: Entry) -> None:
        view = self.views[name]
        if entry.index != view.applied + 1:
            self.fail("state-machine-safety", f"{name} applies {entry.index} after {view.applied}")
        if entry.index >= len(self.committed):
            self.fail("state-machine-safety", f"{name} applies {entry.index}, which nobody has committed")
        if self.tables.link(self.committed[entry.index - 1], entry) != self.committed[entry.index]:
            self.fail("state-machine-safety", f"{name} applies another entry at {entry.index}")
        view.applied = entry.index

    def applied_result(self, name: NodeId, index: Index, payload: bytes, result: bytes) -> None:
        known = self.results.get(index)
        if known is None:
            self.results[index] = result
            self._model.apply(index, payload, result)
        elif known != result:
            self.fail("state-machine-safety", f"{name} answers {result!r} at {index}, another {known!r}")

    def installed(self, name: NodeId, index: Index) -> None:
        view = self.views[name]
        if index < view.applied:
            self.fail("monotonic", f"{name} restores {index} under {view.applied} applied")
        if index >= len(self.committed):
            self.fail("state-machine-safety", f"{name} installs {index}, which nobody has committed")
        view.applied = index

    # reads

    def read_arrives(self) -> Index:
        """What is committed by anyone at this moment: the least index that the read may see."""
        return len(self.committed) - 1

    def read_confirmed(self, name: NodeId, index: Index, floor: Index) -> None:
        if index < floor:
            self.fail("read-index", f"{name} confirms a read at {index}; {floor} was committed when it arrived")
