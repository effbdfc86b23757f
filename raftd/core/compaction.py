"""Forgetting log entries that a durable, marked snapshot covers. Section 7."""

from __future__ import annotations

from raftd.core import leader
from raftd.core.effects import Effects
from raftd.core.state import State


def due(s: State) -> bool:
    """A snapshot is marked, but a transfer in progress pinned the log when it was."""
    return s.compact_after is not None and s.compact_after[0] <= s.durable_seq


def compact(s: State, fx: Effects, now: float) -> None:
    """Compact to the marked snapshot, less a bounded tail, and not past what is being sent.

    The tail is for briefly absent followers. The pin is for one that receives a snapshot: it must
    be able to go on from there, or the transfer starts over for ever.
    """
    assert s.compact_after is not None
    meta = s.compact_after[1]
    to = s.log.tail_start(meta.index, s.settings.keep_entries, s.settings.keep_bytes)
    pin = leader.pinned_index(s, now)
    if pin is None or pin >= to:
        s.compact_after = None
    else:
        to = pin
    if to > s.log.base_index:
        s.log.compact(to)
        fx.released = max(fx.released, to)
    while len(s.configurations) > 1 and s.configurations[1][0] <= s.snapshot.index:
        s.configurations.pop(0)
