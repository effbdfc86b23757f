"""What members say of the sameness of their states: marks and verdicts, and digests in answer.

All of it may be missing: a node of an older version neither digests nor tells.
"""

from __future__ import annotations

from raftd._pb import raft_pb2 as pb
from raftd.core.comparing import Differing, Mark, StateDigest, Verdict
from raftd.rpc.peers import checks
from raftd.rpc.peers.checks import Rejected

PARTS_MAX = 64
VALUE_BYTES_MAX = 64


def verdict_out(verdict: Verdict, message: pb.AppendRequest) -> None:
    message.compared_index = verdict.index
    for node, what in verdict.differing:
        message.differing.add(node=node, what=what[: checks.TEXT_MAX])


def checks_in(message: pb.AppendRequest) -> tuple[Mark | None, Verdict | None]:
    """Of a request that has one of the two at least. Raises Rejected."""
    mark = verdict = None
    if message.mark_index:
        index = checks.check_index("mark_index", message.mark_index)
        mark = Mark(index, message.term, message.mark_number)
    if message.compared_index:
        index = checks.check_index("compared_index", message.compared_index)
        verdict = Verdict(index, _differing_in(message))
    return mark, verdict


def _differing_in(message: pb.AppendRequest) -> tuple[Differing, ...]:
    count = len(message.differing)
    if count > checks.MEMBERS_MAX:
        raise Rejected(f"differing has {count} nodes, the limit is {checks.MEMBERS_MAX}")
    return tuple(
        Differing(
            checks.check_node_id("differing.node", each.node),
            checks.check_text("differing.what", each.what),
        )
        for each in message.differing
    )


def digest_out(digest: StateDigest, message: pb.AppendReply) -> None:
    message.digest_index, message.digest_number = digest.mark.index, digest.mark.number
    for name, value in digest.parts:
        message.digest.add(name=name, value=value)


def digest_in(message: pb.AppendReply) -> StateDigest:
    """Raises Rejected."""
    count = len(message.digest)
    if count > PARTS_MAX:
        raise Rejected(f"digest has {count} parts, the limit is {PARTS_MAX}")
    parts = []
    for part in message.digest:
        if len(part.value) > VALUE_BYTES_MAX:
            raise Rejected(f"digest.value of {len(part.value)} bytes, limit {VALUE_BYTES_MAX}")
        parts.append((checks.check_text("digest.name", part.name), part.value))
    index = checks.check_index("digest_index", message.digest_index)
    return StateDigest(Mark(index, message.term, message.digest_number), tuple(parts))
