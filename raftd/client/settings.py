"""A client's settings, checked once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from raftd.client.errors import Invalid
from raftd.client.routing import parse_endpoints

Clock = Callable[[], float]
TIMEOUT_MAX = threading.TIMEOUT_MAX
"""Seconds that a lock can wait."""


@dataclass(frozen=True, slots=True)
class Settings:
    """All times in seconds. clock: monotonic, any thread. random: for back-off and the first
    endpoint.
    """

    endpoints: tuple[str, ...]
    clock: Clock
    random: Random
    timeout: float
    attempt_timeout: float
    connect_timeout: float
    queue_commands_max: int
    queue_bytes_max: int


def checked_settings(
    endpoints: str | Sequence[str],
    clock: Clock,
    random: Random | None,
    *,
    timeout: float,
    attempt_timeout: float,
    connect_timeout: float,
    queue_commands_max: int,
    queue_bytes_max: int,
) -> Settings:
    """Raises Invalid, naming the setting and what it may be."""
    numbers: dict[str, Any] = {
        "timeout": timeout,
        "attempt_timeout": attempt_timeout,
        "connect_timeout": connect_timeout,
        "queue_commands_max": queue_commands_max,
        "queue_bytes_max": queue_bytes_max,
    }
    for name, number in numbers.items():
        if not isinstance(number, int | float) or not 0 < number <= TIMEOUT_MAX:
            raise Invalid(
                f"{name} {number!r}: expected a number above 0, {TIMEOUT_MAX:.0f} at most"
            )
    return Settings(
        tuple(parse_endpoints(endpoints)),
        clock,
        random or Random(),
        timeout,
        attempt_timeout,
        connect_timeout,
        queue_commands_max,
        queue_bytes_max,
    )
