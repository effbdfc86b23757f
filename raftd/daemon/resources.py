"""What a process takes of the machine: open files, time for the cyclic collector. Main thread."""

from __future__ import annotations

import gc
import resource

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
