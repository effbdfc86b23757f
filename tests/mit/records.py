"""What runs came to: their figures, each against its limit."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Figure:
    name: str
    value: float
    limit: float


@dataclass(slots=True)
class Run:
    """What one scenario on one seed came to."""

    seed: int
    events: int = 0
    seconds: float = 0.0
    figures: list[Figure] = field(default_factory=list)


RUNS: list[Run] = []
"""Appended to by every Lab that is left; the campaign takes them from here."""
