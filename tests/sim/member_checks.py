"""What must hold while members change. Who the voters are is read from the logs, never asked."""

from __future__ import annotations

from collections.abc import Collection, Container, Sequence
from typing import TYPE_CHECKING

from raftd.core.types import (
    Configuration,
    Entry,
    EntryType,
    Index,
    NodeId,
    Recovered,
    Role,
    SnapshotMeta,
    Term,
)
from tests.sim.shadow import NOBODY
from tests.sim.shell_checks import ShellChecks
from tests.sim.views import NodeView

if TYPE_CHECKING:
    from raftd.core.core import RaftCore


def missing(configuration: Configuration, nodes: Container[NodeId], lost: Container[NodeId]) -> str:
    """Which voters are no majority; empty if both sets of a joint configuration have one.

    lost: nodes that may lack, since their disk is gone.
    """
    for voters in (configuration.voters, configuration.outgoing):
        have = [voter for voter in voters if voter in nodes or voter in lost]
        if voters and 2 * len(have) <= len(voters):
            return f"{','.join(have) or 'nobody'} of {','.join(voters)}"
    return ""


class MemberChecks(ShellChecks):
    def in_force(self, view: NodeView) -> Configuration:
        """By what the node itself has written."""
        memory = view.memory
        if view.joins and not memory.base and memory.configuration is self.tables.first:
            return NOBODY
        return memory.configuration

    def configurations_written(self, view: NodeView, entries: Sequence[Entry]) -> None:
        """These entries are about to be appended; a leader's are looked at after the call, which
        may have committed what they follow.
        """
        if view.role is not Role.LEADER or entries[0].term != view.term:
            return
        for entry in entries:
            if entry.type is EntryType.CONFIGURATION:
                view.changes.append((entry.index, view.memory.configuration_since()))

    def _changes_in_order(self, view: NodeView, commit: Index) -> None:
        for index, since in view.changes:
            if commit < view.led_from:
                self.fail(
                    "own-term-before-change",
                    f"{view.name} changes the members at {index}, committed up to {commit}; "
                    f"its term began at {view.led_from}",
                )
            if commit < since:
                self.fail(
                    "one-change-at-a-time",
                    f"{view.name} changes the members at {index} before that of {since} is "
                    "committed",
                )
        view.changes.clear()

    def members_after(self, view: NodeView, core: RaftCore) -> None:
        """A core goes by its log: from the append on, and back when it is truncated."""
        if view.changes:
            self._changes_in_order(view, core.commit_index)
        written, followed = self.in_force(view), core.configuration
        if followed is not view.followed or written is not view.configuration:
            # Neither changes in place: to compare the same two again would tell nothing.
            if followed != written:
                self.fail(
                    "configuration-in-force",
                    f"{view.name} goes by {followed}, its log says {written}",
                )
            view.followed = followed
        self._look_at_kept(view, core)
        if view.configuration is not written or view.role is not core.role:
            view.configuration = written
            self._look_at_progress(view, core)
            back = set(written.members()) & set(written.retired)
            if back:
                self.fail("no-id-twice", f"{','.join(back)} was removed, and is a member again")

    def _look_at_progress(self, view: NodeView, core: RaftCore) -> None:
        if core.role is Role.LEADER:
            kept = {peer.peer for peer in core.state(0.0).peers}
            if kept != set(core.configuration.members()) - {view.name}:
                self.fail(
                    "progress-of-members",
                    f"{view.name} keeps progress of {sorted(kept)} in {core.configuration}",
                )

    def _look_at_kept(self, view: NodeView, core: RaftCore) -> None:
        """What is kept for each member goes with it, and does not come back with a late answer."""
        state = core._s
        followed, campaign = core.configuration, state.campaign
        again: Collection[NodeId] = () if campaign is None else campaign.ask_again_at
        for node in (*state.greetings, *state.recorded_by, *again):
            if not followed.is_member(node):
                self.fail("kept-of-members", f"{view.name} keeps something of {node}: {followed}")
        for node in again:
            if not followed.is_voter(node):
                self.fail("kept-of-members", f"{view.name} will ask {node} for a vote: {followed}")

    def elected_by(self, view: NodeView, term: Term) -> None:
        """Majorities of its own newest configuration, learners not counted."""
        configuration = self.in_force(view)
        granted = [
            voter for (voter, at), who in self.votes.items() if (at, who) == (term, view.name)
        ]
        few = missing(configuration, granted, ())
        if few:
            self.fail("elected-by-votes", f"{view.name} leads term {term} with votes of {few}")
        memory = view.memory
        known = [configuration] + [
            self.tables.configurations[memory.chain(index) or 0]
            for index in range(max(view.commit, memory.base), memory.last)
        ]
        if not any(each.is_voter(view.name) for each in known):
            self.fail("only-voters-lead", f"{view.name} leads term {term} in {configuration}")

    def held_by_majority(self, index: Index) -> None:
        """Of the voters by whom it was committed."""
        chain = self.committed[index]
        holders = {name for name, view in self.views.items() if view.disk.covers(index, chain)}
        lost = {name for name, view in self.views.items() if view.wiped}
        few = missing(self.committed_by, holders, lost)
        if few:
            self.fail("committed-is-durable", f"entry {index} is synced on {few} only")

    def tail_may_go(self, name: NodeId, found: Recovered) -> bool:
        """This node will come back with so much. May it, by every rule? Then that is its log now.

        It may if majorities of the others hold what goes, which is as if it had never had it.
        """
        view = self.views[name]
        cut = view.disk.cut_to(found)
        if cut is None or cut[1] >= view.disk.last:
            return False
        sound = [v for v in self.views.values() if v is not view and not v.wiped]
        for index in range(cut[1] + 1, view.disk.last + 1):
            chain = view.disk.chain(index) or 0
            holders = [other.name for other in sound if other.disk.covers(index, chain)]
            if any(missing(held, holders, ()) for held in self.configurations_held()):
                return False
        view.disk = cut[0]
        return True

    def marked(self, name: NodeId, meta: SnapshotMeta) -> None:
        """Whoever starts from this snapshot must find the members of that moment."""
        chain = self.tables.at(meta.index, meta.term)
        if chain is not None and self.tables.configurations[chain] != meta.configuration:
            self.fail(
                "snapshot-keeps-members",
                f"{name} marks a snapshot at {meta.index} with {meta.configuration}, the log says "
                f"{self.tables.configurations[chain]}",
            )

    def told_members(self, name: NodeId, configuration: Configuration) -> None:
        """The driver is told who its peers are."""
        if configuration != self.in_force(self.views[name]):
            self.fail("configuration-in-force", f"the links of {name} follow {configuration}")

    def woken(self, name: NodeId, peer: NodeId, leader: NodeId | None) -> None:
        """The driver is to call this peer: a link to it opens."""
        if peer != leader and not self.in_force(self.views[name]).is_member(peer):
            self.fail("members-are-called", f"{name} calls {peer}, which is no member")

    def left(self, name: NodeId) -> None:
        """A node says that it was removed; whoever is a member must never believe that."""
        agreed = self.tables.configurations[self.committed[-1]]
        if name not in agreed.retired:
            self.fail("only-the-removed-leave", f"{name} leaves, committed is {agreed}")
