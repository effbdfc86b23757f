"""The seams of a node: what it needs from disk, machine, network and process, and who calls it
where.

`node` has never heard of files or gRPC. `storage`, `machine` and `rpc` satisfy these protocols, the
simulator brings its own, and `raftd/embed` is where they meet. Every method may raise; an error
that a docstring does not name is fatal to the node.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import BinaryIO, Protocol

from raftd.core.effects import Event
from raftd.core.messages import Channel
from raftd.core.types import (
    Configuration,
    Identity,
    Index,
    NodeId,
    RaftState,
    Recovered,
    SnapshotMeta,
    Term,
    Write,
)


class LogStore(Protocol):
    """The write-ahead log. `open`: before any thread runs; `close`: when raft-wal has ended; the
    rest: raft-wal only.

    Write numbers have no gap, from 1 on: after one that was given up it takes none.
    """

    @property
    def tight(self) -> bool:
        """There was no room for a full segment: only a snapshot lets some go."""
        ...

    @property
    def spent(self) -> bool:
        """What was kept back for a full disk is in use: take nothing new. See `make_room`."""
        ...

    def open(self) -> Recovered:
        """Recover what the disk holds.

        Raises storage.errors.StorageError (one line, names file and offset).
        """
        ...

    def commit(self, writes: Sequence[Write]) -> None:
        """Write all of `writes` (seqs ascending) as one batch and sync it: one write, one
        fdatasync.

        When it returns, all of them are durable. Raises OSError: the caller must stop the process
        and never call again (a second fsync would lie). Raises storage.errors.NoSpace or NoFiles
        if nothing was written because the next segment could not be prepared; the same writes may
        be tried again. Raises BrokenInvariant if a write is missing before them.
        """
        ...

    def make_room(self) -> bool:
        """Keep room back again, if there is enough now. True: nothing is spent."""
        ...

    def idle(self) -> None:
        """Called once after some 10 ms without a write: mark the last batch as synced, unsynced
        itself.
        """
        ...

    def release(self, index: Index) -> None:
        """Entries up to and including `index` are not needed any more: drop whole segments below
        it.
        """
        ...

    def close(self) -> None:
        """Orderly end: mark, sync, close, unlock."""
        ...


class SnapshotSink(Protocol):
    """A snapshot being written or received: nothing has its final name before `commit`."""

    def write(self, data: bytes) -> None: ...

    def commit(self) -> SnapshotMeta:
        """Sync, check, rename, sync the directory. After it the snapshot survives any crash."""
        ...

    def discard(self) -> None:
        """Remove what was written. Harmless after `commit`."""
        ...


class IncomingSnapshot(Protocol):
    """A snapshot that arrives in chunks. raft-bulk thread only."""

    meta: SnapshotMeta
    next_offset: int

    def store(self, offset: int, data: bytes) -> int:
        """Store a chunk that starts at `next_offset` (another offset changes nothing).

        Returns next_offset. Raises storage.errors.CorruptSnapshot: more bytes than announced.
        """
        ...

    def commit(self) -> SnapshotMeta:
        """As SnapshotSink.commit, and the whole is compared with meta's size and CRC first.

        Raises storage.errors.CorruptSnapshot (the partial file is gone then; start over).
        """
        ...

    def discard(self) -> None: ...


class SnapshotStore(Protocol):
    """Snapshot files, used by two threads at a time.

    raft-snapshot: create and its sink, open_body, reread. raft-bulk: receive, read_chunk, retain,
    free_bytes, check_writable.
    """

    def create(
        self, index: Index, term: Term, configuration: Configuration, sessions: bytes
    ) -> SnapshotSink:
        """Begin a snapshot; then `write` the machine's own bytes to the sink."""
        ...

    def receive(self, sender: NodeId, meta: SnapshotMeta) -> IncomingSnapshot:
        """Begin, or resume if the partial file is of the same sender, index, term, size and CRC.

        Room is taken as the bytes come, never because of what is announced. Raises an error with
        `retryable` if it can never fit: nothing was written.
        """
        ...

    def read_chunk(self, meta: SnapshotMeta, offset: int, size_bytes: int) -> bytes:
        """Raises FileNotFoundError if that snapshot is gone."""
        ...

    def reread(
        self, meta: SnapshotMeta, offset: int, size_bytes: int, crc: int
    ) -> tuple[int, int, str]:
        """Read a piece from the device; `crc`: of what comes before it.

        Returns (where the next piece starts, the checksum up to there, what is wrong with the file
        or ""). Raises OSError: it cannot be told now.
        """
        ...

    def open_body(self, meta: SnapshotMeta) -> tuple[bytes, BinaryIO]:
        """(sessions' bytes, a reader of the machine's bytes), the CRCs checked before a byte is
        handed out.

        Raises storage.errors.CorruptSnapshot.
        """
        ...

    def retain(self, keep: Sequence[SnapshotMeta]) -> None:
        """Remove every snapshot older than the newest of these that is not one of these.

        Newer ones stay: they were finished after `keep` was drawn up. Partial files stay too.
        """
        ...

    def free_bytes(self) -> int:
        """What is free on the disk of the snapshots. Raises OSError."""
        ...

    def check_writable(self, room_bytes: int = 0) -> None:
        """May files be made, and one of so many bytes? Raises storage.errors.StorageError if not,
        OSError.
        """
        ...


