"""The head of every answer: which cluster, which member, its term, the store's revision."""

from __future__ import annotations

from raftd._pb import etcd_pb2 as pb
from raftd.rpc.api import Node
from raftd.rpc.etcd.identity import cluster_number, member_number


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
