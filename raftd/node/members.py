"""Changes of the cluster's members, asked of a leader. Network thread."""

from __future__ import annotations

from raftd.core.changes import Change
from raftd.core.effects import ChangeRefused, NotLeader, Unavailable
from raftd.node.applying import Applying
from raftd.node.driver import CoreDriver
from raftd.node.outcomes import Applied, Done, NodeStopped, Refusal, Refused


class MemberChanges:
    def __init__(self, driver: CoreDriver, applying: Applying) -> None:
        self._driver = driver
        self._core = driver.core
        self._waiters = applying.waiters

    def ask(self, change: Change, done: Done) -> None:
        """Applied(index, term, b"") once the change is committed, at once if it was so already.

        Refused: nothing was done. Unknown: this leader cannot learn any more how it ends.
        """
        try:
            fx = self._driver.enter(lambda now: self._core.change(change, now))
        except NotLeader as error:
            done(Refused(Refusal.NOT_LEADER, error.reason, error.leader))
        except ChangeRefused as error:
            done(Refused(Refusal.NOT_ALLOWED, str(error)))
        except (Unavailable, NodeStopped) as error:
            done(Refused(Refusal.UNAVAILABLE, str(error)))
        else:
            if not fx.assigned:
                done(Applied(self._core.commit_index, self._core.current_term, b""))
            else:
                index, term = fx.assigned[0]
                self._waiters.add(index, term, 0, done)