class NodeHandle(Protocol):
    """What a node offers to the machine on it (machine/protocol.py tells its users)."""

    def state(self) -> RaftState:
        """Any thread. `applied_index` is the machine's own, to the entry."""
        ...

    def now(self) -> float:
        """Seconds on the node's monotonic clock. Any thread."""
        ...

    def call_later(self, seconds: float, call: Callable[[], None]) -> None:
        """Have `call` called by the owner, between two entries. Machine's owner thread."""
        ...

    def propose(self, command: bytes, term: Term) -> None:
        """Append a command of the machine's own, if this node leads in `term`. Machine's owner
        thread.
        """
        ...

    def mark_snapshot(self) -> tuple[Index, bytes]:
        """(applied index, the sessions' bytes there). Machine's owner thread, between entries;
        anything else raises RuntimeError.
        """
        ...

    def hand_in(self, index: Index, chunks: Iterable[bytes]) -> None:
        """Any thread. Raises ValueError: not a marked index; RuntimeError: one is under way."""
        ...


class MachineHost(Protocol):
    """Sessions round a user's machine, as the node sees them.

    One thread at a time owns it: the machine's owner (raft-net for a quick machine, else
    raft-apply), and raft-snapshot while it restores. Ownership sees to that.
    """

    quick: bool
    """True: apply and query take microseconds and may run on the network thread, in slices."""
    watches: bool
    """`attach`, `on_applied` and `on_event` are wanted; else none of them is called."""

    def attach(self, node: NodeHandle) -> None:
        """Once, before anything else, a restore included."""
        ...

    def on_applied(self, index: Index) -> object:
        """Entry `index` is applied, or a snapshot at it restored. A generator is what is left."""
        ...

    def on_event(self, event: Event) -> None:
        """After all that was committed before the event, before all that is committed later."""
        ...

    def sessions(self) -> bytes:
        """The sessions' bytes as of now: half of what `capture` returns."""
        ...

    def apply_batch(
        self, index: Index, term: Term, payload: bytes
    ) -> bytes | Generator[None, None, bytes]:
        """Apply one BATCH entry; returns the encoded results (wire.batch), or a generator of them,
        as `query`. Never raises for bad commands.

        Anything it does raise is fatal: the entry does not count as applied.
        """
        ...

    def commands_left(self) -> int:
        """How many commands of the entry that is being applied are left. Any thread.

        A long entry on a slow machine is told by it from a command that hangs.
        """
        ...

    def query(
        self, request: bytes, principal: bytes
    ) -> tuple[int, bytes] | Generator[None, None, tuple[int, bytes]]:
        """(status, answer) for `principal` (wire.principal): read-only, on the applied state.

        A generator gives way between pieces of its work; nothing is applied until it returns.
        """
        ...

    def capture(self) -> tuple[bytes, Iterable[bytes] | Iterator[bytes]]:
        """(sessions' bytes, chunks of the machine's bytes) as of now. Quick: chunks come later."""
        ...

    def parts(self) -> Sequence[tuple[str, Iterable[bytes]]]:
        """The state as of now as (name, chunks) a part: equal names, equal bytes on all nodes."""
        ...

    def restore(self, sessions: bytes, body: BinaryIO) -> None:
        """Replace the whole state. raft-snapshot, to which the owner has lent the machine."""
        ...

    def digest_of(self, sessions: bytes, chunks: Iterable[bytes]) -> bytes:
        """A hash of what `capture` returned: equal on all nodes at an equal index. Any thread."""
        ...


class PeerTransport(Protocol):
    """The way to the peers. Network thread only, never blocks."""

    def wake(self, peer: NodeId, channel: Channel) -> None:
        """There is something to pull for this peer: call `Node.pull` until it says None."""
        ...

    def members(self, configuration: Configuration) -> None:
        """From now on, and at the start: links to others go, addresses may have moved."""
        ...


class FatalPort(Protocol):
    def fatal(self, what: str, error: BaseException | None) -> None:
        """The node takes no part any more: it cannot do so safely. Any thread. Must not raise, may
        not return. Only the daemon ends its process here.
        """
        ...


class Clock(Protocol):
    def now(self) -> float:
        """Seconds on a monotonic clock. Any thread."""
        ...

    def epoch_ms(self) -> int:
        """Milliseconds since 1970 by this node's own clock, which may be wrong, and may jump.

        Any thread. Only for what is written down with a batch: nothing waits by it.
        """
        ...


__all__ = ["Clock", "FatalPort", "Identity", "IncomingSnapshot", "LogStore", "MachineHost"]
__all__ += ["NodeHandle", "PeerTransport", "SnapshotSink", "SnapshotStore"]
