"""A client's settings, checked once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from random import Random
from typing import Any, TypedDict

from raftd.client.errors import Invalid
from raftd.client.routing import parse_endpoints

Clock = Callable[[], float]
TIMEOUT_MAX = threading.TIMEOUT_MAX
"""Seconds that a lock can wait."""


class Options(TypedDict, total=False):
    """What `Client` and `AsyncClient` take by keyword; `Settings` has the defaults."""

    timeout: float
    attempt_timeout: float
    connect_timeout: float
    queue_commands_max: int
    queue_bytes_max: int
    clock: Clock
    random: Random


@dataclass(frozen=True, slots=True)
class Settings:
    """All times in seconds.

    timeout: for calls that name none. attempt_timeout: without an answer for so long, another node
    is tried (the retry is exactly-once). connect_timeout: for one connection. queue_*: what may
    wait in the client before callers are held back. clock: monotonic, any thread. random: for
    back-off and the first endpoint; None: seeded by the system.
    """

    endpoints: tuple[str, ...]
    timeout: float = 5.0
    attempt_timeout: float = 1.0
    connect_timeout: float = 0.5
    queue_commands_max: int = 65_536
    queue_bytes_max: int = 64 << 20
    clock: Clock = time.monotonic
    random: Random | None = None


def checked_settings(endpoints: str | Sequence[str], options: Options) -> Settings:
    """Raises Invalid, naming the setting and what it may be; TypeError for one that is unknown."""
    settings = Settings(tuple(parse_endpoints(endpoints)), **options)
    for field in fields(Settings):
        value: Any = getattr(settings, field.name)
        if field.name in ("endpoints", "clock", "random"):
            continue
        if not isinstance(value, int | float) or not 0 < value <= TIMEOUT_MAX:
            text = f"expected a number above 0, {TIMEOUT_MAX:.0f} at most"
            raise Invalid(f"{field.name} {value!r}: {text}")
    return settings
