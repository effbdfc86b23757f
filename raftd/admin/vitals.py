"""What a node looks like, for threads that must not wait for it.

The network thread leaves its latest picture in `Vitals`; the HTTP thread only reads that. It takes
no lock of the core's, so a node that is stuck can still say so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from raftd.core.types import RaftState
from raftd.node.events import EventReader
from raftd.node.film import FilmReader
from raftd.node.measures import Measures

DEAD_SECONDS = 10.0
"""Silence of the network thread after which /livez fails."""

UNREADY_SECONDS = 2.0
"""Silence of the network thread after which /readyz fails."""


class ReadEvents(Protocol):
    def __call__(self, after: int | None, wake: Callable[[], None]) -> EventReader:
        """As raftd.node.events.EventRing.read."""
        ...


class ReadFilm(Protocol):
    def __call__(self, after: int | None, wake: Callable[[], None]) -> FilmReader:
        """As raftd.node.film.Film.read."""
        ...


@dataclass(slots=True)
class Vitals:
    """The node's latest picture.

    Written by raft-net (`fatal` by any, `stopping`, `read_events` and `read_film` by the main
    thread), read by any.
    """

    now: Callable[[], float]
    beat: float = 0.0
    state: RaftState | None = None
    stopping: bool = False
    fatal: str = ""
    counters: dict[str, int] = field(default_factory=dict)
    measures: Measures | None = None
    ailments: list[str] = field(default_factory=list)
    """Why the node itself says that no client should be sent here."""
    gauges: dict[str, float] = field(default_factory=dict)
    proposals: tuple[int, int] = (0, 0)
    """(pending, failed)"""
    store_bytes: tuple[int, int] | None = None
    """(size, quota); the quota is 0 where there is none. None: of a machine of one's own."""
    disk_free_bytes: int | None = None
    read_events: ReadEvents | None = None
    """Any thread; None until the node has started."""
    read_film: ReadFilm | None = None
    """Any thread; None until the node has started, and where there is no film."""

    def count(self, name: str, amount: int = 1) -> None:
        """Add to a counter. raft-net only."""
        self.counters[name] = self.counters.get(name, 0) + amount

    def silence(self) -> float:
        """Seconds since the network thread last showed itself."""
        return self.now() - self.beat

    def dead(self) -> list[str]:
        """Why this process should be replaced; empty when it should not."""
        reasons = [self.fatal] if self.fatal else []
        if self.silence() > DEAD_SECONDS:
            reasons.append(f"the network thread has been silent for {self.silence():.1f} s")
        return reasons

    def unready(self) -> list[str]:
        """Why no client should be sent here now; empty when they may come."""
        reasons = self.dead()
        state = self.state
        if self.stopping:
            reasons.append("stopping")
        if self.silence() > UNREADY_SECONDS:
            reasons.append(f"the network thread has been silent for {self.silence():.1f} s")
        if state is None:
            reasons.append("starting")
        elif not state.admitted:
            others = ", ".join(state.waiting_for) or "the cluster to take it in"
            reasons.append(f"not admitted yet, waiting for {others}")
        elif state.leader is None:
            reasons.append("no leader known")
        return [*reasons, *self.ailments]
