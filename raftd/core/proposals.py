"""What a leader is asked by its own side: to append batches, to hand over."""

from __future__ import annotations

from collections.abc import Sequence

from raftd.core import roles
from raftd.core.effects import Effects, NotLeader, Unavailable
from raftd.core.messages import Channel
from raftd.core.state import State, Transfer
from raftd.core.types import Entry, EntryType, NodeId


def propose(s: State, fx: Effects, batches: Sequence[bytes], now: float) -> None:
    """Raises NotLeader or Unavailable before anything is appended."""
    if s.leadership is None:
        raise NotLeader(s.leader_id)
    if s.leadership.transfer is not None:
        raise Unavailable(f"leadership is being handed to {s.leadership.transfer.target}")
    if s.unsynced and now - s.unsynced[0][1] > s.settings.disk_stall_refuse:
        raise Unavailable("the leader's disk has not synced for a while")
    first, term = s.log.last_index + 1, s.current_term
    entries = tuple(
        Entry(first + offset, term, EntryType.BATCH, batch) for offset, batch in enumerate(batches)
    )
    if entries:
        roles.append(s, fx, now, entries)
        fx.assigned = [(entry.index, term) for entry in entries]


def transfer(s: State, fx: Effects, target: NodeId | None, now: float) -> None:
    """Dissertation 3.10. Raises NotLeader, Unavailable."""
    if s.leadership is None:
        raise NotLeader(s.leader_id)
    voters = [p for p in s.leadership.progress.values() if p.peer in s.configuration.voters]
    if target is None and voters:
        target = max(voters, key=lambda p: (not p.unfit, p.match, p.acked_number)).peer
    if target not in [p.peer for p in voters]:
        raise Unavailable(f"cannot hand leadership to {target!r}: not another voter")
    if s.leadership.transfer is not None:
        raise Unavailable(f"leadership is being handed to {s.leadership.transfer.target}")
    s.leadership.transfer = Transfer(target, now + s.settings.election_timeout_max)
    s.event(fx, "transfer", f"handing leadership to {target}", target)
    fx.wake[(target, Channel.CONTROL)] = None
    fx.wake[(target, Channel.APPEND)] = None
