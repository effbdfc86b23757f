"""Writers, watchers and lease holders at every member while the leader is killed."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import grpc
import pytest

from raftd._pb import etcd_pb2 as pb
from tests.etcd.client import EtcdClient, Failed
from tests.etcd.servers import Raftd

pytestmark = [pytest.mark.cluster, pytest.mark.long]

WRITERS = 12
BEFORE, AFTER = 60, 120
SECONDS = 60.0
PREFIX, PREFIX_END = b"fault/", b"fault0"


class Writers:
    """Each puts keys of its own, one after the other, at one member; who was told what."""

    def __init__(self) -> None:
        self.acked: dict[bytes, int] = {}
        self.errors: Counter[str] = Counter()
        self.stopping = False

    async def run(self, client: EtcdClient, name: int) -> None:
        number = 0
        while not self.stopping:
            number += 1
            key = PREFIX + b"%d/%d" % (name, number)
            answer = await client.call("KV", "Put", pb.PutRequest(key=key, value=key))
            if isinstance(answer, Failed):
                self.errors[f"{answer.code}: {answer.text}"] += 1
                await asyncio.sleep(0.01)
            else:
                self.acked[key] = answer.header.revision

    async def reached(self, count: int) -> None:
        while len(self.acked) < count:
            await asyncio.sleep(0.01)


class Watcher:
    """Sees every event under the prefix, and goes on where it was when its stream ends."""

    def __init__(self, since: int) -> None:
        """since: the revision of before. The members may have served other tests, whose history of
        the beginning is compacted by now.
        """
        self.seen: list[tuple[int, bytes]] = []
        self.reached = since
        self.ended: Counter[str] = Counter()
        """Why its streams ended."""

    def __repr__(self) -> str:
        return f"Watcher(reached={self.reached}, seen={len(self.seen)}, ended={self.ended})"

    async def run(self, client: EtcdClient) -> None:
        while True:
            try:
                await self._once(client)
                self.ended["by the member"] += 1
            except grpc.aio.AioRpcError as error:
                self.ended[f"{error.code().name}: {error.details()}"] += 1
            except asyncio.InvalidStateError:
                self.ended["before it was written to"] += 1
            await asyncio.sleep(0.05)

    async def _once(self, client: EtcdClient) -> None:
        call = client.stream("Watch", "Watch")
        create = pb.WatchCreateRequest(
            key=PREFIX, range_end=PREFIX_END, start_revision=self.reached + 1
        )
        await call.write(pb.WatchRequest(create_request=create))
        while (answer := await call.read()) is not grpc.aio.EOF:
            assert not answer.canceled, answer
            for event in answer.events:
                self.seen.append((event.kv.mod_revision, event.kv.key))
                self.reached = event.kv.mod_revision


def test_nothing_acknowledged_is_lost_and_every_watcher_sees_it_once(three: Raftd) -> None:
    three.all_serve()
    asyncio.run(asyncio.wait_for(_faults(three), 3 * SECONDS))


async def _faults(three: Raftd) -> None:
    clients = [EtcdClient(address) for address in three.addresses]
    granted = await clients[0].call("Lease", "LeaseGrant", pb.LeaseGrantRequest(TTL=4))
    leased = pb.PutRequest(key=b"leased", lease=granted.ID)
    put = await clients[0].call("KV", "Put", leased)
    assert not isinstance(put, Failed)
    writers, watchers = Writers(), [Watcher(put.header.revision) for _ in clients]
    tasks = [
        asyncio.ensure_future(watcher.run(client))
        for watcher, client in zip(watchers, clients, strict=True)
    ]
    leader = three.leader()
    alive = [
        client for client, node in zip(clients, three.nodes, strict=True) if node is not leader
    ]
    tasks.append(asyncio.ensure_future(_renew(alive[0], granted.ID)))
    writing = [
        asyncio.ensure_future(writers.run(alive[number % 2], number)) for number in range(WRITERS)
    ]
    await writers.reached(BEFORE)
    await asyncio.to_thread(leader.kill)
    await writers.reached(BEFORE + AFTER)
    writers.stopping = True
    await asyncio.gather(*writing)
    await asyncio.to_thread(three.all_serve)

    last = max(writers.acked.values())
    try:
        async with asyncio.timeout(SECONDS):
            while any(watcher.reached < last for watcher in watchers):
                for task in tasks:
                    assert not task.done(), task.exception()
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"not all reached {last}: {watchers}") from None
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await _check(clients, writers, watchers)
    found = await alive[1].call("KV", "Range", pb.RangeRequest(key=b"leased"))
    assert found.count == 1, "a lease that was renewed did not end with the leader"
    for client in clients:
        await client.close()


async def _renew(client: EtcdClient, lease: int) -> None:
    while True:
        await client.renew(lease)
        await asyncio.sleep(0.5)


async def _check(clients: list[EtcdClient], writers: Writers, watchers: list[Watcher]) -> None:
    request = pb.RangeRequest(key=PREFIX, range_end=PREFIX_END)
    there: dict[bytes, int] = {}
    for client in clients:
        found: Any = await client.call("KV", "Range", request)
        there = {kv.key: kv.mod_revision for kv in found.kvs}
        assert writers.acked.items() <= there.items()
    expected = sorted((revision, key) for key, revision in there.items())
    for watcher in watchers:
        assert watcher.seen == [pair for pair in expected if pair[0] <= watcher.reached]
    assert set(writers.errors) <= {
        "UNAVAILABLE: etcdserver: request timed out, possibly due to previous leader failure",
        "UNAVAILABLE: etcdserver: request timed out",
    }, writers.errors
