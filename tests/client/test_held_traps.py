"""What is held, and left half-way: no time to wait, shared by tasks, cancelled, granted twice."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from random import Random
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest

from raftd.client import (
    AsyncClient,
    Client,
    Invalid,
    LockLost,
    NotAcquired,
    NotDone,
    OutcomeUnknown,
    Unavailable,
)
from raftd.client import operations as ops
from raftd.client.recipes.leases import LeaseKeeper
from raftd.client.txn import put
from tests.client.conftest import wait_until
from tests.client.fake_server import FakeCluster

Connect = Callable[..., Client]
SECONDS = 30.0


# -- no time to wait --------------------------------------------------------------------------


@pytest.mark.parametrize("timeout", [0, 1e-6, -1])
def test_a_lock_that_is_free_is_had_without_waiting(
    cluster: FakeCluster, connect: Connect, timeout: float
) -> None:
    """The time is for waiting behind others. It was for the messages, too: 0 never had any lock."""
    client, other = connect(cluster), connect(cluster)
    lock = client.lock("l")
    assert lock.acquire(timeout)
    with pytest.raises(NotAcquired), other.lock("l", timeout=timeout):
        pass
    assert other.lock("l").acquire(timeout) is None
    assert len(client.range("l/").kvs) == 1, "nothing is left of who gave up"
    lock.release()
    with other.lock("l", timeout=timeout) as owner:
        assert owner
    with client.election("e").campaign("me", timeout=timeout) as leadership:
        assert leadership
        with pytest.raises(NotAcquired):
            other.election("e").campaign("it", timeout=timeout)


def test_an_asyncio_lock_that_is_free_is_had_without_waiting(cluster: FakeCluster) -> None:
    async def main() -> None:
        async with AsyncClient(cluster.endpoints, random=Random(7)) as client:
            async with client.lock("l", timeout=0) as owner:
                assert owner
                assert await client.lock("l").acquire(0) is None
                with pytest.raises(NotAcquired):
                    async with client.lock("l", timeout=0):
                        pass
            with pytest.raises(Invalid, match="timeout nan"):
                await client.lock("l").acquire(float("nan"))

    asyncio.run(main())


@pytest.mark.parametrize("timeout", [float("nan"), float("inf"), 1e12, "5"])
def test_a_timeout_that_is_none(cluster: FakeCluster, connect: Connect, timeout: float) -> None:
    client = connect(cluster)
    with pytest.raises(Invalid, match="timeout"):
        client.lock("l").acquire(timeout)
    with pytest.raises(Invalid, match="timeout"), client.lock("l", timeout=timeout):
        pass
    with pytest.raises(Invalid, match="timeout"):
        client.election("e").campaign("me", timeout=timeout)
    assert not cluster.entries, "not even a lease was asked for"


def test_a_cluster_that_does_not_say_whose_turn_it_is(
    cluster: FakeCluster, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That others held the lock would be a lie."""
    client = connect(cluster, timeout=0.3)
    granted = client._callers.keep

    def keep(keeper: LeaseKeeper, ttl_s: int, timeout: float | None) -> None:
        granted(keeper, ttl_s, SECONDS)
        cluster.lead("nobody")

    monkeypatch.setattr("raftd.client.faces.held.GIVE_UP_SECONDS", 0.05)
    client._callers.keep = keep  # type: ignore[method-assign]
    with pytest.raises(Unavailable, match="whose turn"):
        client.lock("l").acquire(0)


# -- one lock object, several users -----------------------------------------------------------


def test_a_lock_object_is_acquired_once_at_a_time(cluster: FakeCluster, connect: Connect) -> None:
    """A second one whose time ran out made it forget the first one's hold, which then stayed."""
    client, other = connect(cluster), connect(cluster)
    blocker = other.lock("l")
    assert blocker.acquire()
    lock = client.lock("l")
    first = threading.Thread(target=lock.acquire)
    first.start()
    wait_until(lambda: len(client.range("l/").kvs) == 2, "the first one in the queue")
    with pytest.raises(Invalid, match="waits for it already"):
        lock.acquire(0.05)
    blocker.release()
    first.join(SECONDS)
    lock.release()
    with other.lock("l", timeout=SECONDS) as owner:
        assert owner


def test_an_asyncio_lock_object_is_acquired_once_at_a_time(cluster: FakeCluster) -> None:
    async def main() -> None:
        async with AsyncClient(cluster.endpoints, random=Random(7)) as client:
            lock = client.lock("l")
            first = asyncio.ensure_future(lock.acquire())
            await asyncio.sleep(0)
            with pytest.raises(Invalid, match="waits for it already"):
                await lock.acquire(0.05)
            assert await first
            await lock.release()
            blocker = client.lock("l")
            assert await blocker.acquire()
            cancelled = asyncio.ensure_future(lock.acquire())
            await asyncio.sleep(0.02)
            cancelled.cancel()
            with pytest.raises(asyncio.CancelledError):
                await cancelled
            await blocker.release()
            assert await lock.acquire(SECONDS), "after a cancelled attempt it is as new"

    asyncio.run(main())


