"""What a member that does not lead has answered, it knows: as at etcd, where it has applied it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from raftd._pb import etcd_pb2 as pb
from tests.etcd.client import EtcdClient, Failed
from tests.etcd.servers import Raftd, raftd_cluster
from tests.etcd.test_auth import EMPTY, PASSWORD, auth, put, token

pytestmark = [pytest.mark.cluster, pytest.mark.long]

SECONDS = 60.0
TIMES = 5
CALLERS = 9


def at_follower(raftd: Raftd, test: Callable[[EtcdClient], Awaitable[None]]) -> None:
    async def whole() -> None:
        leader = raftd.leader()
        follower = next(node for node in raftd.nodes if node is not leader)
        client = EtcdClient(follower.client_address)
        try:
            async with asyncio.timeout(SECONDS):
                await test(client)
        finally:
            await client.close()

    asyncio.run(whole())


async def done(call: Awaitable[Any]) -> Any:
    answer = await call
    assert not isinstance(answer, Failed), answer
    return answer


async def watched_from_now(client: EtcdClient, key: bytes) -> int:
    """The revision of the first event."""
    stream = client.stream("Watch", "Watch")
    try:
        await stream.write(pb.WatchRequest(create_request=pb.WatchCreateRequest(key=key)))
        assert (await stream.read()).created
        await done(put(client, key))
        return int((await stream.read()).events[0].kv.mod_revision)
    finally:
        stream.cancel()


def test_a_follower_shows_what_it_has_answered(three: Raftd) -> None:
    """The story without it: for a tenth of a second it showed the store as it was before."""
    three.all_serve()

    async def test(client: EtcdClient) -> None:
        own = pb.RangeRequest(key=b"seen", serializable=True)
        for _ in range(TIMES):
            revision = (await done(put(client, b"seen"))).header.revision
            shown = await done(client.call("KV", "Range", own))
            assert [kv.mod_revision for kv in shown.kvs] == [revision]
            revision = (await done(put(client, b"seen"))).header.revision
            assert await watched_from_now(client, b"seen") == revision + 1
            revision = (await done(put(client, b"seen"))).header.revision
            status = await done(client.call("Maintenance", "Status", pb.StatusRequest()))
            assert status.header.revision == revision
            revision = (await done(put(client, b"seen"))).header.revision
            blobs = client.answers("Maintenance", "Snapshot", pb.SnapshotRequest())
            saved = [blob.header.revision async for blob in blobs]
            assert saved == [revision] * len(saved) != []

    at_follower(three, test)


def test_a_follower_that_has_answered_asks_its_callers_who_they_are(tmp_path: Path) -> None:
    """The story without it: `auth enable` was done, and whoever had no name was served on."""

    async def test(client: EtcdClient) -> None:
        await done(auth(client, "UserAdd", name="root", password=PASSWORD))
        await done(auth(client, "UserGrantRole", user="root", role="root"))
        status = pb.StatusRequest()
        for _ in range(TIMES):
            await done(auth(client, "AuthEnable"))
            assert await client.call("Maintenance", "Status", status) == EMPTY
            root = await token(client, "root")
            await done(auth(client, "AuthDisable", root))
            await done(client.call("Maintenance", "Status", status))

    with raftd_cluster(tmp_path, 3) as raftd:
        at_follower(raftd, test)


def test_a_move_of_the_leader_fails_no_write(three: Raftd) -> None:
    """The story without it: each caller who put a key meanwhile was told that leadership is being
    handed over, which Go's clients do not repeat.
    """
    three.all_serve()

    async def whole() -> None:
        clients = [EtcdClient(address) for address in three.addresses]
        over = False

        async def write(number: int) -> int:
            for count in itertools.count():
                if over:
                    return count
                await done(put(clients[number % 3], b"moves/%d" % number))
            raise AssertionError

        try:
            async with asyncio.timeout(SECONDS):
                writing = [asyncio.ensure_future(write(number)) for number in range(CALLERS)]
                for _ in range(TIMES):
                    await move(clients)
                over = True
                assert all(await asyncio.gather(*writing))
        finally:
            for client in clients:
                await client.close()

    asyncio.run(whole())


async def move(clients: list[EtcdClient]) -> None:
    """The leader is asked to hand over to the next member."""
    while True:
        asked = pb.StatusRequest()
        status = [await done(client.call("Maintenance", "Status", asked)) for client in clients]
        for at, each in enumerate(status):
            if each.leader == each.header.member_id:
                target = pb.MoveLeaderRequest(targetID=status[at - 1].header.member_id)
                if not isinstance(
                    await clients[at].call("Maintenance", "MoveLeader", target), Failed
                ):
                    return
