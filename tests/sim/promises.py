"""The checks at the moment when a message leaves: nothing is promised that is not on the disk."""

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
from raftd.core.types import Index, NodeId, SnapshotMeta, Term
from tests.sim.views import Facts, NodeView

if TYPE_CHECKING:
    from raftd.core.core import RaftCore


WINDOWS_MAX = 4


class Promises(Facts):
    """The driver calls `request` and `reply` before the message is handed to the network."""

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

    def _append_request(
        self, view: NodeView, core: RaftCore, peer: NodeId, request: AppendRequest
    ) -> None:
        self._from_leader(view, request.term, request.leader)
        limits = self._settings
        entries = request.entries
        if len(entries) > limits.batch_entries_max:
            self.fail(
                "bounds",
                f"{view.name} sends {len(entries)} entries, limit {limits.batch_entries_max}",
            )
        if len(entries) > 1 and sum(entry.size_bytes for entry in entries) > limits.batch_bytes_max:
            self.fail(
                "bounds", f"{view.name} sends more than {limits.batch_bytes_max} bytes at once"
            )
        if request.commit > view.commit and request.commit > core.commit_index:
            self.fail("committed-is-durable", f"{view.name} announces commit {request.commit}")
        self._count_resend(view, peer, request)
        before = request.prev_index
        for entry in entries:
            if entry.index != before + 1:
                self.fail("log-matching", f"{view.name} sends {entry.index} after {before}")
            before = entry.index

    def in_flight(self, name: NodeId, peer: NodeId, requests: Sequence[Request]) -> None:
        """A few windows: those that were given up but not answered yet, and the one after them."""
        most = WINDOWS_MAX * self._settings.window_messages_max
        if len(requests) > most:
            appends = sum(1 for r in requests if isinstance(r, AppendRequest) and r.entries)
            if appends > most:
                self.fail("bounds", f"{name} has {appends} appends under way to {peer}")

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
            self.fail(
                "term-is-durable",
                f"{view.name} shows term {term} in {message}, synced {view.disk.hard_state}",
            )

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
        if not view.disk.admitted and not (
            view.joins and isinstance(reply, AppendReply | SnapshotReply)
        ):
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
        if (held.term == reply.term and held.vote != request.candidate) or held.term < reply.term:
            self.fail(
                "vote-is-durable",
                f"{view.name} votes {request.candidate} in {reply.term}, synced {held}",
            )

    def _acknowledges(self, view: NodeView, durable: Index, reply: Reply) -> None:
        if durable == 0:
            return
        disk, memory = view.disk, view.memory
        if durable > disk.last and not (disk.snapshot and durable <= disk.snapshot.index):
            self.fail("ack-is-durable", f"{view.name} sends {reply}, synced up to {disk.last}")
        mine = memory.chain(durable)
        if mine is not None and not disk.covers(durable, mine):
            self.fail(
                "ack-is-durable", f"{view.name} sends {reply}, the disk holds another entry there"
            )
        for write in view.pending:
            if write.entries and write.entries[0].index <= durable:
                self.fail(
                    "ack-is-durable",
                    f"{view.name} sends {reply}, write #{write.seq} will undo that",
                )

    # files

    def marker(self, name: NodeId, index: Index, file_durable: bool) -> None:
        if not file_durable:
            self.fail(
                "snapshot-before-marker", f"{name} marks snapshot {index} without a durable file"
            )

    def retained(
        self, name: NodeId, keep: Sequence[SnapshotMeta], to_restore: Sequence[SnapshotMeta]
    ) -> None:
        view = self.views[name]
        marked = [view.disk.snapshot] if view.disk.snapshot is not None else []
        queued = [write.marker.meta for write in view.pending if write.marker is not None]
        newest = max((meta.index for meta in keep), default=0)
        for meta in (*marked, *queued, *to_restore):
            if meta not in keep and meta.index < newest:
                self.fail("snapshot-files-kept", f"{name} deletes {meta.index}, keeps {keep}")

    def release(self, name: NodeId, index: Index) -> None:
        snapshot = self.views[name].disk.snapshot
        if index > (snapshot.index if snapshot else 0):
            self.fail(
                "release-after-marker",
                f"{name} drops its log to {index}, durable snapshot: {snapshot}",
            )
