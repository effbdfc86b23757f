"""A node that was started again believes nobody before it knows again who may do what."""

from __future__ import annotations

import asyncio

import pytest

from raftd._pb import etcd_pb2 as pb
from raftd.cli.raftctl_why import look
from raftd.client import Client, Unavailable
from raftd.rpc.clients.passwords import SALT_BYTES, make
from raftd.wire import auth
from tests.cluster.conftest import MakeCluster
from tests.etcd.client import EtcdClient, Failed

PASSWORD = "horse"
pytestmark = [pytest.mark.cluster, pytest.mark.long]


def test_auth_that_was_switched_on_after_the_snapshot_holds_before_it_is_replayed(
    make_cluster: MakeCluster,
) -> None:
    cluster = make_cluster(2)
    cluster.start()
    alone, other = cluster.nodes
    kind = auth.Kind
    with cluster.client(None, timeout=20) as client:
        client.put("secret", "1")
        client.snapshot(alone.client_address)
        for command in (
            auth.encode_auth(kind.USER_ADD, b"root", make(PASSWORD, bytes(SALT_BYTES))),
            auth.encode_auth(kind.USER_GRANT, b"root", b"root"),
            auth.encode_auth(kind.ENABLE, bytes(auth.SECRET_BYTES)),
        ):
            client.submit(command)
    alone.kill()
    other.kill()
    alone.start()
    answer = asyncio.run(_read_as_etcd_does(alone.client_address))
    assert isinstance(answer, Failed), answer
    assert answer.code == "UNAVAILABLE"
    with Client([alone.client_address], timeout=1) as stranger:
        for ask in (
            lambda: stranger.get("secret", consistency="stale"),
            lambda: stranger.snapshot(alone.client_address),
            lambda: stranger.digest(alone.client_address),
        ):
            with pytest.raises(Unavailable, match="users and roles"):
                ask()
    for user, password in (("", ""), ("root", PASSWORD)):
        _asks_why(alone.client_address, user, password)
    other.start()
    answer = asyncio.run(_read_as_etcd_does(alone.client_address, 20))
    assert answer == Failed("INVALID_ARGUMENT", "etcdserver: user name is empty")


def _asks_why(address: str, user: str, password: str) -> None:
    """Whoever sits at the node that is left: with or without a name, it has to believe nobody."""
    with Client([address], timeout=1, user=user, password=password) as client:
        well, sentences = look(client)
        assert not well
        text = "\n".join(sentences)
        assert "There is no majority: only" in text
        assert "raftd recover" in text
        with pytest.raises(Unavailable, match="users and roles"):
            client.get("secret", consistency="stale")
        with pytest.raises(Unavailable, match="users and roles"):
            client.put("secret", "2")


async def _read_as_etcd_does(address: str, seconds: float = 0) -> object:
    """What a stranger is answered; for so long again while it is UNAVAILABLE."""
    client = EtcdClient(address)
    request = pb.RangeRequest(key=b"secret", serializable=True)
    until = asyncio.get_running_loop().time() + seconds
    try:
        while True:
            answer: object = await client.call("KV", "Range", request)
            waits = isinstance(answer, Failed) and answer.code == "UNAVAILABLE"
            if not waits or asyncio.get_running_loop().time() >= until:
                return answer
            await asyncio.sleep(0.1)
    finally:
        await client.close()
