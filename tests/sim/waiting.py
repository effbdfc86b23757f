"""What a core waits for ends: timers that are due are acted on, and a silent leader is given up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raftd.core.types import Role

if TYPE_CHECKING:
    from tests.sim.watched import WatchedCore

SAME_DUE_MAX = 100
"""Ticks in a row for the same moment: whoever is woken has pulled by then."""

SILENT_MAX = 4
"""Ticks in a row past the time at which the leader's silence should have been noticed, and two
heartbeats more: a timer that is late, after a jump of the clock, waits for one, and a Hello that is
due may tick each millisecond meanwhile (seed 1030445)."""


class Waiting:
    """Of one life of a node."""

    def __init__(self) -> None:
        self._due = -1.0
        self._since = 0.0
        self._same = 0
        self._silent = 0
        self._silent_since = 0.0

    def ticks(self, core: WatchedCore, due: float, now: float) -> None:
        """due: what `wake_at` said before this tick."""
        if due != self._due or due >= now:
            self._due, self._same, self._since = due, 0, now
            return
        self._same += 1
        pulling = 2 * core.process.plan.pull_delay * core.process.node.clock.rate
        if self._same > SAME_DUE_MAX and now - self._since > pulling:
            core.process.checkers.fail(
                "timers-end",
                f"{core.process.node.name} was to tick at {due:.3f}, has done so {self._same} "
                f"times, and is to do so still at {now:.3f}",
            )

    def ticked(self, core: WatchedCore, now: float) -> None:
        """After it: a node that hears nothing of its leader does not go by it for ever."""
        state = core._s
        limit = 2 * state.settings.election_timeout_max
        heard = state.leader_contact
        follows = core.role is not Role.LEADER and core.leader_id is not None
        silent = follows and heard is not None and now - heard > limit
        self._silent = self._silent + 1 if silent else 0
        if self._silent == 1:
            self._silent_since = now
        patience = 2 * state.settings.heartbeat_interval
        if self._silent > SILENT_MAX and now - self._silent_since > patience:
            core.process.checkers.fail(
                "silent-leader-ends",
                f"{core.process.node.name} goes by leader {core.leader_id}, of which it has heard "
                f"nothing for {now - (heard or 0.0):.1f} s",
            )
