"""Who has the machine now: nobody, the thread that applies, or the one that restores a snapshot.

A machine has one owner at any time. The rule is kept by who holds a reference, not by a look at
each call: the applying side takes the machine for a slice and gives it back, or lends it for a
restore, and without it has nothing that it could call. So the check costs one attempt at a lock per
slice, whatever the slice holds.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import BinaryIO, NoReturn, cast

from raftd.core.effects import BrokenInvariant
from raftd.node.ports import MachineHost

RULE = "a machine has one owner at any time"

NOBODY = "nobody"
APPLYING = "a slice of applying"
LENT_OUT = "a restore that has not begun"
RESTORING = "a restore"


def _broken(who: str, holder: str) -> BrokenInvariant:
    return BrokenInvariant(f"{RULE}: {who} wants it, {holder} has it")


class _NotOurs:
    """In the machine's place with those who do not own it."""

    def __getattr__(self, name: str) -> NoReturn:
        raise BrokenInvariant(f"{RULE}: {name} was called by one who does not own it")


NOT_OURS = cast(MachineHost, _NotOurs())


class Ownership:
    """Any thread; what breaks the rule raises BrokenInvariant, which is fatal to the node."""

    def __init__(self, host: MachineHost) -> None:
        self._host = host
        self.quick = host.quick
        self.watches = host.watches
        self._free = threading.Lock()
        self._holder = NOBODY

    def take(self) -> MachineHost:
        """For a slice of applying; ends by `give_back` or `lend`."""
        if not self._free.acquire(blocking=False):
            raise _broken(APPLYING, self._holder)
        self._holder = APPLYING
        return self._host

    def give_back(self) -> None:
        self._pass_on(APPLYING, NOBODY)
        self._free.release()

    def lend(self) -> None:
        """For a restore on another thread: from now on the slice owns nothing."""
        self._pass_on(APPLYING, LENT_OUT)

    def restore(self, sessions: bytes, body: BinaryIO) -> None:
        """MachineHost.restore, for whom the machine was lent to."""
        self._pass_on(LENT_OUT, RESTORING)
        self._host.restore(sessions, body)
        self._pass_on(RESTORING, LENT_OUT)

    def take_back(self) -> None:
        """The restore is over: nobody has the machine."""
        self._pass_on(LENT_OUT, NOBODY)
        self._free.release()

    def digest_of(self, sessions: bytes, chunks: Iterable[bytes]) -> bytes:
        """MachineHost.digest_of; it looks at bytes alone and needs no owner."""
        return self._host.digest_of(sessions, chunks)

    def commands_left(self) -> int:
        """MachineHost.commands_left, which any thread may ask for."""
        return self._host.commands_left()

    def _pass_on(self, holder: str, to: str) -> None:
        if self._holder != holder:
            raise _broken(to if to is not NOBODY else holder, self._holder)
        self._holder = to
