"""Handing leadership over on request, and telling who asked how it ended. Network thread."""

from __future__ import annotations

from raftd.core.effects import NotLeader, Unavailable
from raftd.node.driver import CoreDriver
from raftd.node.outcomes import Applied, Done, NodeStopped, Refusal, Refused, answer


class HandOver:
    def __init__(self, driver: CoreDriver, give_up_seconds: float) -> None:
        self._driver = driver
        self._core = driver.core
        self._give_up_seconds = give_up_seconds
        self._waiting: list[Done] = []
        driver.on_role(self._role_changed)

    def transfer(self, target: str | None, done: Done) -> None:
        """Hand leadership over; Applied(commit, term, new leader's id) when it is known here."""
        core = self._core
        try:
            self._driver.enter(lambda now: core.transfer(target, now))
        except NotLeader as error:
            done(Refused(Refusal.NOT_LEADER, error.reason, error.leader))
        except (Unavailable, NodeStopped) as error:
            done(Refused(Refusal.UNAVAILABLE, str(error)))
        else:
            self._waiting.append(done)
            self._driver.later(self._give_up_seconds, lambda: self._give_up(done))

    def _role_changed(self) -> None:
        """Once this node follows somebody, a transfer that was on its way has ended."""
        if not self._waiting or self._driver.leading or self._core.leader_id is None:
            return
        waiting, self._waiting = self._waiting, []
        state = self._driver.state()
        answer(waiting, Applied(state.commit_index, state.term, (state.leader or "").encode()))

    def _give_up(self, done: Done) -> None:
        if done in self._waiting:
            self._waiting.remove(done)
            message = "the transfer did not end in time; this node may still lead"
            done(Refused(Refusal.UNAVAILABLE, message))

    def stop(self, why: str) -> None:
        waiting, self._waiting = self._waiting, []
        answer(waiting, Refused(Refusal.UNAVAILABLE, why))
