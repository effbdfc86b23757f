"""`etcdctl snapshot save` beside writes: it goes at the pace of a backup."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from raftd._pb import etcd_pb2 as pb
from raftd.rpc.etcd.maintenance import MaintenanceService
from raftd.rpc.plumbing.pace import PACE_BYTES_PER_SECOND

SIZE = PACE_BYTES_PER_SECOND // 4


class Node:
    """As much of one as is asked; entries are committed all the time."""

    commit_index = 0

    def refusal(self) -> str:
        return ""

    def state(self) -> Node:
        self.commit_index += 1
        return self


class Store:
    revision = 5

    def capture(self) -> list[bytes]:
        return [bytes(SIZE)]


class Headers:
    def make(self, revision: int) -> pb.ResponseHeader:
        return pb.ResponseHeader(revision=revision)


class Backend:
    async def catch_up(self) -> None: ...


class Talk:
    def __init__(self) -> None:
        self.size = 0

    async def receive(self) -> pb.SnapshotRequest:
        return pb.SnapshotRequest()

    async def send(self, answer: pb.SnapshotResponse) -> None:
        self.size += len(answer.blob)


def test_it_goes_at_the_pace_of_a_backup_while_others_write() -> None:
    """The story without it: each put waited behind a file that was sent as fast as it was made."""
    made: Any = (Node(), Backend(), Headers(), Store())
    service, talk = MaintenanceService(*made), Talk()
    began = time.monotonic()
    asyncio.run(service.Snapshot(talk))  # type: ignore[arg-type]
    assert talk.size > SIZE
    assert time.monotonic() - began > 0.8 * SIZE / PACE_BYTES_PER_SECOND
