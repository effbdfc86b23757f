"""Snapshots as work: taking our own, storing what a leader sends, reading chunks for a follower.

Three duties on two threads. raft-snapshot writes our own snapshots, restores and hashes; raft-bulk
moves chunks. A local snapshot that takes seconds must not stall a follower's transfer.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from raftd.core.messages import SnapshotRequest
from raftd.core.types import Configuration, SnapshotMeta
from raftd.node.apply_worker import Captured
from raftd.node.job_worker import JobWorker
from raftd.node.ownership import Ownership
from raftd.node.ports import FatalPort, SnapshotSink, SnapshotStore

NO_ROOM_RETRY_SECONDS = 1.0

PROBE_BYTES = 4096
"""Of a snapshot that was refused, at first. A full disk is not sent megabytes a second in vain."""

REFUSAL_ERRNOS = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.EMFILE, errno.ENFILE})
"""The system would not do it; nothing has happened, and somebody can put it right."""

Post = Callable[[Callable[[], None]], None]


def _is_expected(error: Exception) -> bool:
    """No room, or a file's own trouble: what the store calls retryable, and the system's errors."""
    return isinstance(error, OSError) or bool(getattr(error, "retryable", False))


def _is_refusal(error: Exception) -> bool:
    refused = isinstance(error, OSError) and error.errno in REFUSAL_ERRNOS
    return refused or bool(getattr(error, "retryable", False))


def _starts_over(error: Exception) -> bool:
    """What came is not what was announced: it says something of the sender, not of this node."""
    return bool(getattr(error, "start_over", False))


class SnapshotWorker:
    """Methods: network thread, and none of them blocks. Answers come back through `post`."""

    def __init__(
        self,
        store: SnapshotStore,
        ownership: Ownership,
        fatal: FatalPort,
        post: Post,
        chunk_bytes: int,
    ) -> None:
        self._store = store
        self._ownership = ownership
        self._post = post
        self._chunk_bytes = chunk_bytes
        self.trouble: Callable[[Exception | None], None] = lambda error: None
        """Told, through `post`, what kept a snapshot from being written; None: one was."""
        self.slow = JobWorker("raft-snapshot", fatal)
        self.bulk = JobWorker("raft-bulk", fatal)

    def take(
        self,
        captured: Captured,
        configuration: Configuration,
        done: Callable[[SnapshotMeta], None],
        failed: Callable[[Exception], None],
    ) -> None:
        """Write what was captured to a file; `done` when it is durable, `failed` if there was no
        room.
        """

        def job() -> None:
            index, term, sessions, chunks = captured
            sink: SnapshotSink | None = None
            try:
                sink = self._store.create(index, term, configuration, sessions)
                for chunk in chunks:
                    if self.slow.stopping:  # a large one would hold up the end for its own sake
                        sink.discard()
                        return
                    sink.write(chunk)
                    self.slow.moved()
                meta = sink.commit()
            except Exception as error:
                if not _is_expected(error):
                    raise
                # Nothing rests on a snapshot that was not made: the log is still whole. A failed
                # sync of a temporary file says nothing of the log's own.
                if sink is not None:
                    sink.discard()
                oops = error
                self._ended(oops)
                self._post(lambda: failed(oops))
            else:
                self._ended(None)
                self._post(lambda: done(meta))

        self.slow.put(job)

    def _ended(self, error: Exception | None) -> None:
        self._post(lambda: self.trouble(error))

    def look(self, room_bytes: int, done: Callable[[int | None, str], None]) -> None:
        """done(free bytes, why no snapshot of `room_bytes` can be stored, or "")."""

        def job() -> None:
            free, trouble = None, ""
            try:
                free = self._store.free_bytes()
                self._store.check_writable(room_bytes)
            except Exception as error:
                if not _is_expected(error):
                    raise
                trouble = str(error)
            self._post(lambda: done(free, trouble))

        self.bulk.put(job)

    def restore(self, meta: SnapshotMeta, then: Callable[[], None]) -> None:
        """Put a snapshot into the machine, which its owner leaves alone meanwhile."""

        def job() -> None:
            sessions, body = self._store.open_body(meta)
            with body:
                self._ownership.restore(sessions, body)
            then()

        self.slow.put(job)

    def digest(self, captured: Captured, done: Callable[[bytes], None]) -> None:
        def job() -> None:
            _, _, sessions, chunks = captured
            value = self._ownership.digest_of(sessions, self._moving(chunks))
            self._post(lambda: done(value))

        self.slow.put(job)

    def _moving(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            yield chunk
            self.slow.moved()

    def retain(self, keep: tuple[SnapshotMeta, ...]) -> None:
        """Drop older snapshot files. Those newer than the newest of `keep` stay: the core may not
        have heard of them yet.
        """

        def job() -> None:
            try:
                self._store.retain(keep)
            except OSError as error:  # they are removed next time
                if not _is_refusal(error):
                    raise
                self._ended(error)

        if keep:
            self.bulk.put(job)

    def read_chunk(
        self, request: SnapshotRequest, done: Callable[[SnapshotRequest | OSError], None]
    ) -> None:
        size = min(PROBE_BYTES, self._chunk_bytes) if request.probes else self._chunk_bytes

        def job() -> None:
            try:
                data = self._store.read_chunk(request.meta, request.offset, size)
            except OSError as error:
                oops = error
                self._post(lambda: done(oops))
            else:
                filled = replace(request, data=data)
                self._post(lambda: done(filled))

        self.bulk.put(job)

    def reread(
        self,
        meta: SnapshotMeta,
        offset: int,
        size_bytes: int,
        crc: int,
        done: Callable[[tuple[int, int, str] | Exception], None],
    ) -> None:
        """See SnapshotStore.reread."""

        def job() -> None:
            result: tuple[int, int, str] | Exception
            try:
                result = self._store.reread(meta, offset, size_bytes, crc)
            except OSError as error:
                result = error
            self._post(lambda: done(result))

        self.slow.put(job)

    def store_chunk(
        self,
        request: SnapshotRequest,
        stored: Callable[[int], None],
        received: Callable[[SnapshotMeta], None],
        refused: Callable[[Exception], None] = lambda error: None,
    ) -> None:
        """stored(next_offset), or received(meta) when this chunk made it whole, checked and
        durable. refused(why), before stored(0): it was not taken.
        """

        def job() -> None:
            try:
                incoming = self._store.receive(request.leader, request.meta)
                next_offset = incoming.store(request.offset, request.data)
            except Exception as error:
                if not _is_expected(error) and not _starts_over(error):
                    raise
                self._not_taken(error, stored, refused)
                return
            if next_offset < request.meta.size_bytes:
                self._post(lambda: stored(next_offset))
                return
            try:
                meta = incoming.commit()
            except Exception as error:
                if not (_is_refusal(error) or _starts_over(error)):
                    raise
                self._not_taken(error, stored, refused)
            else:
                self._ended(None)
                self._post(lambda: received(meta))

        self.bulk.put(job)

    def _not_taken(
        self,
        error: Exception,
        stored: Callable[[int], None],
        refused: Callable[[Exception], None],
    ) -> None:
        """No room: the transfer goes on, slowly, when there is. Not what it should be: anew."""
        self._post(lambda: refused(error))
        if not _starts_over(error):
            self._ended(error)
            self.bulk.pause(NO_ROOM_RETRY_SECONDS)
        self._post(lambda: stored(0))
