"""What a query comes to, whether or not it comes in pieces."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

from raftd.machine.pieces import at_once

T = TypeVar("T", bytes, tuple[int, bytes])


def answered(result: T | Generator[None, None, T]) -> T:
    if isinstance(result, bytes | tuple):
        return result
    return at_once(result)
