"""What locks and elections have in common: a queue of keys under a prefix, in order of creation.

Whoever wants something makes the key `<name>/<lease in hex>` with its lease, and has it when no
older key is left under the prefix. The key's end, by its owner or with its lease, wakes the next
one only.
Network thread only.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from raftd._pb import etcd_pb2 as pb
from raftd.rpc.etcd.calls import Caller
from raftd.rpc.etcd.hub import WatchedStore
from raftd.rpc.etcd.kv import KVService
from raftd.rpc.etcd.lease import LeaseService
from raftd.wire.spans import prefix_end

ORPHAN_TTL_S = 60
"""Of the lease that is granted to whoever names none, as in etcd."""


@dataclass(frozen=True, slots=True)
class Place:
    """A key in a queue. revision: its create_revision."""

    prefix: bytes
    key: bytes
    revision: int
    lease: int
    value: bytes = b""


class Queues:
    def __init__(self, kv: KVService, leases: LeaseService, store: WatchedStore) -> None:
        self._kv = kv
        self._leases = leases
        self._store = store

    async def join(self, name: bytes, lease: int, value: bytes, caller: Caller) -> Place:
        """Make the key, or find the one that this lease made before. Raises Fault."""
        if not lease:
            grant = pb.LeaseGrantRequest(TTL=ORPHAN_TTL_S)
            lease = (await self._leases.LeaseGrant(grant, caller)).ID
        prefix = name + b"/"
        key = prefix + b"%x" % lease
        put = pb.PutRequest(key=key, value=value, lease=lease)
        answer = await self._kv.Txn(
            pb.TxnRequest(
                compare=[_created(key, 0)],
                success=[pb.RequestOp(request_put=put)],
                failure=[pb.RequestOp(request_range=pb.RangeRequest(key=key))],
            ),
            caller,
        )
        if answer.succeeded:
            return Place(prefix, key, answer.header.revision, lease, value)
        found = answer.responses[0].response_range.kvs[0]
        return Place(prefix, key, found.create_revision, lease, found.value)

    async def first(self, place: Place, caller: Caller) -> pb.ResponseHeader:
        """Wait until nobody is before `place`. Raises Fault; the caller may be cancelled."""
        while True:
            before = await self._kv.Range(
                pb.RangeRequest(
                    key=place.prefix,
                    range_end=prefix_end(place.prefix),
                    sort_order=pb.RangeRequest.DESCEND,
                    sort_target=pb.RangeRequest.CREATE,
                    limit=1,
                    max_create_revision=place.revision - 1,
                    keys_only=True,
                ),
                caller,
            )
            if not before.kvs:
                return before.header
            await self.gone(before.kvs[0].key, before.header.revision)

    async def gone(self, key: bytes, revision: int) -> None:
        """Wait until `key`, there at `revision`, has been deleted, or may have been."""
        async with self.changes(key, b"", revision + 1) as changed:
            async for change in changed:
                if change is None or change.type == pb.Event.DELETE:
                    return

    @asynccontextmanager
    async def changes(
        self, key: bytes, range_end: bytes, start_revision: int
    ) -> AsyncIterator[AsyncIterator[pb.Event | None]]:
        """The events from a revision on; None where they are lost to a compaction: look again."""
        ready = asyncio.Event()
        taken = self._store.watches.subscribe(
            key, range_end, start_revision=start_revision, on_ready=ready.set
        )

        async def events() -> AsyncIterator[pb.Event | None]:
            while True:
                ready.clear()
                delivery = taken.take(1000, 1 << 20)
                for revision, changes in delivery.revisions:
                    for change in changes:
                        yield _event(revision, change.key, change.kv is None)
                if delivery.compacted:
                    yield None
                    return
                if not delivery.more:
                    await ready.wait()

        try:
            yield events()
        finally:
            taken.cancel()

    async def leave(self, place: Place, caller: Caller) -> pb.ResponseHeader:
        """Delete the key if it is still the one that was made."""
        delete = pb.DeleteRangeRequest(key=place.key)
        answer = await self._kv.Txn(
            pb.TxnRequest(
                compare=[_created(place.key, place.revision)],
                success=[pb.RequestOp(request_delete_range=delete)],
            ),
            caller,
        )
        return answer.header


def _created(key: bytes, revision: int) -> pb.Compare:
    return pb.Compare(
        key=key, target=pb.Compare.CREATE, result=pb.Compare.EQUAL, create_revision=revision
    )


def _event(revision: int, key: bytes, deleted: bool) -> pb.Event:
    kind = pb.Event.DELETE if deleted else pb.Event.PUT
    return pb.Event(type=kind, kv=pb.KeyValue(key=key, mod_revision=revision))
