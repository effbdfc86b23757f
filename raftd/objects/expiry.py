"""The leader's clock of the locks: whose owner did not renew in time has it no more.

Only the node that leads counts, by its own clock and from the moment at which it first saw a lock
as it is: a new leader so gives every owner its whole time again. What has run out it proposes to
expire, in the term in which it counted. The state knows nothing of time. A process that stood still
counts none of that time: owners could not renew meanwhile.

Machine's thread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from raftd.core.effects import Event
from raftd.core.types import Role
from raftd.machine.protocol import NodeHandle
from raftd.objects import encoding
from raftd.objects.declaring import Asked, declared
from raftd.objects.lock import Lock

LOOK_SECONDS: Final = 0.25
"""How often the leader looks; an end is late by as much at most."""
COUNTED_MAX: Final = 2 * LOOK_SECONDS
"""Of the time between two looks: what is beyond it, nobody could use."""
PROPOSE_AGAIN_SECONDS: Final = 1.0


@dataclass(slots=True)
class Counted:
    """One lock as it was first seen, and for how long it has been so."""

    token: int
    renewals: int
    seconds: float = 0.0
    proposed: float = float("-inf")


class Expiry:
    """Counts while this node leads."""

    def __init__(self, locks: Callable[[], Mapping[str, Lock]]) -> None:
        self._locks = locks
        self._node: NodeHandle | None = None
        self._term = 0
        self._seen: dict[str, Counted] = {}
        self._looked = 0.0
        self._expire: Asked = declared("lock", Lock()).methods["expire"]

    def attach(self, node: NodeHandle) -> None:
        self._node = node

    def on_event(self, event: Event) -> None:
        """Learn from the node's events whether it leads."""
        if event.role is not Role.LEADER:
            self._term = 0
        elif event.term != self._term and self._node is not None and self._locks():
            self._term, term = event.term, event.term
            self._seen.clear()
            self._looked = self._node.now()
            self._node.call_later(LOOK_SECONDS, lambda: self._look(term))

    def _look(self, term: int) -> None:
        """Goes on as long as this node leads in `term`."""
        node = self._node
        if node is None or self._term != term:
            return
        now = node.now()
        passed, self._looked = min(now - self._looked, COUNTED_MAX), now
        for name, lock in self._locks().items():
            seen = self._seen.get(name)
            if seen is None or (seen.token, seen.renewals) != (lock.token, lock.renewals):
                self._seen[name] = Counted(lock.token, lock.renewals)
                continue
            seen.seconds += passed
            ended = bool(lock.owner) and seen.seconds >= lock.ttl_s
            if ended and now - seen.proposed >= PROPOSE_AGAIN_SECONDS:
                seen.proposed = now
                which = (lock.token, lock.renewals)
                node.propose(encoding.encode_call(name, self._expire, None, which, {}), term)
        node.call_later(LOOK_SECONDS, lambda: self._look(term))
