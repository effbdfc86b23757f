"""Looks that are taken in the same moment: a thread that rests wakes once for all of them.

What looks at something every quarter of a second does not mind when it begins. Each by itself would
wake the network thread four times a second, and to wake costs more than most looks.
"""

from __future__ import annotations

BEAT_SECONDS = 0.25
EARLY_SECONDS = 0.005
"""A timer that fired so long before its beat has had it."""


def until_beat(now: float, seconds: float) -> float:
    """Seconds until the last beat that is no more than `seconds` away; those, if none is.

    now: by the clock of the loop, which all looks share.
    """
    beat = (now + seconds + EARLY_SECONDS) // BEAT_SECONDS * BEAT_SECONDS
    return beat - now if seconds >= BEAT_SECONDS and beat > now + EARLY_SECONDS else seconds


def beat_after(now: float, seconds: float) -> float:
    """Seconds until the first beat that is `seconds` away or more; those, if they are few."""
    beat = -(-(now + seconds - EARLY_SECONDS) // BEAT_SECONDS) * BEAT_SECONDS
    return beat - now if seconds >= BEAT_SECONDS else seconds
