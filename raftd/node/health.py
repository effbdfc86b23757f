"""What is wrong with a node, in sentences, worst first. Empty when it is healthy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from raftd.core.types import RaftState, Role
from raftd.wire.refusals import HAS_NOT_ANSWERED, REFUSED_BY

APPLY_LAG_MAX = 10_000
"""Entries committed and not applied before it is called a problem."""

PEER_SILENT_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Ailment:
    """Something that is wrong with this node, in one sentence.

    unready: clients had better go to another node. unfit: this node should not lead.
    """

    text: str
    unready: bool = False
    unfit: bool = False


@dataclass(frozen=True, slots=True)
class Signs:
    """A node's own figures at one moment, beside its RaftState.

    proposals_failed: of those taken since the start, refused later or of unknown outcome. unready:
    why no client should be sent here. machine_busy_seconds: for how long the machine has been in
    one call. queues: how much waits where.
    """

    proposals_pending: int
    proposals_failed: int
    unready: list[str]
    machine_busy_seconds: float
    disk_trouble: bool
    disk_free_bytes: int | None
    peer_messages_refused: int
    queues: dict[str, int] = field(default_factory=dict)


def _not_admitted(state: RaftState) -> str:
    if state.waiting_for:
        others = ", ".join(state.waiting_for)
        return f"not admitted: {others} must first record this node's incarnation; start them"
    if state.configuration.is_member(state.node):
        return "joining: the log is on its way here"
    return f"no member yet: `raftctl member add {state.node} --peer HOST:PORT` takes this node in"


def problems(state: RaftState, stopped: str) -> Sequence[str]:
    found = []
    if stopped:
        found.append(f"stopped: {stopped}")
    found += [f"{REFUSED_BY} {peer}: {why}" for peer, why in state.refused_by]
    if not state.admitted and not state.refused_by:
        found.append(_not_admitted(state))
    if state.leader is None:
        found.append(f"no leader known in term {state.term} (role {state.role.value})")
    if state.commit_index - state.applied_index > APPLY_LAG_MAX:
        lag = state.commit_index - state.applied_index
        found.append(f"{lag} committed entries are not applied yet: the state machine is behind")
    if state.role is Role.LEADER:
        found.extend(_silent_peers(state))
        found.extend(_ill_peers(state))
    return found


def _ill_peers(state: RaftState) -> list[str]:
    ill = [
        f"{peer.peer} says that it is not fit to lead; ask it why (raftctl status, its /readyz)"
        for peer in state.peers
        if peer.unfit
    ]
    return ill + [
        f"{peer.peer} holds entries back: its log is past its log_memory_limit"
        for peer in state.peers
        if peer.held_back
    ]


def _silent_peers(state: RaftState) -> list[str]:
    return [
        f"{peer.peer} {HAS_NOT_ANSWERED} {peer.contact_age:.1f} s"
        for peer in state.peers
        if peer.contact_age > PEER_SILENT_SECONDS
    ]
