"""A node's log and snapshot as its disk left them."""

from __future__ import annotations

from raftd.core import membership
from raftd.core.effects import BrokenInvariant
from raftd.core.log import RaftLog
from raftd.core.state import Rng, State
from raftd.core.types import Configuration, Identity, Recovered, Settings, SnapshotMeta


def log_of(recovered: Recovered, snapshot: SnapshotMeta) -> RaftLog:
    """The log in memory: what follows the snapshot, and a tail before it if it was kept."""
    if not recovered.entries:
        return RaftLog(snapshot.index, snapshot.term, ())
    first = recovered.entries[0].index
    if first > snapshot.index + 1:
        raise BrokenInvariant(
            f"the snapshot ends at {snapshot.index}, the log starts at {first}: entries are missing"
        )
    covered = snapshot.index + 1 - first
    if covered >= len(recovered.entries):
        last = recovered.entries[-1]
        if last.index != snapshot.index or last.term != snapshot.term:
            return RaftLog(snapshot.index, snapshot.term, ())
    if first == snapshot.index + 1:
        return RaftLog(snapshot.index, snapshot.term, recovered.entries)
    # A tail before the snapshot: its first entry only serves as the position before the rest.
    boundary = recovered.entries[0]
    return RaftLog(boundary.index, boundary.term, recovered.entries[1:])


def state_of(
    identity: Identity,
    settings: Settings,
    configuration: Configuration,
    recovered: Recovered,
    rng: Rng,
) -> State:
    """Raises BrokenInvariant if `recovered` contradicts itself."""
    snapshot = recovered.snapshot or SnapshotMeta(0, 0, configuration)
    log = log_of(recovered, snapshot)
    # The disk drops whole segments only: keep of what it holds what a running node would.
    log.compact(log.tail_start(snapshot.index, settings.keep_entries, settings.keep_bytes))
    term = max(recovered.hard_state.term, log.last_term)
    if term != recovered.hard_state.term and log.last_term > 0:
        raise BrokenInvariant(
            f"the log ends in term {log.last_term}, "
            f"the disk remembers term {recovered.hard_state.term}"
        )
    configurations = membership.with_appended(
        [(snapshot.index, snapshot.configuration)],
        log.between(snapshot.index + 1, log.last_index),
    )
    records = dict(recovered.records)
    return State(
        identity=identity,
        settings=settings,
        rng=rng,
        current_term=term,
        voted_for=recovered.hard_state.vote,
        log=log,
        admitted=recovered.admitted,
        records=records,
        snapshot=snapshot,
        rotten=None,
        marked_snapshot=snapshot,
        durable_records=dict(recovered.records),
        joins=not configuration.voters,
        incarnations=membership.incarnations(records, configurations[-1][1]),
        configurations=configurations,
        commit_index=snapshot.index,
        handed_index=snapshot.index,
        applied_index=0,
    )
