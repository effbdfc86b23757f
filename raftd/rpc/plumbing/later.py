"""Modules that a start goes without: they are loaded a little later, or when somebody needs them.

The daemon calls `load_all` some seconds after its start. The story without it: somebody installs a
newer version over a node that runs, and days later its first caller by HTTP gets an ImportError.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Generic, TypeVar

LOG = logging.getLogger(__name__)

Made = TypeVar("Made")


class NotLoaded(Exception):
    """What was asked for needs a module that cannot be loaded. One line."""


class Later(Generic[Made]):
    """What `load` returns, which imports something.

    It is called on another thread than the network's: to import is tens of milliseconds of work,
    and heartbeats do not wait for it. Twice at most, when two ask at the same time; the second
    finds all loaded.
    """

    def __init__(self, what: str, load: Callable[[], Made]) -> None:
        """what: for whoever reads that it cannot be loaded, as in "the gateway"."""
        self._what = what
        self._load = load
        self._made: Made | None = None
        self._told = False
        _ALL.append(self)

    async def get(self) -> Made:
        """Network thread. Raises NotLoaded."""
        return await asyncio.to_thread(self.load) if self._made is None else self._made

    def load(self) -> Made:
        """Any thread but the network's. Raises NotLoaded, and says so in the log once."""
        if self._made is None:
            try:
                self._made = self._load()
            except Exception as error:  # of whatever an import runs: files of two versions, say
                line = " ".join(f"{type(error).__name__}: {error}".split())
                text = (
                    f"{self._what} cannot be loaded ({line}): if raftd or one of its packages was "
                    "installed anew under this node, restart it"
                )
                if not self._told:
                    self._told = True
                    LOG.error("%s", text)
                raise NotLoaded(text) from error
        return self._made


_ALL: list[Later[Any]] = []


def load_all() -> None:
    """Load whatever is not loaded yet, so that no change of files under this process matters.

    Any thread but the network's. What cannot be loaded is logged; nothing is raised.
    """
    for each in _ALL:
        try:
            each.load()
        except NotLoaded:
            continue
