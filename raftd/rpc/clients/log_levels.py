"""The level of this process's own loggers, changed while it runs. Any thread."""

from __future__ import annotations

import logging

OWN = "raftd"
LEVELS = ("debug", "info", "warning", "error")
DEFAULT = "default"
"""What the configuration says."""


def level_of(logger: str) -> str:
    """The one that is in force."""
    return logging.getLevelName(_named(logger).getEffectiveLevel()).lower()


def set_level(logger: str, level: str) -> None:
    """Raises ValueError, one line, for what is none of ours or no level."""
    if level not in (*LEVELS, DEFAULT):
        raise ValueError(f"level {level[:32]!r}: use {', '.join(LEVELS)} or {DEFAULT}")
    _named(logger).setLevel(logging.NOTSET if level == DEFAULT else level.upper())


def _named(logger: str) -> logging.Logger:
    """Made only if it is there: a stranger's names must not stay in memory for ever."""
    if logger == OWN:
        return logging.getLogger(OWN)
    known = logging.getLogger().manager.loggerDict.get(logger)
    if not logger.startswith(f"{OWN}.") or not isinstance(known, logging.Logger):
        raise ValueError(f"logger {logger[:64]!r}: this node has none of that name")
    return known
