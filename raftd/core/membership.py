"""Who is in the cluster: the configuration in force, and those that the log still holds.

A configuration is in force from the moment it is appended (dissertation 4.1), not when committed;
it is out of force again when its entry is truncated. Whatever changes it goes through
`set_configuration`, and everything that a node keeps for each member follows it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from raftd.core import roles
from raftd.core.configuration_format import decode_configuration
from raftd.core.effects import Effects
from raftd.core.events import EventKind
from raftd.core.messages import Channel
from raftd.core.state import Configurations, Leadership, State
from raftd.core.types import (
    Configuration,
    Entry,
    EntryType,
    Incarnation,
    Index,
    NodeId,
    SnapshotMeta,
)


def set_configuration(s: State, fx: Effects, now: float, configurations: Configurations) -> None:
    """The only place where another configuration comes into force: the last of `configurations`.

    Progress, a transfer, a campaign and greetings follow it at once. `configurations`: ascending,
    each with the index of its entry, or of the snapshot that held it.
    """
    before = s.configuration
    s.configurations = configurations
    s.settled = False
    if s.configuration == before:
        return
    fx.configuration = s.configuration
    s.incarnations = incarnations(s.records, s.configuration)
    gone = set(before.members()) - set(s.configuration.members())
    for peer in gone:
        s.greetings.pop(peer, None)
        s.recorded_by.discard(peer)
    _wake_no_more(s, fx, gone)
    if s.leadership is not None:
        _follow_with_progress(s, fx, s.leadership, gone, now)
    if s.campaign is not None:
        _follow_with_campaign(s, fx, now)
    index = s.configurations[-1][0]
    s.event(fx, EventKind.CONFIGURATION, f"from entry {index} on: {s.configuration}")
    s.wake_all(fx, Channel.CONTROL, Channel.APPEND)


def _wake_no_more(s: State, fx: Effects, gone: set[NodeId]) -> None:
    """One message may bring two configurations, and the first one woke its members. A leader that
    leaves may still be asked for a read index.
    """
    for peer in gone - {s.leader_id}:
        for channel in Channel:
            fx.wake.pop((peer, channel), None)


def _follow_with_progress(
    s: State, fx: Effects, lead: Leadership, gone: set[NodeId], now: float
) -> None:
    """A leader has a Progress for each member but itself, and hands over to voters only."""
    for peer in gone:
        lead.progress.pop(peer, None)
    for peer in s.peers():
        if peer not in lead.progress:
            lead.progress[peer] = progress = roles.new_progress(s, peer, now)
            progress.next = s.log.last_index  # the entry that adds it: it need not wait for another
    target = lead.transfer.target if lead.transfer is not None else None
    if target is not None and not s.configuration.is_voter(target):
        s.event(fx, EventKind.TRANSFER, f"to {target} given up: it is no voter any more", target)
        lead.transfer = None


def _follow_with_campaign(s: State, fx: Effects, now: float) -> None:
    """Only who may campaign does so, and only voters are asked again."""
    assert s.campaign is not None
    if not may_campaign(s):
        roles.become_follower(s, fx, None, now, "it is no voter any more")
        roles.arm_election(s, now)
        return
    for peer in [peer for peer in s.campaign.ask_again_at if not s.configuration.is_voter(peer)]:
        del s.campaign.ask_again_at[peer]


def may_campaign(s: State) -> bool:
    """A voter may. So may one that leaves, until it knows that this is committed (dissertation
    4.2.2): nobody else may hold the entry. It does not count its own vote then.
    """
    if s.removed:
        return False
    if s.configuration.is_voter(s.me):
        return True
    if s.configurations[-1][0] <= s.commit_index or len(s.configurations) < 2:
        return False
    return s.configurations[-2][1].is_voter(s.me)


def incarnations(
    records: Mapping[NodeId, Incarnation], configuration: Configuration
) -> dict[NodeId, Incarnation]:
    """Whom a node takes for whom. What the cluster has agreed on counts before its own records."""
    agreed = {m.node: m.incarnation for m in configuration.about if m.incarnation}
    return {**records, **agreed}


def committed(s: State) -> Configuration:
    """The newest configuration that this node knows to be committed."""
    return configuration_at(s, s.commit_index)


def with_appended(known: Configurations, entries: Sequence[Entry]) -> Configurations:
    """`known`, and the configurations that `entries` hold, which follow it."""
    new = [
        (entry.index, decode_configuration(entry.payload))
        for entry in entries
        if entry.type is EntryType.CONFIGURATION
    ]
    return [*known, *new] if new else known


def note_appended(s: State, fx: Effects, now: float, entries: Sequence[Entry]) -> None:
    """`entries` were appended, and configurations among them are in force."""
    for entry in entries:
        if entry.type is EntryType.CONFIGURATION:
            set_configuration(s, fx, now, with_appended(s.configurations, (entry,)))


def note_truncated(s: State, fx: Effects, now: float, first: Index) -> None:
    """Entries from `first` on are gone, and configurations with them."""
    kept = [item for item in s.configurations if item[0] < first]
    if len(kept) < len(s.configurations):
        set_configuration(s, fx, now, kept or s.configurations[:1])


def replaced_by_snapshot(s: State, fx: Effects, now: float, meta: SnapshotMeta) -> None:
    """The whole log gave way to a snapshot, which holds its own configuration."""
    set_configuration(s, fx, now, [(meta.index, meta.configuration)])


def forget_before(s: State, index: Index) -> None:
    """The log is compacted up to `index`: of the configurations up to there the last one stays."""
    while len(s.configurations) > 1 and s.configurations[1][0] <= index:
        s.configurations.pop(0)


def configuration_at(s: State, index: Index) -> Configuration:
    """The configuration that was in force at `index`; a snapshot at `index` holds this one."""
    found = s.configurations[0][1]
    for at, configuration in s.configurations:
        if at > index:
            break
        found = configuration
    return found
