"""Who is let in at a client port with TLS, a list of revoked certificates, users and roles; and
that no secret is in the log, whatever its level.
"""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from harness.certificates import certificates, hand_out
from harness.cluster import Cluster
from harness.nodes import Node
from raftd._pb import etcd_pb2 as pb
from raftd.tls.certs import Authority
from tests.etcd.client import EtcdClient, Failed

pytestmark = [pytest.mark.cluster, pytest.mark.long]

PASSWORD, SECRET = "correct horse battery", "what all nodes of this cluster share"
DENIED = Failed("PERMISSION_DENIED", "etcdserver: permission denied")
DAY = datetime.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Guarded:
    """A node that serves, and where its authority keeps its files."""

    node: Node
    home: Path
    strange: Path

    def client(self, name: str = "", home: Path | None = None) -> EtcdClient:
        """name: of the certificate; empty: none. home: whose it is."""
        files = [(home or self.home) / f"{name}.{end}" for end in ("key", "crt")] if name else []
        key, certificate = [file.read_bytes() for file in files] or (None, None)
        ca = (self.home / "ca.crt").read_bytes()
        credentials = grpc.ssl_channel_credentials(ca, key, certificate)
        return EtcdClient(self.node.client_address, credentials)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    base = tmp_path_factory.mktemp("guarded")
    home, strange = base / "tls", base / "strange"
    now = datetime.datetime.now(datetime.UTC)
    cluster = Cluster(base, 1)
    (node,) = cluster.nodes
    files = certificates(home, cluster.nodes)
    authority = Authority.load(home)
    for user in ("alice", "mallory"):
        authority.client(home, user, now, DAY)
    authority.client(home, "late", now - 2 * DAY, DAY)
    authority.revoke(home, ["mallory"], now)
    Authority.make(strange, now).client(strange, "alice", now, DAY)
    own = {"client_crl": str(home / "ca.crl"), "cluster_secret_file": "secret"}
    cluster.configure({**files, **own, "log_format": "json", "log_level": "debug"})
    hand_out(home, cluster.nodes)
    secret = node.directory / "secret"
    secret.touch(mode=0o600)
    secret.write_text(SECRET)
    try:
        cluster.start()
        yield Guarded(node, home, strange)
    finally:
        cluster.close()


async def put(client: EtcdClient, key: bytes, shown: Any = (), seconds: float = 20) -> Any:
    request = pb.PutRequest(key=key, value=b"v")
    return await client.call("KV", "Put", request, shown, timeout=seconds)


async def get(client: EtcdClient, key: bytes, shown: Any = ()) -> Any:
    return await client.call("KV", "Range", pb.RangeRequest(key=key), shown)


def test_only_a_certificate_that_counts_is_let_in(guarded: Guarded) -> None:
    """grpcio retries a refused handshake until the call's deadline: nothing was done then."""

    async def test() -> None:
        alice = guarded.client("alice")
        assert not isinstance(await put(alice, b"k"), Failed)
        refused = {
            "revoked": guarded.client("mallory"),
            "expired": guarded.client("late"),
            "another authority's": guarded.client("alice", guarded.strange),
            "none": guarded.client(),
            "plain text": EtcdClient(guarded.node.client_address),
        }
        for why, client in refused.items():
            answer = await put(client, b"stranger", seconds=1.0)
            assert isinstance(answer, Failed), f"{why}: let in"
            assert answer.code in ("UNAVAILABLE", "DEADLINE_EXCEEDED"), why
        assert (await get(alice, b"stranger")).count == 0
        for client in (alice, *refused.values()):
            await client.close()

    asyncio.run(test())


async def set_up(client: EtcdClient) -> None:
    """reader may read below `a/` and not write, writer the other way round."""

    async def ask(call: str, request: Any) -> None:
        answer = await client.call("Auth", call, request)
        assert not isinstance(answer, Failed), (call, answer)

    for user, role in (("root", "root"), ("reader", "reads"), ("writer", "writes")):
        await ask("UserAdd", pb.AuthUserAddRequest(name=user, password=PASSWORD))
        if role != "root":
            await ask("RoleAdd", pb.AuthRoleAddRequest(name=role))
        await ask("UserGrantRole", pb.AuthUserGrantRoleRequest(user=user, role=role))
    for role, kind in (("reads", pb.Permission.READ), ("writes", pb.Permission.WRITE)):
        allowed = pb.Permission(permType=kind, key=b"a/", range_end=b"a0")
        granted = pb.AuthRoleGrantPermissionRequest(name=role, perm=allowed)
        await ask("RoleGrantPermission", granted)
    await ask("AuthEnable", pb.AuthEnableRequest())


async def token(client: EtcdClient, user: str) -> str:
    request = pb.AuthenticateRequest(name=user, password=PASSWORD)
    answer = await client.call("Auth", "Authenticate", request)
    assert not isinstance(answer, Failed), answer
    return str(answer.token)


def test_a_role_gives_what_it_names_and_no_secret_is_in_the_log(guarded: Guarded) -> None:
    async def test() -> list[str]:
        alice = guarded.client("alice")
        await set_up(alice)
        tokens = [await token(alice, user) for user in ("reader", "writer", "root")]
        reader, writer, root = [(("token", shown),) for shown in tokens]
        assert not isinstance(await put(alice, b"a/1", writer), Failed)
        assert await get(alice, b"a/1", writer) == DENIED
        assert (await get(alice, b"a/1", reader)).count == 1
        assert await put(alice, b"a/1", reader) == DENIED
        for user in (reader, writer):
            assert await put(alice, b"b", user) == DENIED
            assert await get(alice, b"b", user) == DENIED
        assert not isinstance(await put(alice, b"b", root), Failed)
        forged = await put(alice, b"b", (("token", tokens[0] + "x"),))
        assert forged == Failed("UNAUTHENTICATED", "etcdserver: invalid auth token")
        await alice.close()
        return tokens

    tokens = asyncio.run(test())
    log = guarded.node.log_path.read_text()
    assert '"level": "debug"' in log or '"level":"debug"' in log, "the level is not debug"
    key = (guarded.node.directory / "node.key").read_text().split("\n")[1]
    for secret in (*tokens, PASSWORD, SECRET, key):
        assert secret not in log
