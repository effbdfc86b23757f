"""What a node is doing when a fault strikes it, and how often each of both has met.

leader, follower, candidate   its role (a pre-candidate is a candidate)
not-admitted      it has not been admitted to its cluster, durably
wal-writes        raft-wal is in a write or a sync
wal-queue         writes wait for raft-wal
waits-for-room    raft-wal waits until there is room for a segment
snapshot-written  raft-snapshot writes a snapshot or hashes a state
restoring         raft-snapshot restores a snapshot into the machine
receiving         a part of a leader's snapshot is here
sending           a snapshot is on its way to a follower
transfer          it hands leadership over
stopping          an orderly stop is under way
held              the network thread waits for a write, or works off what came meanwhile

And the lasting faults that it is under: full, hung-sync, hung-machine, no-files, pause, cut-off,
chunks-lost, handover-lost; and rotten: bits of one of its snapshots have changed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from raftd.core.types import Role, SnapshotMeta
from tests.sim.process import Process
from tests.sim.rare_plan import FAULTS, LASTING, STATES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.sim.cluster import Cluster
    from tests.sim.node import Node

OLD_FAULTS = ("clock-jump", "link-lost", "wipe")
"""Of faults.py, beside those that have their names here, too."""
UNDER = (*LASTING, "rotten")
ROWS = (*FAULTS, *OLD_FAULTS)
COLUMNS = (*STATES, *UNDER)

IMPOSSIBLE = frozenset(
    {
        ("transfer", "follower"),
        ("transfer", "candidate"),
        ("transfer", "not-admitted"),
        ("transfer", "stopping"),
        ("transfer", "pause"),
        ("stop", "stopping"),
        ("stop", "pause"),
        ("pause", "pause"),
        ("snapshot", "pause"),
        ("snapshot", "stopping"),
        ("link-lost", "stopping"),
        ("link-lost", "pause"),
        ("link-lost", "leader"),
        ("link-lost", "candidate"),
        ("link-lost", "not-admitted"),
        ("link-lost", "transfer"),
        ("link-lost", "sending"),
        ("wipe", "not-admitted"),
        ("rot", "not-admitted"),
    }
)
"""Not asked for: a stopped or paused process hears nothing; only a leader hands over; disks are
lost and rot only when all are admitted, or the cluster could not form."""


def states_of(node: Node, cluster: Cluster) -> list[str]:
    """Of a node whose process lives."""
    process = node.process
    if process is None:
        return []
    found = [_role(process)]
    found += [name for name, holds in _DOING.items() if holds(process)]
    found += under(node, cluster)
    return found


def note(cluster: Cluster, fault: str, node: Node) -> None:
    """Count what a fault is about to meet on this node."""
    if node.process is not None:
        count(cluster, fault, states_of(node, cluster))


def count(cluster: Cluster, fault: str, met: list[str]) -> None:
    for state in met:
        cluster.world.stats[f"{fault} x {state}"] += 1


def is_in(node: Node, state: str) -> bool:
    """One of STATES, of a node whose process lives."""
    process = node.process
    if process is None:
        return False
    doing = _DOING.get(state)
    return doing(process) if doing is not None else _role(process) == state


def _role(process: Process) -> str:
    role = process.core.role
    return role.value if role in (Role.LEADER, Role.FOLLOWER) else "candidate"


def sent_by(node: Node) -> list[SnapshotMeta]:
    """The snapshots that are on their way from this node to followers."""
    process = node.process
    lead = process.core._s.leadership if process is not None else None
    progress = lead.progress.values() if lead is not None else ()
    return [one.sending.meta for one in progress if one.sending is not None]


def _sends(process: Process) -> bool:
    return bool(sent_by(process.node))


def _hands_over(process: Process) -> bool:
    lead = process.core._s.leadership
    return lead is not None and lead.transfer is not None


def _receives(process: Process) -> bool:
    incoming = process.stores.snapshots._incoming
    return incoming is not None and not incoming[1].finished


_DOING: dict[str, Callable[[Process], bool]] = {
    "not-admitted": lambda p: not p.core._s.may_vote,
    "wal-writes": lambda p: p.wal.writes,
    "wal-queue": lambda p: bool(p.raftd._wal._writes),
    "waits-for-room": lambda p: p.wal.waits_for_room,
    "snapshot-written": lambda p: p.snapshot_thread.at_work and not p.machine.away,
    "restoring": lambda p: p.machine.away,
    "receiving": _receives,
    "sending": _sends,
    "transfer": _hands_over,
    "stopping": lambda p: p.stop_under_way is not None,
    "held": lambda p: p.net_is_busy,
}


def under(node: Node, cluster: Cluster) -> list[str]:
    """The lasting faults that a node is under."""
    disk, process, network = node.disk, node.process, cluster.network
    now = cluster.world.now
    found = []
    if disk.full:
        found.append("full")
    if disk.hung:
        found.append("hung-sync")
    if process is not None and now < process.machine.hangs_until:
        found.append("hung-machine")
    if disk.no_files:
        found.append("no-files")
    if node.paused:
        found.append("pause")
    if network.is_cut_off(node.name):
        found.append("cut-off")
    found += [name for name in ("chunks-lost", "handover-lost") if name in network.losing]
    if node.rotten:
        found.append("rotten")
    return found


def table(stats: Mapping[str, int]) -> str:
    """Faults down, states across: how often they met; and which never did."""
    first = max(map(len, ROWS))
    lines = []
    for group in (STATES[:7], STATES[7:], UNDER):
        lines.append(" " * first + "".join(f"  {name:>6}" for name in group))
        for fault in ROWS:
            cells = [f"  {_cell(stats, fault, name):>{max(6, len(name))}}" for name in group]
            lines.append(f"{fault:{first}}" + "".join(cells))
        lines.append("")
    never = [
        f"{fault} x {state}"
        for fault in ROWS
        for state in COLUMNS
        if _cell(stats, fault, state) == "0"
    ]
    lines.append(f"never met ({len(never)}): {', '.join(never) or 'none'}")
    return "\n".join(lines)


def _cell(stats: Mapping[str, int], fault: str, state: str) -> str:
    count = stats.get(f"{fault} x {state}", 0)
    return "-" if not count and (fault, state) in IMPOSSIBLE else str(count)
