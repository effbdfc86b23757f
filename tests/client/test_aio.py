"""The asyncio client, on the shared thread and on its caller's own loop."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from random import Random

import pytest

from raftd.client import (
    AsyncClient,
    BulkError,
    Client,
    Invalid,
    MachineError,
    NotDone,
    OutcomeUnknown,
    Overloaded,
)
from raftd.client.delivery.event_loop import shared_thread
from raftd.wire import kv
from tests.client.fake_server import FakeCluster
from tests.client.faults import Fault

OWN_LOOP = """
import asyncio
from tests.client.fake_server import FakeCluster, Tally
from tests.client.faults import Fault
from raftd.client import AsyncClient, Client
from raftd.client.delivery import event_loop

async def work(cluster, own):
    async with AsyncClient(cluster.endpoints, attempt_timeout=0.25) as client:
        assert (client._callers._batcher is None) == own, client._callers._batcher
        answers = await asyncio.gather(*(client.submit(b"%d" % n) for n in range(200)))
        assert len(set(answers)) == 200
        assert cluster.nodes["n1"].frames < 50, cluster.nodes["n1"].frames
        await client.submit_many([b"bulk%d" % n for n in range(3000)])
        cluster.nodes["n1"].faults.append(Fault.DROP_AFTER)
        await client.submit(b"dropped")
        assert await client.query(b"") == b"3201"
        async with AsyncClient(cluster.endpoints) as second:
            await second.submit(b"second")
        assert (await client.status()).node_id == "n1"

for own in (True, True, False):
    with FakeCluster(machine=Tally()) as cluster:
        if not own:
            event_loop.shared_thread()
        asyncio.run(work(cluster, own))
        assert len(set(cluster.executed())) == len(cluster.executed()) == 3202
with FakeCluster(machine=Tally()) as cluster, Client(cluster.endpoints) as client:
    client.submit(b"x")
print("fine")
"""


@pytest.fixture(autouse=True)
def thread() -> None:
    """Other tests of this process use the thread, so these ride on it in any order."""
    shared_thread()


def run(cluster: FakeCluster, body: Callable[[AsyncClient], Awaitable[None]]) -> None:
    async def main() -> None:
        client = AsyncClient(
            cluster.endpoints, attempt_timeout=0.25, random=Random(3), queue_commands_max=2000
        )
        async with client:
            await asyncio.wait_for(body(client), 20)

    asyncio.run(main())


def test_on_the_callers_own_loop_and_beside_a_blocking_client() -> None:
    """In a process of its own: which loop it gets depends on what the process did before."""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", OWN_LOOP],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "fine\n"), done.stderr
    assert "Traceback" not in done.stderr
    assert "Error" not in done.stderr


def test_the_store(cluster: FakeCluster) -> None:
    async def body(client: AsyncClient) -> None:
        assert await client.put(b"a", b"1") == kv.PutResult(2, 1)
        assert (await client.get(b"a")).kv == kv.KeyValue(b"a", b"1", 2, 2, 1)
        assert (await client.get(b"a", consistency="stale")).revision == 2
        assert (await client.cas(b"a", None, kv.expect_version(1))).succeeded
        assert (await client.batch([(b"b", b"x")])).versions == [1]
        assert len((await client.range()).kvs) == 1
        assert (await client.delete(b"b")).deleted
        assert len(await client.put_many([(b"%d" % n, b"v") for n in range(5000)])) == 5000
        assert (await client.status()).node_id == "n1"
        assert await client.health()
        assert (await client.digest()).digest == b"\x01\x02"
        with pytest.raises(Invalid):
            await client.put(b"", b"")

    run(cluster, body)


def test_many_tasks_share_frames(tally: FakeCluster) -> None:
    async def body(client: AsyncClient) -> None:
        commands = [b"%d" % number for number in range(1000)]
        answers = await asyncio.gather(*map(client.submit, commands))
        assert [answer.partition(b":")[2] for answer in answers] == commands
        assert tally.nodes["n1"].frames < 50
        with pytest.raises(MachineError):
            await client.submit(b"bad")
        with pytest.raises(BulkError):
            await client.submit_many([b"bad", b"good"])

    run(tally, body)


def test_deadlines_and_cancelling(tally: FakeCluster) -> None:
    async def body(client: AsyncClient) -> None:
        await client.submit(b"one")
        tally.nodes["n1"].faults.append(Fault.HANG_BEFORE)
        with pytest.raises(OutcomeUnknown):
            await client.submit(b"two", timeout=0.1)
        tally.nodes["n1"].faults.append(Fault.HANG_BEFORE)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.submit(b"three"), 0.1)
        await client.submit(b"four")
        assert tally.executed() == [b"one", b"four"]
        assert tally.floors()[-1] >= 2

    run(tally, body)


def test_nobody_there(tally: FakeCluster) -> None:
    tally.lead("nobody")

    async def body(client: AsyncClient) -> None:
        with pytest.raises(NotDone):
            await client.submit(b"x", timeout=0.2)
        with pytest.raises(NotDone):
            await client.query(b"x", timeout=0.2)

    run(tally, body)


def test_back_pressure(tally: FakeCluster) -> None:
    async def body(client: AsyncClient) -> None:
        await client.submit(b"warm")
        tally.nodes["n1"].faults.append(Fault.HANG_BEFORE)
        full = asyncio.ensure_future(client.submit_many([b"%d" % n for n in range(2000)]))
        while client._callers._room._commands < 1500:
            await asyncio.sleep(0.001)
        with pytest.raises(Overloaded):
            await client.submit(b"late", timeout=0.1)
        await client.submit(b"later")
        await full

    run(tally, body)


def test_the_end(tally: FakeCluster) -> None:
    kept: list[AsyncClient] = []

    async def body(client: AsyncClient) -> None:
        kept.append(client)
        await client.submit(b"x")
        tally.nodes["n1"].faults.append(Fault.HANG_BEFORE)
        waiting = asyncio.ensure_future(client.submit(b"y", timeout=20.0))
        while tally.nodes["n1"].faults:
            await asyncio.sleep(0.005)
        await client.close()
        with pytest.raises(OutcomeUnknown, match="closed"):
            await waiting
        with pytest.raises(NotDone, match="closed"):
            await client.submit(b"z")

    run(tally, body)

    async def elsewhere() -> None:
        await kept[0].submit(b"w")

    with pytest.raises((NotDone, RuntimeError), match=r"closed|another event loop"):
        asyncio.run(elsewhere())


@pytest.fixture
def beside(tally: FakeCluster) -> Iterator[Client]:
    with Client(tally.endpoints) as client:
        yield client


def test_beside_a_blocking_client(tally: FakeCluster, beside: Client) -> None:
    async def body(client: AsyncClient) -> None:
        await client.submit(b"one")
        await asyncio.to_thread(beside.submit, b"two")
        assert await client.query(b"") == b"2"

    run(tally, body)
