"""The Backup call of the client port: what is sent, and who is turned away."""

from __future__ import annotations

import asyncio
from typing import Any
from zlib import crc32

import grpc.aio

from raftd._pb import admin_pb2
from raftd._pb.admin_pb2_grpc import AdminStub
from raftd.core.types import Configuration, SnapshotMeta
from raftd.node.outcomes import Refusal, Refused
from tests.rpc.fakes import VOTERS, Side, one_side, until
from tests.rpc.test_client_port import Code, failure_of

FILE = b"a snapshot's file"
META = SnapshotMeta(7, 3, Configuration(VOTERS), len(FILE), crc32(FILE))


def backup(channel: grpc.aio.Channel) -> Any:
    return AdminStub(channel).Backup(admin_pb2.BackupRequest(), timeout=30)


def holding(side: Side) -> None:
    side.node.snapshot, side.node.snapshot_file = META, FILE


def test_the_head_and_then_the_file_in_chunks() -> None:
    async def main() -> None:
        async with one_side() as one, grpc.aio.insecure_channel(one.client_address) as channel:
            holding(one)
            head, *chunks = [reply async for reply in backup(channel)]
            assert (head.head.node_id, head.head.index, head.head.term) == ("n1", 7, 3)
            assert (head.head.size_bytes, head.head.crc) == (len(FILE), crc32(FILE))
            assert [reply.data for reply in chunks] == [b"a sna", b"pshot", b"'s fi", b"le"]
            await until(lambda: one.node.held == 0, "the snapshot is released")

    asyncio.run(main())


def test_refusals() -> None:
    async def main() -> None:
        async with one_side() as one, grpc.aio.insecure_channel(one.client_address) as channel:
            code, failure = await failure_of(backup(channel).read())
            assert (code, failure.message[:18]) == (Code.UNAVAILABLE, "nothing is applied")
            one.node.control = Refused(Refusal.UNAVAILABLE, "the disk is full", None)
            code, failure = await failure_of(backup(channel).read())
            assert (code, failure.message) == (Code.UNAVAILABLE, "the disk is full")

    asyncio.run(main())


def test_a_file_that_is_cut_or_cannot_be_read() -> None:
    async def main() -> None:
        async with one_side() as one, grpc.aio.insecure_channel(one.client_address) as channel:
            one.node.snapshot, one.node.snapshot_file = META, FILE[:5]
            call = backup(channel)
            assert (await call.read()).head.index == 7
            assert (await call.read()).data == FILE[:5]
            _, failure = await failure_of(call.read())
            assert failure.message == "the snapshot's file is cut: ask another node"

            async def lost(meta: SnapshotMeta, offset: int) -> bytes:
                raise FileNotFoundError(2, "No such file or directory")

            one.node.read_snapshot = lost  # type: ignore[method-assign]
            call = backup(channel)
            assert (await call.read()).head.index == 7
            _, failure = await failure_of(call.read())
            assert failure.message == "the snapshot cannot be read: No such file or directory"
            assert one.node.held == 0

    asyncio.run(main())


def test_one_at_a_time_and_none_when_the_node_stops() -> None:
    async def main() -> None:
        async with one_side() as one, grpc.aio.insecure_channel(one.client_address) as channel:
            holding(one)
            go_on = asyncio.Event()

            async def slow(meta: SnapshotMeta, offset: int) -> bytes:
                await go_on.wait()
                return FILE[offset : offset + 5]

            one.node.read_snapshot = slow  # type: ignore[method-assign]
            first = backup(channel)
            assert (await first.read()).head.index == 7
            code, failure = await failure_of(backup(channel).read())
            assert (code, failure.message[:31]) == (
                Code.RESOURCE_EXHAUSTED,
                "this node sends another backup:",
            )
            one.servers.quiesce()
            go_on.set()
            assert (await first.read()).data == FILE[:5]
            _, failure = await failure_of(first.read())
            assert failure.message == "this node is stopping: ask another node"
            await until(lambda: one.node.held == 0, "the snapshot is released")

    asyncio.run(main())
