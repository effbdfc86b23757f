"""The errors of the etcd v3 API. Go's clients compare the texts, so they are to the letter.

Any thread.
"""

from __future__ import annotations

from typing import Final

import grpc

from raftd.node.outcomes import Answered, Applied, Outcome, Refusal, Refused

Code = grpc.StatusCode


class Fault(Exception):
    """How a call ends that has no answer. code: a gRPC status; text: etcd's, with its prefix. name:
    among FAULTS, for those who go on after some; empty: it has none.
    """

    def __init__(self, code: grpc.StatusCode, text: str, name: str = "") -> None:
        super().__init__(text)
        self.name = name
        self.code = code
        self.text = text


_ARGUMENT: Final = Code.INVALID_ARGUMENT
_RANGE: Final = Code.OUT_OF_RANGE
_STATE: Final = Code.FAILED_PRECONDITION

FAULTS: Final[dict[str, tuple[grpc.StatusCode, str]]] = {
    "empty_key": (_ARGUMENT, "key is not provided"),
    "key_not_found": (_ARGUMENT, "key not found"),
    "value_provided": (_ARGUMENT, "value is provided"),
    "lease_provided": (_ARGUMENT, "lease is provided"),
    "too_many_ops": (_ARGUMENT, "too many operations in txn request"),
    "duplicate_key": (_ARGUMENT, "duplicate key given in txn request"),
    "invalid_sort_option": (_ARGUMENT, "invalid sort option"),
    "request_too_large": (_ARGUMENT, "request is too large"),
    "bad_member_urls": (_ARGUMENT, "given member URLs are invalid"),
    "compacted": (_RANGE, "mvcc: required revision has been compacted"),
    "future_revision": (_RANGE, "mvcc: required revision is a future revision"),
    "lease_ttl_too_large": (_RANGE, "too large lease TTL"),
    "lease_not_found": (Code.NOT_FOUND, "requested lease not found"),
    "member_not_found": (Code.NOT_FOUND, "member not found"),
    "lease_exists": (_STATE, "lease already exists"),
    "member_exists": (_STATE, "member ID already exist"),
    "peer_urls_exist": (_STATE, "Peer URLs already exists"),
    "not_enough_started": (
        _STATE,
        "re-configuration failed due to not enough started members",
    ),
    "not_a_learner": (_STATE, "can only promote a learner member"),
    "learner_not_ready": (_STATE, "can only promote a learner member which is in sync with leader"),
    "too_many_learners": (_STATE, "too many learner members in cluster"),
    "not_leader": (_STATE, "not leader"),
    "not_capable": (_STATE, "not capable"),
    "bad_transferee": (_STATE, "bad leader transferee"),
    "no_leader": (Code.UNAVAILABLE, "no leader"),
    "leader_changed": (Code.UNAVAILABLE, "leader changed"),
    "stopped": (Code.UNAVAILABLE, "server stopped"),
    "timeout": (Code.UNAVAILABLE, "request timed out"),
    "timeout_leader_failed": (
        Code.UNAVAILABLE,
        "request timed out, possibly due to previous leader failure",
    ),
    "timeout_transfer": (Code.UNAVAILABLE, "request timed out, leader transfer took too long"),
    "unhealthy": (Code.UNAVAILABLE, "unhealthy cluster"),
    "no_space": (Code.RESOURCE_EXHAUSTED, "mvcc: database space exceeded"),
    "too_many_requests": (Code.RESOURCE_EXHAUSTED, "too many requests"),
    "corrupt": (Code.DATA_LOSS, "corrupt cluster"),
    "root_user_missing": (_STATE, "root user does not exist"),
    "root_role_missing": (_STATE, "root user does not have root role"),
    "user_exists": (_STATE, "user name already exists"),
    "user_empty": (_ARGUMENT, "user name is empty"),
    "user_not_found": (_STATE, "user name not found"),
    "role_exists": (_STATE, "role name already exists"),
    "role_not_found": (_STATE, "role name not found"),
    "role_empty": (_ARGUMENT, "role name is empty"),
    "auth_failed": (_ARGUMENT, "authentication failed, invalid user ID or password"),
    "permission_denied": (Code.PERMISSION_DENIED, "permission denied"),
    "permission_not_given": (_ARGUMENT, "permission not given"),
    "role_not_granted": (_STATE, "role is not granted to the user"),
    "permission_not_granted": (_STATE, "permission is not granted to the role"),
    "auth_not_enabled": (_STATE, "authentication is not enabled"),
    "invalid_token": (Code.UNAUTHENTICATED, "invalid auth token"),
    "invalid_auth_management": (_ARGUMENT, "invalid auth management"),
    "old_auth_revision": (_ARGUMENT, "revision of auth store is old"),
    "watch_canceled": (Code.CANCELLED, "watch canceled"),
}
"""By our own short names: (status, text behind the prefix `etcdserver: `)."""


TOO_MANY: Final = "etcdserver: too many requests"


def fault(name: str) -> Fault:
    """One of FAULTS."""
    code, text = FAULTS[name]
    return Fault(code, f"etcdserver: {text}", name)


def refused_here(why: str) -> Fault:
    """This member answers nothing; another one may."""
    return Fault(Code.UNAVAILABLE, f"etcdserver: {why}")


def comes_back(outcome: Outcome) -> bool:
    """Certainly not done, and a leader will be there soon. The story without the second line: while
    a leader handed over each caller heard of it, and Go's clients do not repeat a write for that.
    """
    if not isinstance(outcome, Refused):
        return False
    handed_over = outcome.refusal is Refusal.UNAVAILABLE and outcome.leader is not None
    return handed_over or outcome.refusal is Refusal.NOT_LEADER


def of_outcome(outcome: Outcome) -> Fault:
    """Why a write was not answered. A write of unknown outcome is never called not done."""
    assert not isinstance(outcome, Applied | Answered)
    if not isinstance(outcome, Refused):
        return fault("timeout_leader_failed")
    if outcome.refusal is Refusal.OVERLOADED:
        return fault("too_many_requests")
    if outcome.refusal is Refusal.NOT_LEADER:
        return fault("no_leader")
    return Fault(Code.UNAVAILABLE, f"etcdserver: {outcome.message}")
