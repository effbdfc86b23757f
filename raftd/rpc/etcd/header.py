"""The head of every answer: which cluster, which member, its term, the store's revision.

Etcd's clients know clusters and members, which raftd names by strings, as uint64. The numbers are
made from the names alone, so that every member gives the same ones. Any thread.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b

from raftd._pb import etcd_pb2 as pb
from raftd.rpc.api import Node


class Headers:
    """Network thread only."""

    def __init__(self, node: Node) -> None:
        self._node = node
        cluster = node.identity.cluster
        self.cluster = cluster_number(cluster)
        self.member = member_number(cluster, node.identity.node)

    def make(self, revision: int) -> pb.ResponseHeader:
        """revision: of the store when the answer was made; 0 where etcd gives none."""
        return pb.ResponseHeader(
            cluster_id=self.cluster,
            member_id=self.member,
            revision=revision,
            raft_term=self._node.term,
        )


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
