"""What the store refuses, in the words of the etcd v3 API (without its prefix "etcdserver: ").

A refusal is one of these texts, and perhaps "; " and details after it: whoever serves etcd clients
finds code and text by `refusal_of`. All of them mean that nothing was changed.
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
TOO_LONG: Final = "the answer would be too long"


def refusal_of(message: str) -> str:
    """The text by which a refusal is known, without the details."""
    return message.partition("; ")[0]
