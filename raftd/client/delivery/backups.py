"""A backup as it comes from a node: what it is of, then the bytes of its snapshot.

`raftd.wire.backup.BackupWriter` makes a file of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from raftd._pb import admin_pb2 as pb
from raftd.client.errors import ProtocolError, Unavailable
from raftd.wire.backup import Head

if TYPE_CHECKING:
    from raftd.client.delivery.transport import NodeChannel

SILENCE_SECONDS_MAX = 60.0
"""So long a node may take to write its snapshot, and then for each chunk."""


async def backup_at(node: NodeChannel, endpoint: str) -> AsyncIterator[Head | bytes]:
    """The head first, then the snapshot's bytes, in order. On the client's loop.

    endpoint: for errors. Raises aio.AioRpcError, Unavailable, ProtocolError.
    """
    call = node.admin.Backup(pb.BackupRequest())
    replies = aiter(call)
    begun = False
    try:
        while True:
            try:
                async with asyncio.timeout(SILENCE_SECONDS_MAX):
                    reply = await anext(replies)
            except StopAsyncIteration:
                return
            except TimeoutError:
                text = f"the backup stands still for {SILENCE_SECONDS_MAX:g} s: try another node"
                raise Unavailable(text, endpoint=endpoint) from None
            if reply.HasField("head") == begun:
                raise ProtocolError("a backup whose head is not its first part", endpoint=endpoint)
            yield reply.data if begun else _head(reply.head)
            begun = True
    finally:
        call.cancel()


def _head(head: pb.BackupHead) -> Head:
    return Head(head.cluster_id, head.node_id, head.index, head.term, head.size_bytes, head.crc)
