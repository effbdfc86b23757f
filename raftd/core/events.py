"""What can happen to a node that is worth a line, and how loud each of it is.

To add one: a member here with its level, and the call that tells it (`State.event` in the core,
`Applying.announce` or `CoreDriver.event` in the node). Names are shown to users: never rename one.
"""

from __future__ import annotations

from enum import Enum, StrEnum


class Level(Enum):
    """How loud an event is."""

    DETAIL = "detail"
    """Of interest to whoever looks for it."""
    NEWS = "news"
    """Part of a node's ordinary life."""
    TROUBLE = "trouble"
    """Something is wrong, here or elsewhere."""


class EventKind(StrEnum):
    """A kind is the string of its name, and knows its level."""

    level: Level

    def __new__(cls, name: str, level: Level) -> EventKind:
        kind = str.__new__(cls, name)
        kind._value_ = name
        kind.level = level
        return kind

    # told by the core
    ROLE = "role", Level.NEWS
    TERM = "term", Level.NEWS
    LEADER = "leader", Level.NEWS
    TRANSFER = "transfer", Level.NEWS
    CONFIGURATION = "configuration", Level.NEWS
    ADMITTED = "admitted", Level.NEWS
    REMOVED = "removed", Level.TROUBLE
    RECORDED = "recorded", Level.DETAIL
    REFUSED = "refused", Level.TROUBLE
    PEER_LOST = "peer_lost", Level.TROUBLE
    PEER_BACK = "peer_back", Level.NEWS
    TRUNCATED = "truncated", Level.TROUBLE
    ENTRIES_LOST = "entries_lost", Level.TROUBLE
    SNAPSHOT_TAKEN = "snapshot_taken", Level.NEWS
    SNAPSHOT_INSTALLED = "snapshot_installed", Level.NEWS
    SNAPSHOT_RESTARTED = "snapshot_restarted", Level.NEWS
    SNAPSHOT_ROTTEN = "snapshot_rotten", Level.TROUBLE
    STATE_DIFFERS = "state_differs", Level.TROUBLE
    STATE_AGREES = "state_agrees", Level.NEWS

    # told by the node round it
    SNAPSHOT_FAILED = "snapshot_failed", Level.TROUBLE
    SNAPSHOT_REFUSED = "snapshot_refused", Level.TROUBLE
    SNAPSHOTS_FAIL = "snapshots_fail", Level.TROUBLE
    SNAPSHOTS_WORK = "snapshots_work", Level.NEWS
    NO_SPACE = "no_space", Level.TROUBLE
    SPACE_AGAIN = "space_again", Level.NEWS
    MACHINE_STALLED = "machine_stalled", Level.TROUBLE
    MACHINE_GOES_ON = "machine_goes_on", Level.NEWS
    SLOW_SYNC = "slow_sync", Level.TROUBLE
    SLOW_APPLY = "slow_apply", Level.TROUBLE
    LATE_HEARTBEAT = "late_heartbeat", Level.TROUBLE
    IMPOSSIBLE_MESSAGE = "impossible_message", Level.TROUBLE
