"""What a driver owes to core and callers: order, no promise before its time, one answer."""

from __future__ import annotations

from collections.abc import Sequence

from raftd.core.types import Index, NodeId, Write, WriteSeq
from raftd.wire.batch import NOTE
from tests.sim.promises import Promises


class ShellChecks(Promises):
    # the log's queue

    def in_order(self, name: NodeId, writes: Sequence[Write]) -> None:
        """`writes` are written together: they must be what was asked for first, and no others."""
        view = self.views[name]
        if len(writes) > len(view.pending) or any(
            write is not asked for write, asked in zip(writes, view.pending, strict=False)
        ):
            got = [write.seq for write in writes]
            asked_for = [write.seq for write in view.pending[: len(writes)]]
            self.fail("queue-order", f"{view.name} writes {got}, asked for {asked_for} next")

    def told_persisted(self, name: NodeId, seq: WriteSeq) -> None:
        synced = self.views[name].synced_seq
        if seq > synced:
            self.fail(
                "persisted-is-synced", f"{name} is told that #{seq} is durable, synced: #{synced}"
            )

    # answers

    def answered(self, name: NodeId, payload: bytes, index: Index, results: bytes) -> None:
        """A caller hears that its batch was applied as entry `index`, with these results."""
        if self.payloads.get(index, b"")[NOTE.size :] != payload:
            self.fail("answers", f"{name} answers at {index}: another caller's entry is there")
        if self.results[index] != results:
            self.fail("answers", f"{name} answers {results!r} at {index}, {self.results[index]!r}")

    def answered_read(self, name: NodeId, index: Index, floor: Index) -> None:
        if index < floor:
            self.fail(
                "read-index",
                f"{name} answers a read from {index}; {floor} was committed when it arrived",
            )

    def digest(self, name: NodeId, index: Index, value: bytes) -> None:
        known = self.digests.setdefault(index, value)
        if known != value:
            self.fail("state-machine-safety", f"{name} has another state at {index} than another")
