"""Events that say again what was said before: told once, then seldom, and counted meanwhile."""

from __future__ import annotations

from raftd.core.effects import Event
from raftd.core.events import EventKind
from raftd.core.types import Role

REPEAT_SECONDS = 60.0
"""The same event is told again after this long, with the number of those in between."""

KINDS_MAX = 256
"""Different events remembered; beyond it all are forgotten, and told once more."""


class Repeats:
    """Not thread-safe: one owner.

    The story without it: a node that cannot reach its peers campaigns three times a second, for
    hours. Its log grew by 40 MB a day, and whatever had happened before was pushed out of the ring.
    """

    def __init__(self) -> None:
        self._told: dict[tuple[object, ...], tuple[float, int]] = {}

    def news(self, now: float, event: Event) -> int | None:
        """None: not now. Else tell it, and the returned number of its like that were not told.

        Events are alike whatever their term: a candidate that fails begins a new one each time.
        A role is alike whatever it was before: "follower -> pre-candidate" is told, and the
        "pre-candidate -> pre-candidate" that follows says nothing new.
        A known leader ends the memory, since what comes after it is another story.
        """
        led = event.leader is not None or event.role is Role.LEADER
        if led and event.kind in (EventKind.ROLE, EventKind.LEADER):
            self._told.clear()
        detail = event.detail
        if event.kind is EventKind.ROLE:
            detail = detail.split(" -> ", 1)[-1]
        key = (event.kind, event.role, event.leader, event.peer, detail)
        at, untold = self._told.get(key, (None, 0))
        if at is not None and now - at < REPEAT_SECONDS:
            self._told[key] = (at, untold + 1)
            return None
        if len(self._told) >= KINDS_MAX:
            self._told.clear()
        self._told[key] = (now, 0)
        return untold
