"""What is under way with a peer: reads that wait for their round, a Hello."""

from __future__ import annotations

from dataclasses import dataclass, field

from raftd.core.effects import Token
from raftd.core.messages import ReadIndexRequest
from raftd.core.types import Index


@dataclass(slots=True)
class PendingRead:
    """A read waiting for its round (dissertation 6.4).

    Only requests pulled after `stamp` confirm it.
    """

    token: Token
    stamp: int
    index: Index
    remote: ReadIndexRequest | None = None  # asked for by a follower, else by a client of ours


@dataclass(slots=True)
class ForwardedReads:
    """Reads of a follower's clients on their way to the leader; one request in flight."""

    waiting: list[Token] = field(default_factory=list)
    asked: dict[int, list[Token]] = field(default_factory=dict)


@dataclass(slots=True)
class Greeting:
    """Hello with one peer, since this process started."""

    done: bool = False
    inflight: bool = False
    next_at: float = 0.0
    delay: float = 0.0
    refused: str = ""
