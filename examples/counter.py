"""A whole state machine of one's own: a counter. Run it with `machine: examples.counter:Counter`.

The session layer round it sees to it that a retried "add" counts once; `raftd.machine.kit` checks
that it behaves the same on every node.
"""

from __future__ import annotations

from typing import BinaryIO

from raftd.machine.protocol import MachineError


class Counter:
    """Command: a decimal number to add. Query: anything; answers the sum."""

    quick = True

    def __init__(self) -> None:
        self.total = 0

    def apply(self, command: bytes) -> bytes:
        if not command.removeprefix(b"-").isdigit() or len(command) > 18:
            raise MachineError(f"not a number of up to 18 digits: {command[:32]!r}")
        self.total += int(command)
        return b"%d" % self.total

    def query(self, request: bytes) -> bytes:
        return b"%d" % self.total

    def capture(self) -> list[bytes]:
        return [b"%d" % self.total]

    def restore(self, reader: BinaryIO) -> None:
        self.total = int(reader.read())
