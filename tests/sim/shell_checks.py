"""What a driver owes to core and callers: order, no promise before its time, one answer."""

from __future__ import annotations

from collections.abc import Sequence

from raftd.core.types import Index, NodeId, Write, WriteSeq
from raftd.storage.wal import Wal
from raftd.wire.batch import NOTE
from tests.sim.promises import Promises

RELEASE_SECONDS_MAX = 1.5
"""How long a full disk may wait for what may go: a little more than between two tries."""

LOG_OVERSHOOT_BYTES = 24_000
"""What may be let in at once when the limit is not reached yet: a turn's batches, an append."""


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

    def gives_up(self, name: NodeId, writes: Sequence[Write]) -> None:
        """An orderly stop found no room for these: nothing after them may be written, ever."""
        self.views[name].given_up = writes[0].seq

    def nothing_after_a_gap(self, name: NodeId, writes: Sequence[Write]) -> None:
        given_up = self.views[name].given_up
        if given_up and writes[0].seq > given_up:
            self.fail("no-gap", f"{name} writes #{writes[0].seq}, and has given #{given_up} up")

    def asks_release(self, name: NodeId, index: Index) -> None:
        self.views[name].released.append((self._world.now, index))

    def waits_for_room(self, name: NodeId, log: Wal) -> None:
        """A full disk is relieved by the segments that may go: there are none, or they go soon."""
        view = self.views[name]
        snapshot, long_ago = view.disk.snapshot, self._world.now - RELEASE_SECONDS_MAX
        released = max((index for at, index in view.released if at < long_ago), default=0)
        limit = min(released, snapshot.index if snapshot else 0)
        if limit and log._closed and log._closed[0].high <= limit:
            self.fail(
                "released-segments-go",
                f"{name} waits for room, and keeps segment {log._closed[0].number}, which ends at "
                f"{log._closed[0].high}; released: {released}, durable snapshot: {snapshot}",
            )

    def log_bounded(self, name: NodeId, log_bytes: int, limit: int) -> None:
        """Entries live in memory until a snapshot covers them: on every node, whatever it cannot
        do.
        """
        if log_bytes > limit + LOG_OVERSHOOT_BYTES:
            self.fail("log-bounded", f"{name} holds {log_bytes} bytes of log, limit {limit}")

    def network_waits(self, name: NodeId, seconds: float) -> None:
        """Heartbeats go on, whatever the disk does."""
        if seconds > self._settings.heartbeat_interval:
            self.fail("heartbeats-go-on", f"{name} waits {seconds:.2f} s for a disk that hangs")

    # the machine

    def one_owner(self, name: NodeId, what: str, *, away: bool) -> None:
        if away:
            self.fail("one-owner", f"{name} {what} while a snapshot is restored into the machine")

    # time

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
