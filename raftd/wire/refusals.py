"""What the store refuses, in the words of the etcd v3 API (without its prefix "etcdserver: ").

A refusal is one of these texts, and perhaps "; " and details after it: whoever serves etcd clients
finds code and text by `refusal_of`. All of them mean that nothing was changed. And in which words a
node tells of another one, since `raftctl why` knows some of its problems by them.
"""

from __future__ import annotations

from typing import Final

COMPACTED: Final = "mvcc: required revision has been compacted"
FUTURE_REVISION: Final = "mvcc: required revision is a future revision"
KEY_NOT_FOUND: Final = "key not found"
LEASE_NOT_FOUND: Final = "requested lease not found"
LEASE_EXISTS: Final = "lease already exists"
TOO_MANY_LEASES: Final = "too many leases"
NOT_PRIMARY: Final = "not the leader: only the leader counts the time of leases"
NO_SPACE: Final = "mvcc: database space exceeded"
TOO_LONG: Final = "the answer would be too long"
TOO_MANY_OPERATIONS: Final = "too many operations in txn request"

ROOT_USER_MISSING: Final = "root user does not exist"
ROOT_ROLE_MISSING: Final = "root user does not have root role"
USER_EXISTS: Final = "user name already exists"
USER_EMPTY: Final = "user name is empty"
USER_NOT_FOUND: Final = "user name not found"
ROLE_EMPTY: Final = "role name is empty"
ROLE_EXISTS: Final = "role name already exists"
ROLE_NOT_FOUND: Final = "role name not found"
ROLE_NOT_GRANTED: Final = "role is not granted to the user"
PERMISSION_NOT_GRANTED: Final = "permission is not granted to the role"
PERMISSION_DENIED: Final = "permission denied"
INVALID_AUTH_MANAGEMENT: Final = "invalid auth management"
OLD_REVISION: Final = "revision of auth store is old"
TOO_MUCH_AUTH: Final = "too many users, roles or permissions"

DENIALS: Final = frozenset((USER_EMPTY, PERMISSION_DENIED, OLD_REVISION))
"""What the store says to whoever may not do what they ask for."""


BEHIND: Final = (
    "this node has started, and has not caught up yet with what is committed of users and roles: "
    "wait until it follows a leader, or ask another node (`raftctl why` is answered on its own "
    "machine, at a loopback address)"
)
RESTORING_NOW: Final = "a snapshot is being restored here: wait, or ask another node"
RESTORING: Final = "this node has started, and restores its snapshot: wait, or ask another node"
"""What a node says that cannot tell yet who may do what, or who anybody is."""


REFUSED_BY: Final = "refused by"
HAS_NOT_ANSWERED: Final = "has not answered for"
DOES_NOT_ANSWER: Final = "does not answer at"
"""How a node's problem with another one begins, or goes on behind that one's id."""


def is_silence_of(peer: str, problem: str) -> bool:
    """Does a node say here that this one does not answer it?"""
    return problem.startswith((f"{peer} {HAS_NOT_ANSWERED} ", f"{peer} {DOES_NOT_ANSWER} "))


def believes_nobody_yet(message: str) -> bool:
    """Was it said by a node that cannot tell yet who anybody is? message: with whatever around."""
    return BEHIND in message or RESTORING in message


def refusal_of(message: str) -> str:
    """The text by which a refusal is known, without the details."""
    return message.partition("; ")[0]
