"""The leases of the store, as they are replicated: how long each was granted, which keys it has.

Nothing here knows the time: that is the leader's alone (lessor.py). Machine's thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import NamedTuple

from raftd.machine.pieces import Effort, Pieces, in_order, some_of
from raftd.machine.protocol import MachineError
from raftd.wire import refusals
from raftd.wire.leases import LEASES_MAX


class FrozenLeases(NamedTuple):
    """The leases as they were, without their keys: the keys' records name them. Any thread."""

    granted_s: dict[int, int]
    serials: dict[int, int]
    grants: int


class Leases:
    """By lease: seconds granted, its number among all grants, and the keys that go with it."""

    def __init__(self) -> None:
        self.granted_s: dict[int, int] = {}
        self.serials: dict[int, int] = {}
        self.grants = 0
        """How many there ever were."""
        self._keys: dict[int, dict[bytes, None]] = {}
        """In the order in which they came."""
        self._came: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self.granted_s)

    def grant(self, lease: int, ttl_s: int) -> None:
        """Raises MachineError if there is such a lease, or no room for one more."""
        if lease in self.granted_s:
            raise MachineError(f"{refusals.LEASE_EXISTS}; lease {lease}")
        if len(self.granted_s) >= LEASES_MAX:
            raise MachineError(f"{refusals.TOO_MANY_LEASES}; the limit is {LEASES_MAX}")
        self.grants += 1
        self.granted_s[lease], self.serials[lease] = ttl_s, self.grants

    def check(self, lease: int) -> None:
        """Raises MachineError if there is no such lease."""
        if lease not in self.granted_s:
            raise MachineError(f"{refusals.LEASE_NOT_FOUND}; lease {lease}")

    def forget(self, lease: int) -> None:
        """After its keys are gone."""
        del self.granted_s[lease], self.serials[lease]
        self._keys.pop(lease, None)
        self._came.pop(lease, None)

    def keys(self, lease: int) -> list[bytes]:
        """What is attached, in byte order."""
        return sorted(self._keys.get(lease, ()))

    def keys_in_order(self, leases: Iterable[int], effort: Effort) -> Pieces[list[bytes]]:
        """What is attached to any of them, in byte order; in pieces."""
        attached = (self._keys.get(lease, ()) for lease in leases)
        came = list(dict.fromkeys(chain.from_iterable(attached)))
        keys: list[bytes] = []
        for some in some_of((yield from in_order(came, effort))):
            keys += some
            if effort.took(len(some)):
                yield
        return keys

    def came(self, lease: int) -> int:
        """How many keys were attached so far, since the start or a restore."""
        return self._came.get(lease, 0)

    def newest(self, lease: int, most: int | None) -> Iterator[bytes]:
        """Of its keys, the `most` that came last, or all. Not to be used across a change."""
        return islice(reversed(self._keys.get(lease, {})), most)

    def attach(self, lease: int, key: bytes) -> None:
        keys = self._keys.setdefault(lease, {})
        if key not in keys:
            keys[key] = None
            self._came[lease] = self._came.get(lease, 0) + 1

    def detach(self, key: bytes, lease: int) -> None:
        if keys := self._keys.get(lease):
            keys.pop(key, None)

    def let_go(self, leases: Iterable[int]) -> None:
        """Of their keys, which are about to be deleted: to detach each of them would take long."""
        for lease in leases:
            self._keys.pop(lease, None)

    def capture(self) -> FrozenLeases:
        return FrozenLeases(self.granted_s.copy(), self.serials.copy(), self.grants)

    def clear(self) -> None:
        self.granted_s, self.serials, self.grants = {}, {}, 0
        self._keys, self._came = {}, {}
