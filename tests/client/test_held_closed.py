"""A client that is closed gives back what it holds: nobody waits for a whole time to live."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

import pytest

from raftd.client import AsyncClient, Client, LockLost, NotDone
from raftd.client.recipes import leases
from raftd.client.txn import put
from tests.client.conftest import wait_until
from tests.client.fake_server import FakeCluster
from tests.client.test_processes import run_program

Connect = Callable[..., Client]
TTL_S = 3600
"""Nothing here ends by itself."""
CLOSE_SECONDS_MAX = leases.GIVE_UP_SECONDS + 10.0
"""Wide: for a machine that is busy."""


def keys(client: Client) -> list[bytes]:
    return [found.key for found in client.range("held/").kvs]


def test_what_a_client_holds_ends_with_it(cluster: FakeCluster, connect: Connect) -> None:
    other = connect(cluster)
    lost: list[str] = []
    with Client(cluster.endpoints) as client:
        lease = client.lease(TTL_S, on_lost=lost.append)
        client.put("held/lease", "1", lease=lease.id)
        lock = client.lock("held/lock", TTL_S, on_lost=lost.append)
        owner = lock.acquire()
        leadership = client.election("held/lead", TTL_S, on_lost=lost.append).campaign("me")
        assert owner
        assert len(keys(other)) == 3
    assert keys(other) == []
    assert not any((lease, owner, leadership))
    assert lost == [], "we ended it ourselves"
    lease.revoke()
    lock.release()
    leadership.resign()


def test_who_waits_has_the_lock_when_its_owner_closes(
    cluster: FakeCluster, connect: Connect
) -> None:
    client, other = connect(cluster), connect(cluster)
    assert client.lock("l", TTL_S).acquire()
    had: list[bool] = []
    waiting = threading.Thread(target=lambda: had.append(bool(other.lock("l").acquire())))
    waiting.start()
    wait_until(lambda: len(other.range("l/").kvs) == 2, "the second in the queue")
    client.close()
    waiting.join(30.0)
    assert had == [True]


def test_who_waits_for_a_lock_and_is_closed_leaves_the_queue(
    cluster: FakeCluster, connect: Connect
) -> None:
    client, other = connect(cluster), connect(cluster)
    assert other.lock("l").acquire()
    ended: list[Exception] = []

    def wait() -> None:
        try:
            client.lock("l", TTL_S).acquire()
        except (LockLost, NotDone) as error:
            ended.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    wait_until(lambda: len(other.range("l/").kvs) == 2, "the second in the queue")
    client.close()
    waiting.join(30.0)
    assert len(ended) == 1
    assert len(other.range("l/").kvs) == 1


@pytest.mark.parametrize("riding", [False, True])
def test_the_same_with_coroutines(cluster: FakeCluster, connect: Connect, riding: bool) -> None:
    """riding: on the blocking clients' thread."""
    if riding:
        connect(cluster).get("a")

    async def main() -> None:
        async with AsyncClient(cluster.endpoints) as client:
            lease = await client.lease(TTL_S)
            await client.txn(then=[put("held/lease", "1", lease=lease.id)])
            owner = await client.lock("held/lock", TTL_S).acquire()
            leadership = await client.election("held/lead", TTL_S).campaign("me")
            assert len((await client.range("held/")).kvs) == 3
        assert not any((lease, owner, leadership))
        await lease.revoke()

    asyncio.run(main())
    assert keys(connect(cluster)) == []


def test_a_close_that_is_cancelled_goes_on(cluster: FakeCluster, connect: Connect) -> None:
    async def main() -> None:
        client = AsyncClient(cluster.endpoints)
        assert await client.lock("held/lock", TTL_S).acquire()
        closing = asyncio.ensure_future(client.close())
        await asyncio.sleep(0)
        closing.cancel()
        other = AsyncClient(cluster.endpoints)
        async with asyncio.timeout(30.0), other.lock("held/lock"):
            pass
        await other.close()

    asyncio.run(main())
    assert keys(connect(cluster)) == []


@pytest.mark.parametrize("how", ["leaderless", "silent", "gone"])
def test_no_cluster_answers(cluster: FakeCluster, how: str) -> None:
    """It is over soon all the same, without a word."""
    client = Client(cluster.endpoints, timeout=60.0)
    owner = client.lock("l", TTL_S).acquire()
    assert owner
    answer = threading.Event()
    if how == "leaderless":
        cluster.lead("nobody")
    for node in cluster.nodes.values():
        if how == "silent":
            node.delay = answer.wait
        if how == "gone":
            node.stop()
    began = time.monotonic()
    client.close()
    assert time.monotonic() - began < CLOSE_SECONDS_MAX
    answer.set()
    assert not owner
    with pytest.raises(NotDone, match="closed"):
        client.get("a")


FORKS = {
    "a child closes its parent's client": """
        client.lock("l", 3600).acquire()
        in_child(client.close)
        print(len(client.range("l/").kvs))
    """,
    "a child closes it while its parent is in a call": """
        client.lock("l", 3600).acquire()
        def load():
            while True:
                client.put("load", "x")
        threading.Thread(target=load, daemon=True).start()
        for _ in range(10):
            in_child(client.close)
        print(len(client.range("l/").kvs))
    """,
    "a child leaves its parent's block": """
        import asyncio
        from raftd.client import AsyncClient
        async def main():
            async with AsyncClient(sys.argv[1]) as other:
                await other.lock("l", 3600).acquire()
                pid = os.fork()
                if not pid:
                    try:
                        await other.close()
                    finally:
                        os._exit(0)
                assert os.waitpid(pid, 0)[1] == 0
                print(len((await other.range("l/")).kvs))
        asyncio.run(main())
    """,
}


@pytest.mark.parametrize("name", FORKS)
def test_a_forked_child_ends_nothing_of_its_parents(cluster: FakeCluster, name: str) -> None:
    assert run_program(cluster, FORKS[name])[:2] == (0, "1\n")
