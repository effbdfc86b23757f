"""A log line for each thing that takes too long: at once, and then one a minute while it lasts.

The story without it: a disk needed 400 ms for one write in fifty, the average stayed low, and
nothing said so until elections did.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from raftd.core.events import EventKind
from raftd.node.driver import CoreDriver
from raftd.node.measures import Measures
from raftd.node.tally import Taken, Tally

AGAIN_SECONDS = 60.0
"""From one line to the next of its kind; what comes between is counted, and told in the next."""

NEVER = float("-inf")


@dataclass(slots=True)
class Sign:
    tally: Tally
    kind: EventKind
    what: Callable[[Taken], str]
    told: float = NEVER


class SlowSigns:
    """Network thread only."""

    def __init__(self, driver: CoreDriver, measures: Measures) -> None:
        self._driver = driver
        self._signs = (
            Sign(measures.slow_syncs, EventKind.SLOW_SYNC, _sync),
            Sign(measures.slow_applies, EventKind.SLOW_APPLY, _apply),
            Sign(measures.late_heartbeats, EventKind.LATE_HEARTBEAT, _heartbeat),
        )

    def look(self, now: float) -> None:
        """Tell what is due. `now`: seconds, monotonic."""
        for sign in self._signs:
            if now - sign.told < AGAIN_SECONDS:
                continue
            taken = sign.tally.take()
            if taken.count:
                repeated = now - sign.told < 2 * AGAIN_SECONDS
                sign.told = now
                limit_ms = sign.tally.limit_seconds * 1e3
                text = f"{sign.what(taken)} (limit {limit_ms:.0f} ms){_more(taken, repeated)}"
                self._driver.tell([self._driver.event(sign.kind, text)])


def _more(taken: Taken, repeated: bool) -> str:
    """The one that the line is about is the longest; the others are its like."""
    if taken.count == 1:
        return ""
    since = " since the last such line" if repeated else ""
    return f"; {taken.count - 1} more{since}, none longer"


def _ms(taken: Taken) -> str:
    return f"{taken.longest_seconds * 1e3:.0f} ms"


def _sync(taken: Taken) -> str:
    return f"a write to the log and its sync took {_ms(taken)}"


def _apply(taken: Taken) -> str:
    return f"the state machine took {_ms(taken)} for {taken.about}"


def _heartbeat(taken: Taken) -> str:
    return (
        f"nothing was heard of leader {taken.about} for {_ms(taken)}: it, the network or this "
        "machine is slow"
    )