def test_a_release_that_is_cancelled_goes_on(cluster: FakeCluster) -> None:
    """The next owner waited for the lease to run out: ttl_s, a minute here."""

    async def main() -> None:
        async with AsyncClient(cluster.endpoints, random=Random(7)) as client:
            for turns in range(4):
                lock = client.lock("l", ttl_s=60)
                assert await lock.acquire(0)
                releasing = asyncio.ensure_future(lock.release())
                for _ in range(turns):
                    await asyncio.sleep(0)
                releasing.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await releasing
                if turns:
                    async with client.lock("l", timeout=SECONDS) as owner:
                        assert owner
                else:
                    await lock.release()

    asyncio.run(main())


# -- leases -----------------------------------------------------------------------------------


def test_a_grant_that_is_cancelled_as_it_comes_is_not_kept_alive_for_ever(
    cluster: FakeCluster, beside: Client
) -> None:
    async def main() -> None:
        async with AsyncClient(cluster.endpoints, random=Random(7)) as client:
            await client.get("a")
            engine = client._callers._engine
            assert engine is not None
            lease = client.lease(1)
            granting = asyncio.ensure_future(_granted(lease))
            await asyncio.sleep(0)
            # This loop stands still while the other one has the lease granted.
            wait_until(lambda: bool(engine.residents), "the lease to be kept")
            granting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await granting
            wait_until(lambda: not engine.residents, "nothing to be kept alive")
            assert not lease
            assert await lease, "asked for again"

    async def _granted(lease: object) -> None:
        await lease  # type: ignore[misc]

    asyncio.run(main())


def test_a_lease_that_was_not_granted_is_not_said_to_be_at_the_second_time(
    cluster: FakeCluster,
) -> None:
    cluster.lead("nobody")

    async def main() -> None:
        async with AsyncClient(cluster.endpoints, random=Random(7)) as client:
            lease = client.lease(5, timeout=0.2)
            for _ in range(2):
                with pytest.raises(NotDone):
                    await lease
            cluster.lead("n1")
            lease._timeout = SECONDS
            both = await asyncio.gather(_granted(lease), _granted(lease))
            assert all(both)
            assert await client.txn(then=[put("s", "x", lease=lease.id)])
            await lease.revoke()
            assert not await client.get("s")

    async def _granted(lease: object) -> object:
        return await lease  # type: ignore[misc]

    asyncio.run(main())


def test_a_revoke_that_failed_can_be_asked_for_again(
    cluster: FakeCluster, connect: Connect
) -> None:
    """The second one said nothing and did nothing: the keys stayed until the time was over."""
    client = connect(cluster)
    lease = client.lease(60)
    client.put("s", "x", lease=lease.id)
    cluster.lead("nobody")
    with pytest.raises((Unavailable, OutcomeUnknown)):
        lease.revoke(timeout=0.1)
    cluster.lead("n1")
    lease.revoke()
    assert not client.get("s")
    entries = len(cluster.entries)
    lease.revoke()
    assert len(cluster.entries) == entries, "it has ended: nothing to be said"


def test_a_lease_that_was_given_up_is_not_lost_as_well(
    cluster: FakeCluster, connect: Connect
) -> None:
    client = connect(cluster)
    lost: list[str] = []
    lease = client.lease(1, on_lost=lost.append)
    lease.keeper.give_up("it was revoked")
    cluster.lead("nobody")
    wait_until(lambda: time.monotonic() > lease.keeper.deadline, "its end")
    wait_until(lambda: not client._callers._engine.residents, "its keeper to leave")  # type: ignore[union-attr]
    assert lost == []
    with pytest.raises(LockLost, match="revoked"):
        lease.check()


def test_a_renewal_is_due_from_the_last_one_on_however_often_a_process_forks() -> None:
    """After each fork the keeper began to wait anew, and never came to renew."""

    async def main() -> None:
        asked = asyncio.Event()

        async def run(*_: object) -> NoReturn:
            asked.set()
            raise Unavailable("nobody")

        engine: Any = SimpleNamespace(residents=set(), loop=asyncio.get_running_loop(), run=run)
        keeper = LeaseKeeper(1, lambda: 100.0, lambda _: None)
        keeper.ttl_s, keeper.deadline = 60, 139.0
        keeper.attach(engine)
        async with asyncio.timeout(5):
            await asked.wait()
        keeper.close()

    asyncio.run(main())


# -- whoever is told that it is lost ----------------------------------------------------------


def test_a_coroutine_function_is_told_of_a_loss(cluster: FakeCluster, connect: Connect) -> None:
    """asyncio programs write `async def on_lost`: it was called, and never ran."""
    lost: list[str] = []

    async def on_lost(why: str) -> None:
        await asyncio.sleep(0)
        lost.append(why)

    async def main() -> None:
        async with AsyncClient(cluster.endpoints, random=Random(7)) as client:
            lease = await client.lease(1, on_lost=on_lost)
            await client.execute(ops.lease_revoke(lease.id))
            deadline = time.monotonic() + SECONDS
            while not lost:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.01)

    asyncio.run(main())
    with pytest.raises(Invalid, match="on_lost: a coroutine function"):
        connect(cluster).lease(1, on_lost=on_lost)
    with pytest.raises(Invalid, match="on_lost: expected a function"):
        connect(cluster).lease(1, on_lost="x")  # type: ignore[arg-type]
