"""Paths of the gateway. Any thread."""

from __future__ import annotations

from collections.abc import Iterable

from raftd.rpc.etcd.calls import Method

PREFIXES = ("/v3", "/v3beta", "/v3alpha")
"""The last two are older names that clients still try."""

PATHS = {
    "/etcdserverpb.KV/Range": "/kv/range",
    "/etcdserverpb.KV/Put": "/kv/put",
    "/etcdserverpb.KV/DeleteRange": "/kv/deleterange",
    "/etcdserverpb.KV/Txn": "/kv/txn",
    "/etcdserverpb.KV/Compact": "/kv/compaction",
    "/etcdserverpb.Watch/Watch": "/watch",
    "/etcdserverpb.Lease/LeaseGrant": "/lease/grant",
    "/etcdserverpb.Lease/LeaseRevoke": "/lease/revoke",
    "/etcdserverpb.Lease/LeaseKeepAlive": "/lease/keepalive",
    "/etcdserverpb.Lease/LeaseTimeToLive": "/lease/timetolive",
    "/etcdserverpb.Lease/LeaseLeases": "/lease/leases",
    "/etcdserverpb.Cluster/MemberAdd": "/cluster/member/add",
    "/etcdserverpb.Cluster/MemberRemove": "/cluster/member/remove",
    "/etcdserverpb.Cluster/MemberUpdate": "/cluster/member/update",
    "/etcdserverpb.Cluster/MemberList": "/cluster/member/list",
    "/etcdserverpb.Cluster/MemberPromote": "/cluster/member/promote",
    "/etcdserverpb.Maintenance/Alarm": "/maintenance/alarm",
    "/etcdserverpb.Maintenance/Status": "/maintenance/status",
    "/etcdserverpb.Maintenance/Defragment": "/maintenance/defragment",
    "/etcdserverpb.Maintenance/Hash": "/maintenance/hash",
    "/etcdserverpb.Maintenance/HashKV": "/maintenance/hashkv",
    "/etcdserverpb.Maintenance/Snapshot": "/maintenance/snapshot",
    "/etcdserverpb.Maintenance/MoveLeader": "/maintenance/transfer-leadership",
    "/etcdserverpb.Auth/AuthEnable": "/auth/enable",
    "/etcdserverpb.Auth/AuthDisable": "/auth/disable",
    "/etcdserverpb.Auth/AuthStatus": "/auth/status",
    "/etcdserverpb.Auth/Authenticate": "/auth/authenticate",
    "/etcdserverpb.Auth/UserAdd": "/auth/user/add",
    "/etcdserverpb.Auth/UserGet": "/auth/user/get",
    "/etcdserverpb.Auth/UserList": "/auth/user/list",
    "/etcdserverpb.Auth/UserDelete": "/auth/user/delete",
    "/etcdserverpb.Auth/UserChangePassword": "/auth/user/changepw",
    "/etcdserverpb.Auth/UserGrantRole": "/auth/user/grant",
    "/etcdserverpb.Auth/UserRevokeRole": "/auth/user/revoke",
    "/etcdserverpb.Auth/RoleAdd": "/auth/role/add",
    "/etcdserverpb.Auth/RoleGet": "/auth/role/get",
    "/etcdserverpb.Auth/RoleList": "/auth/role/list",
    "/etcdserverpb.Auth/RoleDelete": "/auth/role/delete",
    "/etcdserverpb.Auth/RoleGrantPermission": "/auth/role/grant",
    "/etcdserverpb.Auth/RoleRevokePermission": "/auth/role/revoke",
    "/v3lockpb.Lock/Lock": "/lock/lock",
    "/v3lockpb.Lock/Unlock": "/lock/unlock",
    "/v3electionpb.Election/Campaign": "/election/campaign",
    "/v3electionpb.Election/Proclaim": "/election/proclaim",
    "/v3electionpb.Election/Leader": "/election/leader",
    "/v3electionpb.Election/Observe": "/election/observe",
    "/v3electionpb.Election/Resign": "/election/resign",
}
OLDER = {
    "/etcdserverpb.Lease/LeaseRevoke": "/kv/lease/revoke",
    "/etcdserverpb.Lease/LeaseTimeToLive": "/kv/lease/timetolive",
    "/etcdserverpb.Lease/LeaseLeases": "/kv/lease/leases",
}


def routes(methods: Iterable[Method]) -> dict[str, Method]:
    """The method behind each path."""
    found: dict[str, Method] = {}
    for method in methods:
        for table in (PATHS, OLDER):
            if method.path in table:
                for prefix in PREFIXES:
                    found[prefix + table[method.path]] = method
    return found
