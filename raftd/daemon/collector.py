"""When Python's cyclic garbage collector looks at what. Main thread."""

from __future__ import annotations

import gc


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
