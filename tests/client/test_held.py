"""Leases, locks, elections: held while they are renewed, lost no later than others get them."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from random import Random

import pytest

from raftd.client import AsyncClient, Client, Invalid, LockLost, NotAcquired, NotDone
from raftd.client import operations as ops
from raftd.client.recipes.locks import Leader
from raftd.client.txn import exists, put
from tests.client.conftest import wait_until
from tests.client.fake_server import FakeCluster
from tests.client.faults import Fault

Connect = Callable[..., Client]
SECONDS = 30.0


# -- leases -----------------------------------------------------------------------------------


def test_a_lease_outlives_its_time_to_live_and_ends_with_its_keys(
    cluster: FakeCluster, connect: Connect
) -> None:
    client = connect(cluster)
    lost: list[str] = []
    with client.lease(1, on_lost=lost.append) as lease:
        assert lease.ttl_s == 1
        client.txn(then=[put("service/1", "here", lease=lease.id)])
        began = lease.keeper.deadline
        wait_until(lambda: lease.keeper.deadline > began + 1.5, "renewals past the first end")
        assert lease
        assert client.get("service/1")
    assert not lease
    assert not client.get("service/1"), "revoked, and the key with it"
    assert lost == [], "we ended it ourselves"
    with pytest.raises(LockLost, match="revoked"):
        lease.check()
    lease.revoke()


def test_whoever_loses_a_lease_is_told(cluster: FakeCluster, connect: Connect) -> None:
    client = connect(cluster)
    lost: list[tuple[str, bool]] = []
    lease = client.lease(1, on_lost=lambda why: lost.append((why, bool(client.get("none")))))
    client.execute(ops.lease_revoke(lease.id))
    wait_until(lambda: bool(lost), "the callback, which may use the client")
    assert lost == [("it has expired, or was revoked", False)]
    assert not lease


def test_a_lease_that_cannot_be_renewed_is_lost_before_the_cluster_ends_it(
    cluster: FakeCluster, connect: Connect
) -> None:
    client = connect(cluster)
    lost = threading.Event()
    lease = client.lease(1, on_lost=lambda why: lost.set())
    cluster.lead("nobody")
    assert lost.wait(SECONDS)
    assert not lease
    with pytest.raises(LockLost, match="not renewed in time: no leader"):
        lease.check()


def test_renewals_find_the_leader(cluster: FakeCluster, connect: Connect) -> None:
    """A follower answers queries, but only the leader counts the time of leases."""
    for node in cluster.nodes.values():
        node.reads = True
    followers = [node.address for node in cluster.nodes.values() if not node.leads]
    client = connect([*followers, cluster.nodes["n1"].address])
    client.get("a")
    renewed = client.execute(ops.lease_renew(77))
    assert not renewed.answer, "there is no such lease, says the leader"


# -- locks ------------------------------------------------------------------------------------


def test_one_owner_at_a_time_with_a_greater_token_each(
    cluster: FakeCluster, connect: Connect
) -> None:
    client = connect(cluster)
    inside: list[int] = []
    tokens: list[int] = []

    def work() -> None:
        with client.lock("jobs", ttl_s=5) as owner:
            inside.append(1)
            assert sum(inside) == 1
            tokens.append(owner.token)
            inside.append(-1)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    assert len(tokens) == 6
    assert tokens == sorted(set(tokens)), "in the order in which they came in"
    assert not client.range("jobs/"), "nothing is left"


def test_a_lock_that_others_hold(cluster: FakeCluster, connect: Connect) -> None:
    client, other = connect(cluster), connect(cluster)
    lock = client.lock("l")
    owner = lock.acquire()
    assert owner
    with pytest.raises(Invalid, match="held already"):
        lock.acquire()
    waiting = other.lock("l", timeout=0.1)
    assert waiting.acquire(0.05) is None
    with pytest.raises(NotAcquired, match=r"others held it for 0\.1 s"), waiting:
        pass
    assert len(client.range("l/").kvs) == 1, "who gave up is not in the queue any more"
    lock.release()
    lock.release()
    assert not owner
    with waiting as second:
        assert second.token > owner.token


def test_a_guard_refuses_who_is_not_the_owner_any_more(
    cluster: FakeCluster, connect: Connect
) -> None:
    client, other = connect(cluster), connect(cluster)

    def body() -> None:
        with client.lock("l", ttl_s=1) as owner:
            assert client.txn(when=[owner.guard], then=[put("x", "1")])
            client.execute(ops.lease_revoke(owner.lease_id))
            with other.lock("l", timeout=SECONDS) as successor:
                assert not client.txn(when=[owner.guard], then=[put("x", "2")])
                assert other.txn(when=[successor.guard], then=[put("x", "3")])
            wait_until(lambda: not owner, "the loss to be noticed")

    with pytest.raises(LockLost, match="before the block ended"):
        body()
    assert client.get("x").kv.value == b"3"  # type: ignore[union-attr]


def test_a_lock_is_waited_for_through_faults(cluster: FakeCluster, connect: Connect) -> None:
    client, other = connect(cluster), connect(cluster)
    lock = client.lock("l")
    first = lock.acquire()
    assert first
    cluster.nodes["n1"].faults.extend([Fault.DROP_AFTER, Fault.UNKNOWN_AFTER])
    got: list[int] = []

    def wait() -> None:
        with other.lock("l", ttl_s=30) as owner:
            got.append(owner.token)

    thread = threading.Thread(target=wait)
    thread.start()
    wait_until(lambda: len(client.range("l/").kvs) == 2, "the other one in the queue")
    wait_until(lambda: any(node.watches for node in cluster.nodes.values()), "its watch")
    for name in ("n2", "n3", "n1"):
        cluster.lead(name)
        cluster.nodes["n3"].stop()
        cluster.nodes["n3"].start()
    lock.release()
    thread.join(SECONDS)
    assert got
    assert got[0] > first.token


def test_a_lease_that_ends_while_it_waits(cluster: FakeCluster, connect: Connect) -> None:
    client, other = connect(cluster), connect(cluster)
    lock = client.lock("l")
    first = lock.acquire()
    assert first
    errors: list[Exception] = []

    def wait() -> None:
        try:
            other.lock("l", ttl_s=1).acquire()
        except LockLost as error:
            errors.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    wait_until(lambda: len(client.range("l/").kvs) == 2, "the other one in the queue")
    key = next(kv.key for kv in client.range("l/").kvs if kv.key != first.key)
    client.execute(ops.lease_revoke(int(key[2:], 16)))
    thread.join(SECONDS)
    assert len(errors) == 1
    lock.release()


# -- elections --------------------------------------------------------------------------------


def test_campaign_proclaim_resign_observe(cluster: FakeCluster, connect: Connect) -> None:
    client, other = connect(cluster), connect(cluster)
    election = client.election("e")
    assert election.leader() is None
    seen: list[Leader | None] = []
    with election.observe() as changes:
        thread = threading.Thread(target=lambda: seen.extend(changes))
        thread.start()
        wait_until(lambda: seen == [None], "how it is now")
        with election.campaign("first") as first:
            assert election.leader() == Leader(first.key, b"first", first.token)
            with pytest.raises(NotAcquired, match=r"others led for 0\.05 s"):
                other.election("e").campaign("second", timeout=0.05)
            wait_until(lambda: len(seen) == 2, "the first one")
            first.proclaim("still")
            wait_until(lambda: len(seen) == 3, "what it proclaimed")
        second = other.election("e").campaign("second", timeout=SECONDS)
        wait_until(lambda: seen[-1] is not None and seen[-1].value == b"second", "the second one")
        assert second.token > first.token
        assert [leader and leader.value for leader in seen[:3]] == [None, b"first", b"still"]
        with pytest.raises(LockLost, match="another one leads"):
            first.proclaim("too late")
        second.resign()
        wait_until(lambda: seen[-1] is None, "nobody")
    thread.join(SECONDS)
    assert not thread.is_alive()


# -- asyncio ----------------------------------------------------------------------------------


def test_the_same_with_coroutines(cluster: FakeCluster) -> None:
    async def main() -> None:
        async with AsyncClient(cluster.endpoints, random=Random(7)) as client:
            lost: list[str] = []
            async with client.lease(1, on_lost=lost.append) as lease:
                await client.txn(then=[put("s", "x", lease=lease.id)])
                assert lease
            assert not await client.txn(when=[exists("s")])
            other = await client.lease(1, on_lost=lost.append)
            await client.execute(ops.lease_revoke(other.id))
            deadline = time.monotonic() + SECONDS
            while not lost:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.01)
            async with client.lock("l") as owner:
                assert owner
                assert await client.lock("l").acquire(0.05) is None
                with pytest.raises(NotAcquired):
                    async with client.lock("l", timeout=0.05):
                        pass
                waiting = asyncio.ensure_future(client.lock("l").acquire())
                await asyncio.sleep(0.05)
                waiting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiting
            election = client.election("e")
            async with election.observe() as changes:
                assert await anext(changes) is None
                async with await election.campaign("me") as me:
                    assert (await anext(changes)) == Leader(me.key, b"me", me.token)
                    await me.proclaim("still me")
                    assert (await election.leader()) == Leader(me.key, b"still me", me.token)
            assert await election.leader() is None
            kept = await client.lease(5)
        assert not kept, "the client is closed"
        with pytest.raises(NotDone):
            await client.lock("l").acquire()

    asyncio.run(main())
