"""A machine as the one who asks may use it. Machine's thread."""

from __future__ import annotations

from collections.abc import Callable, Generator

from raftd.machine.protocol import KnowsPrincipals, StateMachine


class AsWhom:
    """Machines that know nothing of principals serve everybody alike."""

    def __init__(self, machine: StateMachine) -> None:
        self._machine = machine
        self._guarded = machine if isinstance(machine, KnowsPrincipals) else None

    def applying(self, principal: bytes) -> Callable[[bytes], bytes | Generator[None, None, bytes]]:
        """What applies the commands of one batch of this principal's."""
        if self._guarded is None:
            return self._machine.apply
        return self._guarded.applying(principal)

    def query(self, principal: bytes, request: bytes) -> bytes | Generator[None, None, bytes]:
        """Raises what the machine's query raises."""
        if self._guarded is None:
            return self._machine.query(request)
        return self._guarded.query_as(principal, request)
