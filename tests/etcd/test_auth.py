"""Users and roles on three real nodes: tokens anywhere, through kills and restarts."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.nodes import wait_until, whole_lines
from raftd._pb import etcd_pb2 as pb
from raftd.client import Client, Invalid, NotAllowed
from raftd.client.delivery.nodes import NodeStatus, status_at
from tests.etcd.client import EtcdClient, Failed
from tests.etcd.servers import Raftd, raftd_cluster

pytestmark = [pytest.mark.cluster, pytest.mark.long]

PASSWORD, OTHER = "correct horse battery", "staple"
SECONDS = 60.0
DENIED = Failed("PERMISSION_DENIED", "etcdserver: permission denied")
EMPTY = Failed("INVALID_ARGUMENT", "etcdserver: user name is empty")
INVALID = Failed("UNAUTHENTICATED", "etcdserver: invalid auth token")


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Raftd]:
    """root may do everything, ann reads and writes below `a/`."""
    with raftd_cluster(tmp_path_factory.mktemp("secured"), 3) as raftd:
        run(raftd, _set_up)
        yield raftd


def run(raftd: Raftd, test: Callable[[list[EtcdClient]], Awaitable[None]]) -> None:
    async def whole() -> None:
        clients = [EtcdClient(address) for address in raftd.addresses]
        try:
            async with asyncio.timeout(SECONDS):
                await test(clients)
        finally:
            for client in clients:
                await client.close()

    asyncio.run(whole())


async def auth(client: EtcdClient, call: str, shown: Any = (), /, **fields: Any) -> Any:
    known = {"AuthEnable", "AuthDisable", "AuthStatus", "Authenticate"}
    kind = getattr(pb, ("" if call in known else "Auth") + call + "Request")
    return await client.call("Auth", call, kind(**fields), shown)


async def token(client: EtcdClient, user: str, password: str = PASSWORD) -> Any:
    """As metadata."""
    answer = await auth(client, "Authenticate", name=user, password=password)
    assert not isinstance(answer, Failed), answer
    return (("token", answer.token),)


async def put(client: EtcdClient, key: bytes, shown: Any = ()) -> Any:
    return await client.call("KV", "Put", pb.PutRequest(key=key, value=b"v"), shown)


async def get(client: EtcdClient, key: bytes, shown: Any = ()) -> Any:
    return await client.call("KV", "Range", pb.RangeRequest(key=key), shown)


async def _set_up(clients: list[EtcdClient]) -> None:
    one = clients[0]
    everything = pb.Permission(permType=pb.Permission.READWRITE, key=b"a/", range_end=b"a0")
    for name, fields in (
        ("UserAdd", {"name": "root", "password": PASSWORD}),
        ("UserAdd", {"name": "ann", "password": PASSWORD}),
        ("UserGrantRole", {"user": "root", "role": "root"}),
        ("RoleAdd", {"name": "web"}),
        ("RoleGrantPermission", {"name": "web", "perm": everything}),
        ("UserGrantRole", {"user": "ann", "role": "web"}),
        ("AuthEnable", {}),
    ):
        answer = await auth(one, name, **fields)
        assert not isinstance(answer, Failed), (name, answer)
    for client in clients:  # linearizable, so behind the switch
        assert await get(client, b"a/") == EMPTY


def test_a_token_serves_at_every_member_and_for_what_it_may(secured: Raftd) -> None:
    async def test(clients: list[EtcdClient]) -> None:
        shown = await token(clients[0], "ann")
        for client in clients:
            assert not isinstance(await put(client, b"a/1", shown), Failed)
            assert (await get(client, b"a/1", shown)).kvs[0].value == b"v"
            assert await put(client, b"b", shown) == DENIED
            assert await get(client, b"b", shown) == DENIED
            assert await put(client, b"a/1") == EMPTY
            assert await put(client, b"a/1", (("token", "ann.7"),)) == INVALID
        status = await clients[1].call("Maintenance", "Status", pb.StatusRequest(), shown)
        assert status == DENIED
        listed = await clients[1].call("Cluster", "MemberList", pb.MemberListRequest())
        assert len(listed.members) == 3, "whoever wants to log in has to find the members"
        root = await token(clients[2], "root")
        status = await clients[1].call("Maintenance", "Status", pb.StatusRequest(), root)
        assert not isinstance(status, Failed)
        told = await auth(clients[1], "AuthStatus", root)
        assert told.enabled
        assert told.authRevision > 5

    run(secured, test)


def test_the_gateway_asks_too(secured: Raftd) -> None:
    def ask(path: str, body: object, shown: str = "") -> tuple[int, dict[str, Any]]:
        request = urllib.request.Request(
            f"http://{secured.gateways[1]}/v3/{path}",
            json.dumps(body).encode(),
            {"Authorization": shown} if shown else {},
        )
        try:
            with urllib.request.urlopen(request, timeout=SECONDS) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    status, answer = ask("auth/authenticate", {"name": "ann", "password": PASSWORD})
    assert status == 200
    shown = answer["token"]
    assert ask("kv/put", {"key": "YS94", "value": "MQ=="}, shown)[0] == 200
    assert ask("kv/put", {"key": "Yg==", "value": "MQ=="}, shown)[0] == 403
    assert ask("kv/put", {"key": "YS94", "value": "MQ=="}) == (
        400,
        {"error": EMPTY.text, "message": EMPTY.text, "code": 3},
    )
    assert ask("kv/range", {"key": "YS94"}, "nonsense")[0] == 401
    assert ask("auth/user/list", {}, shown)[0] == 403


def test_a_watch_hears_nothing_more_once_its_permission_is_gone(secured: Raftd) -> None:
    async def test(clients: list[EtcdClient]) -> None:
        root, shown = await token(clients[0], "root"), await token(clients[0], "ann")
        watch = clients[1].stream("Watch", "Watch", shown)
        for key in (b"a/1", b"b"):
            create = pb.WatchCreateRequest(key=key)
            await watch.write(pb.WatchRequest(create_request=create))
        first, second = await watch.read(), await watch.read()
        assert first.created
        assert not first.canceled
        assert second.canceled
        assert "permission denied" in second.cancel_reason
        await put(clients[0], b"a/1", shown)
        assert (await watch.read()).events[0].kv.key == b"a/1"
        fields = {"name": "ann", "role": "web"}
        assert not isinstance(await auth(clients[0], "UserRevokeRole", root, **fields), Failed)
        await put(clients[0], b"a/1", root)
        end = await watch.read()
        assert end.canceled
        assert not end.events
        assert "permission denied" in end.cancel_reason
        await auth(clients[0], "UserGrantRole", root, user="ann", role="web")

    run(secured, test)


def test_another_password_ends_the_tokens_of_before(secured: Raftd) -> None:
    async def test(clients: list[EtcdClient]) -> None:
        root, shown = await token(clients[0], "root"), await token(clients[0], "ann")
        await auth(clients[0], "UserChangePassword", root, name="ann", password=OTHER)
        for client in clients:
            while not isinstance(answer := await get(client, b"a/1", shown), Failed):
                await asyncio.sleep(0.01)  # until this member has heard of it
            assert answer.text.endswith(("invalid auth token", "revision of auth store is old"))
        wrong = await auth(clients[1], "Authenticate", name="ann", password=PASSWORD)
        assert wrong.text == "etcdserver: authentication failed, invalid user ID or password"
        assert not isinstance(
            await get(clients[1], b"a/1", await token(clients[1], "ann", OTHER)), Failed
        )
        await auth(clients[0], "UserChangePassword", root, name="ann", password=PASSWORD)

    run(secured, test)


def test_our_own_clients_are_asked_too(secured: Raftd) -> None:
    endpoints = ",".join(secured.addresses)
    with Client(endpoints, timeout=20) as nobody:
        with pytest.raises(NotAllowed, match="user name is empty"):
            nobody.put("a/own", "1")
        with pytest.raises(NotAllowed, match="user name is empty"):
            nobody.get("a/own")
        with pytest.raises(NotAllowed, match="user name is empty"):
            nobody.status()
    with (
        Client(endpoints, timeout=20, user="ann", password="wrong") as wrong,
        pytest.raises(NotAllowed, match="authentication failed"),
    ):
        wrong.put("a/own", "1")
    with Client(endpoints, timeout=20, user="ann", password=PASSWORD) as ann:
        ann.put("a/own", "1")
        found = ann.get("a/own").kv
        assert found is not None
        assert found.value == b"1"
        with pytest.raises(NotAllowed, match="permission denied"):
            ann.put("b", "1")
        with pytest.raises(NotAllowed, match="permission denied"):
            ann.get("b")
        with pytest.raises(NotAllowed, match="permission denied"):
            ann.transfer()
        with pytest.raises(NotAllowed, match="permission denied"):
            list(ann.watch("b"))
        with ann.watch("a/own", start_revision=1) as events:
            assert next(iter(events)).value == b"1"
    with Client(endpoints, timeout=20, user="root", password=PASSWORD) as root:
        assert root.status().admitted
        root.put("b", "1")
    with pytest.raises(Invalid, match="without user"):
        Client(endpoints, password=PASSWORD)


def test_it_outlives_the_leader_and_a_restart_from_snapshots(secured: Raftd) -> None:
    """And the store's secret is in the snapshot: tokens of before go on."""
    shown: list[Any] = []

    async def before(clients: list[EtcdClient]) -> None:
        shown.append(await token(clients[0], "ann"))

    async def after(clients: list[EtcdClient]) -> None:
        for client in clients:
            assert await put(client, b"b", shown[0]) == DENIED
            assert not isinstance(await put(client, b"a/2", shown[0]), Failed)

    run(secured, before)
    leader = secured.leader()
    leader.kill()
    with Client(",".join(secured.addresses), timeout=20, user="ann", password=PASSWORD) as ann:
        ann.put("a/after", "1")
    secured.all_serve()
    with Client(",".join(secured.addresses), timeout=20, user="root", password=PASSWORD) as root:
        for address in secured.addresses:
            root.snapshot(address)
    for node in secured.nodes:
        assert node.stop() == 0
    secured.all_serve()
    run(secured, after)


