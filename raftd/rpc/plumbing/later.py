"""Modules that a start goes without: they are loaded when somebody asks for what they do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

Made = TypeVar("Made")


class Later(Generic[Made]):
    """What `load` returns, which imports something. Network thread.

    It is called on another thread: to import is tens of milliseconds of work, and heartbeats do
    not wait for it. Twice at most, when two ask at the same time; the second finds all loaded.
    """

    def __init__(self, load: Callable[[], Made]) -> None:
        self._load = load
        self._made: Made | None = None

    async def get(self) -> Made:
        """Raises what the import raises."""
        if self._made is None:
            self._made = await asyncio.to_thread(self._load)
        return self._made
