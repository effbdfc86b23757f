"""Numbers for what raftd names by strings: etcd's clients know clusters and members as uint64.

They are made from the names alone, so that every member gives the same ones. Any thread.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b


@lru_cache(maxsize=1024)
def cluster_number(cluster: str) -> int:
    """Never 0."""
    return _number(f"cluster {cluster}")


@lru_cache(maxsize=4096)
def member_number(cluster: str, node: str) -> int:
    """Never 0, which means `no leader` in etcd's answers."""
    return _number(f"member {node} of {cluster}")


def member_named(cluster: str, number: int, nodes: Iterable[str]) -> str | None:
    """Which of `nodes` has this number."""
    return next((node for node in nodes if member_number(cluster, node) == number), None)


def _number(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big") or 1
