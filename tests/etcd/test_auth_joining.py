"""A member that was away while auth was switched on: whom does it serve while it catches up?"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from harness.nodes import config_text, make_nodes, wait_until
from raftd._pb import etcd_pb2 as pb
from raftd.client import Client
from tests.etcd.client import EtcdClient, Failed
from tests.etcd.servers import raftd_cluster
from tests.etcd.test_auth import EMPTY, PASSWORD, SECONDS, _set_up

pytestmark = [pytest.mark.cluster, pytest.mark.long]

PUTS, PUT_BYTES = 100, 500_000
"""So much takes a moment to arrive: the answers of that moment are what is looked at."""


def test_nobody_reads_there_before_it_knows_of_the_users(tmp_path: Path) -> None:
    """It learns first what was put, and 50 MB later that nobody may read it."""
    with raftd_cluster(tmp_path, 3) as raftd:
        away = next(node for node in raftd.nodes if node is not raftd.leader())
        there = [node.client_address for node in raftd.nodes if node is not away]
        assert away.stop() == 0
        with Client(",".join(there), timeout=30) as client:
            client.put("s/0", "secret")
            for number in range(PUTS):
                client.put(f"large/{number}", bytes(PUT_BYTES))
        asyncio.run(_switch_on(there))
        away.start()
        answers = asyncio.run(_asked(away.client_address))
        assert answers[-1] == EMPTY
        assert not [answer for answer in answers if getattr(answer, "kvs", None)]


async def _switch_on(addresses: list[str]) -> None:
    clients = [EtcdClient(address) for address in addresses]
    try:
        async with asyncio.timeout(SECONDS):
            await _set_up(clients)
    finally:
        for client in clients:
            await client.close()


async def _asked(address: str) -> list[Any]:
    """What nobody in particular is told, from the first answer until auth is known to be on."""
    await _opened(address)  # gRPC would wait a second before it tries again
    client = EtcdClient(address)
    answers: list[Any] = []
    request = pb.RangeRequest(key=b"s/0", serializable=True)
    try:
        async with asyncio.timeout(SECONDS):
            while not answers or answers[-1] != EMPTY:
                answer = await client.call("KV", "Range", request, ())
                if not isinstance(answer, Failed) or answer == EMPTY:
                    answers.append(answer)
    finally:
        await client.close()
    return answers


async def _opened(address: str) -> None:
    host, _, port = address.rpartition(":")
    async with asyncio.timeout(SECONDS):
        while True:
            try:
                _, writer = await asyncio.open_connection(host, int(port))
            except OSError:
                await asyncio.sleep(0.001)
            else:
                writer.close()
                return


def test_a_node_that_joins_says_what_root_has_to_type(tmp_path: Path) -> None:
    """It has no name to ask under: its log said that its user name was empty, and no more."""
    with raftd_cluster(tmp_path, 1) as raftd:
        seed = raftd.nodes[0].client_address
        asyncio.run(_switch_on([seed]))
        (joins,) = make_nodes(tmp_path / "joins", ["n4"])
        joins.directory.mkdir(parents=True)
        joins.config_path.write_text(config_text(joins, [joins], {"join": seed}))
        joins.start()
        try:
            nodes = [*raftd.nodes, joins]
            peer = f"127.0.0.1:{joins.ports.peer}"
            command = f"as an operator: raftctl member add n4 --peer {peer}"
            wait_until(lambda: command in joins.log_path.read_text(), 30, "the command", nodes)
            with Client(seed, timeout=30, user="root", password=PASSWORD) as root:
                root.change_member("add", "n4", peer)
                wait_until(
                    lambda: any(known.id == "n4" for known in root.status(seed).peers),
                    30, "n4 to be in", nodes,
                )  # fmt: skip
        finally:
            joins.kill()
