"""Making a long answer holds the network thread for a piece of it at a time, whoever asks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from typing import Any, cast

import pytest

from raftd._pb import etcd_pb2 as pb
from raftd.machine.kv.store import KvStore
from raftd.rpc.etcd.backend import Backend
from raftd.rpc.etcd.calls import ANYBODY
from raftd.rpc.etcd.header import Headers
from raftd.rpc.etcd.kv import KVService
from raftd.rpc.etcd.lease import LeaseService
from raftd.rpc.etcd.long_answers import LongAnswers
from raftd.rpc.etcd.maintenance import MaintenanceService
from raftd.wire import kv, leases
from raftd.wire.principal import NOBODY
from tests.rpc.fakes import FakeNode

KEYS = 1_500
PAIRS_A_TURN = 150


class Alone:
    """A backend without a cluster behind it; its answers are there at once."""

    def __init__(self, keys: int = KEYS) -> None:
        self.store = KvStore()
        for number in range(keys):
            self.store.apply(kv.encode_put(b"k%05d" % number, b"v"))

    async def read(self, query: bytes, serializable: bool, principal: bytes = NOBODY) -> bytes:
        return self.store.query(query)

    async def write(self, command: bytes, principal: bytes = NOBODY) -> bytes:
        return self.store.apply(command)


async def turns_of(work: Awaitable[Any]) -> tuple[int, Any]:
    """(turns of the loop while it was done, what it came to)."""
    turns, over = 0, False
    loop = asyncio.get_running_loop()

    def turn() -> None:
        nonlocal turns
        turns += 1
        if not over:
            loop.call_soon(turn)

    loop.call_soon(turn)
    result = await work
    over = True
    return turns, result


Calls = Callable[["Services"], Awaitable[Any]]


class Services:
    def __init__(self, keys: int = KEYS) -> None:
        node, backend = FakeNode("n1"), Alone(keys)
        headers, through = Headers(node), cast(Backend, backend)
        long = LongAnswers()
        self.kv = KVService(through, headers, long)
        self.leases = LeaseService(through, headers, lambda bits: 1, 2, long)
        whole = cast(Any, node), through, headers, backend.store, long
        self.maintenance = MaintenanceService(*whole)
        self.store = backend.store

    async def all(self) -> Any:
        request = pb.RangeRequest(key=b"\0", range_end=b"\0")
        return await self.kv.Range(request, ANYBODY)


async def _range(services: Services) -> None:
    answer = await services.all()
    assert [each.key for each in answer.kvs] == [b"k%05d" % number for number in range(KEYS)]


async def _txn(services: Services) -> None:
    get = pb.RequestOp(request_range=pb.RangeRequest(key=b"\0", range_end=b"\0"))
    answer = await services.kv.Txn(pb.TxnRequest(success=[get, get]), ANYBODY)
    assert [len(each.response_range.kvs) for each in answer.responses] == [KEYS, KEYS]


async def _delete(services: Services) -> None:
    request = pb.DeleteRangeRequest(key=b"\0", range_end=b"\0", prev_kv=True)
    answer = await services.kv.DeleteRange(request, ANYBODY)
    assert (answer.deleted, len(answer.prev_kvs)) == (KEYS, KEYS)


async def _hash(services: Services) -> None:
    assert (await services.maintenance.HashKV(pb.HashKVRequest(), ANYBODY)).hash


@pytest.mark.parametrize("calls", [_range, _txn, _delete, _hash])
def test_an_answer_of_many_keys_is_made_in_many_turns(calls: Calls) -> None:
    """The story without it: a plain list of 300,000 keys held a node's network thread for 2.8 s
    after the store had answered.
    """

    async def main() -> None:
        turns, _ = await turns_of(calls(Services()))
        assert turns >= KEYS // PAIRS_A_TURN

    asyncio.run(main())


def test_a_list_of_many_leases_is_made_in_many_turns() -> None:
    async def main() -> None:
        services = Services(0)
        for lease in range(1, KEYS + 1):
            services.store.apply(leases.encode_lease_grant(lease, 60))
        work = services.leases.LeaseLeases(pb.LeaseLeasesRequest(), ANYBODY)
        turns, answer = await turns_of(work)
        assert [each.ID for each in answer.leases] == list(range(1, KEYS + 1))
        assert turns >= KEYS // 1000

    asyncio.run(main())


def test_many_callers_cost_a_turn_no_more_than_one() -> None:
    """The story without it: 256 callers had a piece each in every turn of the loop."""

    async def main() -> None:
        services = Services()
        alone, _ = await turns_of(services.all())
        together, _ = await turns_of(asyncio.gather(*[services.all() for _ in range(20)]))
        assert together >= 15 * alone

    asyncio.run(main())


def test_answers_of_some_keys_take_turns_too() -> None:
    async def main() -> None:
        services = Services(100)
        turns, _ = await turns_of(asyncio.gather(*[services.all() for _ in range(50)]))
        assert turns >= 50

    asyncio.run(main())


def test_who_has_gone_holds_up_nobody() -> None:
    async def main() -> None:
        long = LongAnswers()

        def work() -> Generator[None, None, str]:
            for _ in range(10):
                yield
            return "made"

        tasks = [asyncio.ensure_future(long.made(work(), 1 << 20)) for _ in range(3)]
        await asyncio.sleep(0)
        tasks[1].cancel()
        async with asyncio.timeout(20):
            assert [await tasks[0], await tasks[2]] == ["made", "made"]
            assert await long.made(work(), 0) == "made"

    asyncio.run(main())
