"""What a process takes of the machine: open files, time for the cyclic collector. Main thread."""

from __future__ import annotations

import gc
import resource

THAW_ROUNDS = 60
REST_ROUNDS = 24 * THAW_ROUNDS
"""Of `Collections`, from one look at everything to the next."""
GROWN = 1.25

LIMIT_WANTED = 65_536
"""Every client is an open file; the soft limit is often only 1024."""


def raise_limit() -> None:
    """As far as this process may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = LIMIT_WANTED if hard == resource.RLIM_INFINITY else min(hard, LIMIT_WANTED)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def rare_collections() -> None:
    """The cyclic collector looks at young objects as ever, at all of them only when `collect` says.

    A look at everything stops every thread; with 5,000 open streams that took 0.2 s of processor
    time, again and again while their number grew: an election on a busy machine.
    """
    collect()
    gc.set_threshold(5_000, 4, 1_000_000)


def collect(*, thaw: bool = False) -> None:
    """Free the cycles among what was made since the last time; thaw: among everything.

    What is left (the log, open streams) is not looked at again: it seldom becomes garbage that only
    the collector can free.
    """
    if thaw:
        gc.unfreeze()
    gc.collect()
    gc.freeze()


class Collections:
    """When to look at everything: all threads stand still for it, for 30 ms or more.

    Of what is not looked at no more becomes garbage than there was at the last look, unless there
    is more of it since. So a node at rest looks once a day, one that has grown once an hour. To
    count what is there takes 10 ms itself: not every minute.
    """

    def __init__(self) -> None:
        self._rounds = self._left = 0

    def round(self) -> None:
        """Once a minute."""
        self._rounds += 1
        thaw = self._rounds % THAW_ROUNDS == 0 and (
            self._rounds >= REST_ROUNDS or gc.get_freeze_count() > GROWN * self._left
        )
        collect(thaw=thaw)
        if thaw:
            self._rounds, self._left = 0, gc.get_freeze_count()
