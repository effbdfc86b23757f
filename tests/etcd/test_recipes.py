"""Locks and elections that the server itself waits for, at different members."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from raftd._pb import etcd_pb2 as pb
from raftd.rpc.etcd.watch import LeaderLooks
from tests.etcd.client import EtcdClient, Failed
from tests.etcd.servers import Raftd

SECONDS = 60.0


async def lease(client: EtcdClient) -> int:
    granted = await client.call("Lease", "LeaseGrant", pb.LeaseGrantRequest(TTL=60))
    return int(granted.ID)


async def waits(call: asyncio.Future[Any]) -> None:
    done, _ = await asyncio.wait((call,), timeout=0.3)
    assert not done


async def _locks(clients: list[EtcdClient]) -> None:
    def lock(client: EtcdClient, owner: int) -> asyncio.Future[Any]:
        request = pb.LockRequest(name=b"room", lease=owner)
        return asyncio.ensure_future(client.call("Lock", "Lock", request))

    owners = [await lease(client) for client in clients]
    held = await lock(clients[0], owners[0])
    assert held.key == b"room/%x" % owners[0]
    impatient, patient = lock(clients[1], owners[1]), lock(clients[2], owners[2])
    await waits(patient)
    impatient.cancel()
    await clients[0].call("Lock", "Unlock", pb.UnlockRequest(key=held.key))
    assert (await patient).key == b"room/%x" % owners[2]
    revoke = pb.LeaseRevokeRequest(ID=owners[2])
    await clients[0].call("Lease", "LeaseRevoke", revoke)
    assert (await lock(clients[0], 0)).key.startswith(b"room/"), (
        "a lease is granted for who has none"
    )


async def _elections(clients: list[EtcdClient]) -> None:
    one, two, three = clients
    name = pb.LeaderRequest(name=b"post")
    none = await three.call("Election", "Leader", name)
    assert none == Failed("UNKNOWN", "election: no leader")
    observed = three.answers("Election", "Observe", name)

    def campaign(owner: int, value: bytes) -> pb.CampaignRequest:
        return pb.CampaignRequest(name=b"post", lease=owner, value=value)

    first = await one.call("Election", "Campaign", campaign(await lease(one), b"one"))
    assert (await anext(observed)).kv.value == b"one"
    second = asyncio.ensure_future(
        two.call("Election", "Campaign", campaign(await lease(two), b"two"))
    )
    await waits(second)
    proclaim = pb.ProclaimRequest(leader=first.leader, value=b"one more")
    assert not isinstance(await two.call("Election", "Proclaim", proclaim), Failed)
    assert (await anext(observed)).kv.value == b"one more"
    await one.call("Election", "Resign", pb.ResignRequest(leader=first.leader))
    won = await second
    assert (await anext(observed)).kv.value == b"two"
    assert (await one.call("Election", "Leader", name)).kv.key == won.leader.key
    over = await two.call("Election", "Proclaim", proclaim)
    assert over == Failed("UNKNOWN", "election: not leader")
    await observed.aclose()  # type: ignore[attr-defined]


@pytest.mark.cluster
def test_locks_and_elections_hold_across_members(three: Raftd) -> None:
    async def main() -> None:
        clients = [EtcdClient(address) for address in three.addresses]
        async with asyncio.timeout(SECONDS):
            await _locks(clients)
            await _elections(clients)
        for client in clients:
            await client.close()

    three.all_serve()
    asyncio.run(main())


def test_who_needs_a_leader_is_told_when_there_has_been_none_for_a_while() -> None:
    async def main() -> None:
        known = False
        looks = LeaderLooks(lambda: known, 0.05)
        async with asyncio.timeout(20):
            await looks.lost()  # none at the beginning: at once
            known = True
            waiting = [asyncio.ensure_future(looks.lost()) for _ in range(2)]
            await asyncio.sleep(0.1)
            assert not any(one.done() for one in waiting)
            known = False
            await asyncio.gather(*waiting)

    asyncio.run(main())
