"""Transactions: they read well, and are done once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random

import pytest

from raftd.client import AsyncClient, Client, Compacted, Invalid, MachineError
from raftd.client.txn import (
    DeleteAnswer,
    RangeAnswer,
    absent,
    create_revision,
    delete,
    delete_prefix,
    exists,
    get,
    get_prefix,
    lease,
    mod_revision,
    nested,
    put,
    value,
    version,
)
from raftd.wire import batch
from tests.client.fake_server import FakeCluster
from tests.client.faults import Fault

Connect = Callable[..., Client]


def test_compare_then_else(cluster: FakeCluster, connect: Connect) -> None:
    client = connect(cluster)
    client.put("a", "1")
    done = client.txn(
        when=[value("a") == "1", version("a") > 0, exists("a"), absent("b")],
        then=[put("a", "2"), get("a"), put("b", b"3")],
        otherwise=[get("a")],
    )
    assert done
    assert done.revision == 3
    read = done.responses[1]
    assert isinstance(read, RangeAnswer)
    assert read.kvs[0].value == b"2", "a read sees what was written before it"
    refused = client.txn(when=[value("a") == "1"], then=[put("a", "9")], otherwise=[get("a")])
    assert not refused
    assert isinstance(refused.responses[0], RangeAnswer)
    assert client.get("a").kv.value == b"2"  # type: ignore[union-attr]


def test_every_compare(cluster: FakeCluster, connect: Connect) -> None:
    client = connect(cluster)
    client.put("a", "m")
    client.put("a", "m")
    for yes in (
        value("a") == "m", value("a") != "n", value("a") > "l", value("a") < "n",
        version("a") == 2, version("a") != 3, version("a") < 3, version("a") > 1,
        create_revision("a") == 2, mod_revision("a") == 3, lease("a") == 0, version("none") == 0,
    ):  # fmt: skip
        assert client.txn(when=[yes]), yes
    for no in (value("none") == "", value("a") == "n", mod_revision("a") > 3, lease("a") > 0):
        assert not client.txn(when=[no]), no


def test_ranges_and_nesting(cluster: FakeCluster, connect: Connect) -> None:
    client = connect(cluster)
    client.put_many((f"k{number}", "x") for number in range(5))
    done = client.txn(
        then=[
            get_prefix("k", limit=2),
            nested(when=[exists("k1")], then=[delete("k1", prev_kv=True)]),
            delete_prefix("k"),
            get_prefix(""),
        ]
    )
    first, inner, rest, nothing = done.responses
    assert isinstance(first, RangeAnswer)
    assert (len(first.kvs), first.more, first.total) == (2, True, 5)
    assert inner
    assert isinstance(rest, DeleteAnswer)
    assert rest.deleted == 4
    assert nothing == RangeAnswer([], False, 0)
    past = client.txn(then=[get("k1", revision=4)]).responses[0]
    assert isinstance(past, RangeAnswer)
    assert past.kvs[0].mod_revision == 3


def test_a_put_with_a_lease_and_a_read_of_the_past(cluster: FakeCluster, connect: Connect) -> None:
    client = connect(cluster)
    client.put("a", "1")
    with client.lease(5) as held:
        assert client.put("a", "2", lease=held.id) == (3, 2)
        assert client.get("a", revision=2).kv.value == b"1"  # type: ignore[union-attr]
        assert client.get("a", revision=3).kv.lease == held.id  # type: ignore[union-attr]
    assert not client.get("a")
    assert not client.get("none", revision=2)
    with pytest.raises(MachineError, match="future revision"):
        client.get("a", revision=99)
    client.compact(3)
    with pytest.raises(Compacted, match="has been compacted"):
        client.get("a", revision=2)


def test_what_only_reads_costs_no_entry(cluster: FakeCluster, connect: Connect) -> None:
    client = connect(cluster)
    client.put("a", "1")
    entries = len(cluster.entries)
    assert client.txn(then=[get("a")])
    assert len(cluster.entries) == entries


@pytest.mark.parametrize("fault", [Fault.DROP_AFTER, Fault.UNKNOWN_AFTER, Fault.HANG_AFTER])
def test_a_transaction_is_done_once(cluster: FakeCluster, connect: Connect, fault: Fault) -> None:
    """A second time it would not be true any more: the answer is the first's."""
    client = connect(cluster)
    client.put("a", "1")
    cluster.nodes["n1"].faults.append(fault)
    done = client.txn(when=[version("a") == 1], then=[put("a", "2")])
    assert done
    assert done.revision == 3
    assert client.get("a").kv.version == 2  # type: ignore[union-attr]
    sent = [entry for entry in cluster.entries if entry.kind == batch.IN_SESSION]
    assert len(sent) == 3, "it was sent twice"


def test_what_is_wrong_is_said(cluster: FakeCluster, connect: Connect) -> None:
    client = connect(cluster)
    with pytest.raises(Invalid, match="duplicate key given in txn request"):
        client.txn(then=[put("a", "1"), put("a", "2")])
    with pytest.raises(Invalid, match="key"):
        put(3, "x")  # type: ignore[arg-type]
    with pytest.raises(MachineError, match="requested lease not found"):
        client.txn(then=[put("a", "1", lease=77)])
    assert not client.get("a")


def test_asyncio(cluster: FakeCluster) -> None:
    async def main() -> None:
        async with AsyncClient(cluster.endpoints, random=Random(7)) as client:
            assert await client.txn(when=[absent("a")], then=[put("a", "1")])
            assert not await client.txn(when=[absent("a")], then=[put("a", "1")])
            assert (await client.compact(2)).compacted == 2

    asyncio.run(main())
