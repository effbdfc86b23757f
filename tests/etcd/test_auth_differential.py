"""The same random calls of Auth, and of users, at etcd and at raftd: every answer compared."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from raftd._pb import etcd_pb2 as pb
from tests.etcd.client import EtcdClient
from tests.etcd.servers import folder, needs_etcd, one_etcd, raftd_cluster

pytestmark = [pytest.mark.cluster, pytest.mark.long, needs_etcd]

REQUESTS = 160
USERS = ("root", "ann", "bob", "")
ROLES = ("root", "one", "two", "")
KEYS = (b"a", b"b", b"c", b"d")
GRANTED = {b"a": b"c", b"b": b"", b"c": b"d", b"d": b"\0"}
"""One range for each key: of several, etcd finds the first one only, and grants it twice."""
ENDS = (b"", b"", b"c", b"d", b"e", b"\0")


def management(rng: random.Random) -> tuple[str, Any]:
    user, role, key = rng.choice(USERS), rng.choice(ROLES), rng.choice(KEYS)
    end = GRANTED[key]
    kind = rng.choice(("READ", "WRITE", "READWRITE"))
    perm = pb.Permission(permType=kind, key=key, range_end=end)
    return rng.choice(
        [
            ("UserAdd", pb.AuthUserAddRequest(name=user, password="p")),
            ("UserAdd", pb.AuthUserAddRequest(name=user, password="p")),
            ("UserGet", pb.AuthUserGetRequest(name=user)),
            ("UserList", pb.AuthUserListRequest()),
            ("UserDelete", pb.AuthUserDeleteRequest(name=user)),
            ("UserGrantRole", pb.AuthUserGrantRoleRequest(user=user, role=role)),
            ("UserGrantRole", pb.AuthUserGrantRoleRequest(user=user, role=role)),
            ("UserGrantRole", pb.AuthUserGrantRoleRequest(user=user, role=role)),
            ("UserRevokeRole", pb.AuthUserRevokeRoleRequest(name=user, role=role)),
            ("RoleAdd", pb.AuthRoleAddRequest(name=role)),
            ("RoleAdd", pb.AuthRoleAddRequest(name=role)),
            ("RoleGet", pb.AuthRoleGetRequest(role=role)),
            ("RoleList", pb.AuthRoleListRequest()),
            ("RoleDelete", pb.AuthRoleDeleteRequest(role=role)),
            ("RoleGrantPermission", pb.AuthRoleGrantPermissionRequest(name=role, perm=perm)),
            ("RoleGrantPermission", pb.AuthRoleGrantPermissionRequest(name=role, perm=perm)),
            ("RoleGrantPermission", pb.AuthRoleGrantPermissionRequest(name=role, perm=perm)),
            (
                "RoleRevokePermission",
                pb.AuthRoleRevokePermissionRequest(role=role, key=key, range_end=end),
            ),
            ("AuthEnable", pb.AuthEnableRequest()),
        ]
    )


def of_keys(rng: random.Random) -> tuple[str, Any]:
    key, end = rng.choice(KEYS), rng.choice(ENDS)
    put = pb.PutRequest(key=key, value=b"v", prev_kv=rng.random() < 0.3)
    get = pb.RangeRequest(key=key, range_end=end)
    delete = pb.DeleteRangeRequest(key=key, range_end=end, prev_kv=rng.random() < 0.3)
    compare = pb.Compare(key=rng.choice(KEYS), target=pb.Compare.VERSION, version=0)
    other = pb.PutRequest(key=rng.choice(KEYS), value=b"w")
    txn = pb.TxnRequest(
        compare=[compare],
        success=[pb.RequestOp(request_put=other)],
        failure=[pb.RequestOp(request_range=get)],
    )
    return rng.choice([("Range", get), ("Put", put), ("DeleteRange", delete), ("Txn", txn)])


def shown(answer: Any) -> Any:
    """Without what no two clusters share."""
    if not hasattr(answer, "header"):
        return answer
    answer.header.ClearField("cluster_id")
    answer.header.ClearField("member_id")
    answer.header.ClearField("raft_term")
    return str(answer)


class Side:
    """One server, and the tokens of users there. on: whether auth is."""

    def __init__(self, client: EtcdClient) -> None:
        self.client = client
        self.tokens: dict[str, str] = {}

    async def as_user(self, user: str) -> Any:
        """Metadata; logs in anew each time, as passwords and users come and go."""
        if not user:
            return ()
        request = pb.AuthenticateRequest(name=user, password="p")
        answer = await self.client.call("Auth", "Authenticate", request)
        return (("token", answer.token),) if hasattr(answer, "token") else ()


async def compare(addresses: tuple[str, str], seed: int) -> int:
    """The number of answers compared, of which some were given and some refused."""
    rng = random.Random(seed)
    sides = [Side(EtcdClient(address)) for address in addresses]
    told: set[str] = set()
    for number in range(REQUESTS):
        service, (name, request) = (
            ("Auth", management(rng)) if rng.random() < 0.5 else ("KV", of_keys(rng))
        )
        user = rng.choice(USERS) if service == "KV" else rng.choice(("root", "root", "ann", ""))
        answers = []
        for side in sides:
            metadata = await side.as_user(user)
            answers.append(shown(await side.client.call(service, name, request, metadata)))
        assert answers[0] == answers[1], f"{number}: {user!r} {name} {request}"
        told.add(str(getattr(answers[0], "text", "done")))
    for side in sides:
        await side.client.close()
    return len(told)


def test_users_and_roles_are_as_at_etcd() -> None:
    with folder() as base, one_etcd(base) as etcd, raftd_cluster(base / "raftd") as raftd:
        kinds = asyncio.run(compare((etcd, raftd.addresses[0]), 1))
    assert kinds >= 8, "it has met most refusals"
