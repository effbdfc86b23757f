"""One row of the table of settings."""

from __future__ import annotations

from dataclasses import field
from typing import Any, NamedTuple

from raftd.config.kinds import Kind


class Setting(NamedTuple):
    """One row. low, high: inclusive bounds of the value, in seconds, bytes or as a count."""

    name: str
    kind: Kind
    default: Any
    why: str
    group: str
    low: float | None
    high: float | None

    @property
    def env(self) -> str:
        return "RAFTD_" + self.name.upper()

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")


def setting(
    kind: Kind,
    default: Any,
    why: str,
    *,
    low: float | None = None,
    high: float | None = None,
    group: str = "",
) -> Any:
    row = {"kind": kind, "why": why, "low": low, "high": high, "group": group}
    if isinstance(default, dict):
        return field(default_factory=dict, metadata=row)
    return field(default=default, metadata=row)
