"""The leases of the store, as they are replicated: how long each was granted, which keys it has.

Nothing here knows the time: that is the leader's alone (lessor.py). Machine's thread.
"""

from __future__ import annotations

from raftd.machine.protocol import MachineError
from raftd.wire import refusals
from raftd.wire.leases import LEASES_MAX


class Leases:
    """By lease: seconds granted, and the keys that go with it."""

    def __init__(self) -> None:
        self.granted_s: dict[int, int] = {}
        self._keys: dict[int, set[bytes]] = {}

    def __len__(self) -> int:
        return len(self.granted_s)

    def grant(self, lease: int, ttl_s: int) -> None:
        """Raises MachineError if there is such a lease, or no room for one more."""
        if lease in self.granted_s:
            raise MachineError(f"{refusals.LEASE_EXISTS}; lease {lease}")
        if len(self.granted_s) >= LEASES_MAX:
            raise MachineError(f"{refusals.TOO_MANY_LEASES}; the limit is {LEASES_MAX}")
        self.granted_s[lease] = ttl_s

    def check(self, lease: int) -> None:
        """Raises MachineError if there is no such lease."""
        if lease not in self.granted_s:
            raise MachineError(f"{refusals.LEASE_NOT_FOUND}; lease {lease}")

    def forget(self, lease: int) -> None:
        """After its keys are gone."""
        del self.granted_s[lease]
        self._keys.pop(lease, None)

    def keys(self, lease: int) -> list[bytes]:
        """What is attached, in byte order."""
        return sorted(self._keys.get(lease, ()))

    def attach(self, lease: int, key: bytes) -> None:
        self._keys.setdefault(lease, set()).add(key)

    def detach(self, key: bytes, lease: int) -> None:
        self._keys[lease].discard(key)

    def clear(self) -> None:
        self.granted_s, self._keys = {}, {}
