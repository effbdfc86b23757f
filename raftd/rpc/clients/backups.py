"""A backup: a fresh snapshot of this node, sent as a stream while the node serves."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from raftd._pb import admin_pb2 as pb
from raftd.core.types import SnapshotMeta
from raftd.node.outcomes import Applied, Outcome
from raftd.rpc.clients import errors
from raftd.rpc.clients.errors import CallFailed
from raftd.rpc.clients.gate import Context, Gate
from raftd.rpc.plumbing.pace import PACE_BYTES_PER_SECOND, Pace
from raftd.rpc.plumbing.streams import ENDINGS

STALL_SECONDS_MAX = 30.0
"""A reader that takes nothing for so long is sent away: it keeps a file on the disk."""

PIECE_BYTES = 128 << 10
"""A message. A chunk of the file is larger, and as one message it would hold the thread for
milliseconds, while puts wait."""

BUSY = "this node sends another backup: try again when it is done, or ask another node"
STOPPING = "this node is stopping: ask another node"


class Backups:
    """Network thread only. One backup at a time, one chunk of it under way."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._busy = False

    async def send(
        self, context: Context, stopping: asyncio.Event, demand: Callable[[], None]
    ) -> None:
        """Answer one call. stopping: set when the node ends. demand: raises CallFailed once the
        caller may not have it any more.
        """
        try:
            if self._busy:
                raise CallFailed(errors.overloaded(BUSY))
            self._busy = True
            try:
                await self._send(context, stopping, demand)
            finally:
                self._busy = False
        except CallFailed as failed:
            with contextlib.suppress(*ENDINGS):
                await errors.abort(context, failed.failure)
        except ENDINGS:
            return  # the caller has gone

    async def _send(
        self, context: Context, stopping: asyncio.Event, demand: Callable[[], None]
    ) -> None:
        node = self._gate.node
        await self._snapshot(stopping)
        meta = node.hold_snapshot()
        if meta is None:
            raise CallFailed(
                errors.unavailable("nothing is applied here yet: try again in a moment")
            )
        try:
            identity = node.identity
            head = pb.BackupHead(
                cluster_id=identity.cluster,
                node_id=identity.node,
                index=meta.index,
                term=meta.term,
                size_bytes=meta.size_bytes,
                crc=meta.crc,
            )
            await _taken(context.write(pb.BackupReply(head=head)))
            await self._send_file(meta, context, stopping, demand)
        finally:
            node.release_snapshot(meta)

    async def _send_file(
        self,
        meta: SnapshotMeta,
        context: Context,
        stopping: asyncio.Event,
        demand: Callable[[], None],
    ) -> None:
        node, now = self._gate.node, asyncio.get_running_loop().time
        pace = Pace(PACE_BYTES_PER_SECOND, now())
        offset = 0
        while offset < meta.size_bytes:
            if stopping.is_set():
                raise _unavailable(STOPPING)
            demand()
            try:
                data = await node.read_snapshot(meta, offset)
            except OSError as error:
                what = error.strerror or str(error)
                raise CallFailed(
                    errors.unavailable(f"the snapshot cannot be read: {what}")
                ) from None
            if not data:
                raise _unavailable("the snapshot's file is cut: ask another node")
            offset += len(data)
            for at in range(0, len(data), PIECE_BYTES):
                piece = data[at : at + PIECE_BYTES]
                await _taken(context.write(pb.BackupReply(data=piece)))
                await asyncio.sleep(pace.rest(len(piece), node.state().commit_index, now()))

    async def _snapshot(self, stopping: asyncio.Event) -> None:
        """Of now. As long as it takes: a large state takes longer than any other call may."""
        ended: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

        def done(outcome: Outcome) -> None:
            if not ended.done():
                ended.set_result(outcome)

        self._gate.node.snapshot_now(done)
        end = asyncio.ensure_future(stopping.wait())
        try:
            await asyncio.wait((ended, end), return_when=asyncio.FIRST_COMPLETED)
        finally:
            end.cancel()
        if not ended.done():
            raise _unavailable(STOPPING)
        outcome = ended.result()
        if not isinstance(outcome, Applied):
            raise CallFailed(self._gate.failure(outcome))


async def _taken(write: Awaitable[None]) -> None:
    """Raises CallFailed when the reader does not take it in time."""
    try:
        async with asyncio.timeout(STALL_SECONDS_MAX):
            await write
    except TimeoutError:
        text = f"nothing was read for {STALL_SECONDS_MAX:g} s"
        raise CallFailed(errors.overloaded(text)) from None


def _unavailable(message: str) -> CallFailed:
    return CallFailed(errors.unavailable(message))
