"""Handing leadership over on request, and telling who asked how it ended. Network thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from raftd.core.core import RaftCore
from raftd.core.effects import NotLeader, Unavailable
from raftd.node.clients import answer
from raftd.node.errors import NodeStopped
from raftd.node.outcomes import Applied, Outcome, Refusal, Refused

if TYPE_CHECKING:
    from raftd.node.replica import Replica

Done = Callable[[Outcome], None]


class HandOver:
    def __init__(self, replica: Replica, core: RaftCore, give_up_seconds: float) -> None:
        self._replica = replica
        self._core = core
        self._give_up_seconds = give_up_seconds
        self._waiting: list[Done] = []

    def transfer(self, target: str | None, done: Done) -> None:
        """Hand leadership over; Applied(commit, term, new leader's id) when it is known here."""
        core = self._core
        try:
            self._replica.enter(lambda now: core.transfer(target, now))
        except NotLeader as error:
            done(Refused(Refusal.NOT_LEADER, error.reason, error.leader))
        except (Unavailable, NodeStopped) as error:
            done(Refused(Refusal.UNAVAILABLE, str(error)))
        else:
            self._waiting.append(done)
            self._replica.later(self._give_up_seconds, lambda: self._give_up(done))

    def leader_changed(self) -> None:
        """This node follows somebody: if a transfer was on its way, it has ended."""
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        state = self._replica.state()
        answer(waiting, Applied(state.commit_index, state.term, (state.leader or "").encode()))

    def _give_up(self, done: Done) -> None:
        if done in self._waiting:
            self._waiting.remove(done)
            message = "the transfer did not end in time; this node may still lead"
            done(Refused(Refusal.UNAVAILABLE, message))

    def stop(self, why: str) -> None:
        waiting, self._waiting = self._waiting, []
        answer(waiting, Refused(Refusal.UNAVAILABLE, why))