def test_an_operator_logs_in_where_the_majority_is_gone(secured: Raftd) -> None:
    """`raftctl why` hung in its login, and blamed its own loop, when it was needed most."""
    secured.all_serve()
    left = secured.nodes[0]
    for node in secured.nodes[1:]:
        node.kill()
    try:
        with Client(left.client_address, timeout=20) as nobody:
            assert isinstance(nobody.ask_each(status_at)[left.client_address], NotAllowed)
        with Client(left.client_address, timeout=20, user="root", password=PASSWORD) as root:

            def told() -> bool:
                report = root.ask_each(status_at)[left.client_address]
                return isinstance(report, NodeStatus) and not report.leader_id

            wait_until(told, 30, "the last node to tell of no leader", secured.nodes)
        with Client(left.client_address, timeout=20, user="root", password="wrong") as wrong:
            assert isinstance(wrong.ask_each(status_at)[left.client_address], NotAllowed)
    finally:
        secured.all_serve()


def test_refusals_and_operators_calls_are_told_and_no_secret_is(secured: Raftd) -> None:
    def lines() -> list[dict[str, Any]]:
        logs = [whole_lines(node.log_path) for node in secured.nodes]
        rows = [json.loads(line) for log in logs for line in log if line[:1] == "{"]
        return [row for row in rows if row["logger"] == "raftd.audit"]

    shown: list[str] = []

    async def refused(clients: list[EtcdClient]) -> None:
        shown.append((await token(clients[0], "ann"))[0][1])
        assert await put(clients[0], b"secret-key", (("token", shown[0]),)) == DENIED
        await auth(clients[0], "Authenticate", name="ann", password="guess-of-mine")
        root = await token(clients[0], "root")
        await auth(clients[0], "UserAdd", root, name="temporary", password=OTHER)
        await auth(clients[0], "UserDelete", root, name="temporary")

    run(secured, refused)
    endpoints = ",".join(secured.addresses)
    with Client(endpoints, timeout=20, user="root", password=PASSWORD) as operator:
        operator.snapshot()
    with (
        Client(endpoints, timeout=20, user="ann", password=PASSWORD) as ann,
        pytest.raises(NotAllowed),
    ):
        ann.transfer()

    def told(call: str, user: str, level: str) -> Callable[[], bool]:
        return lambda: any(
            (row["call"], row["user"], row["level"]) == (call, user, level) for row in lines()
        )

    for call, user, level in (
        ("KV/Put", "ann", "warning"),
        ("Auth/Authenticate", "-", "warning"),
        ("Auth/AuthEnable", "-", "info"),
        ("Auth/UserAdd", "root", "info"),
        ("Auth/UserDelete", "root", "info"),
        ("Admin/SnapshotNow", "root", "info"),
        ("Admin/Transfer", "ann", "warning"),
    ):
        wait_until(told(call, user, level), 10, f"{call} by {user}", secured.nodes)
    words = [PASSWORD, OTHER, "guess-of-mine", "secret-key", shown[0]]
    for node in secured.nodes:
        text = node.log_path.read_bytes()
        assert not [word for word in words if word.encode() in text]
        assert not [word for word in words[:3] + words[4:] if holds(node.data_path, word.encode())]


def holds(directory: Path, word: bytes) -> bool:
    return any(word in path.read_bytes() for path in directory.rglob("*") if path.is_file())
