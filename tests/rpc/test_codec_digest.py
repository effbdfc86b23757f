"""What members say of the sameness of their states survives the wire; nothing malformed does."""

from __future__ import annotations

from typing import Any

import pytest

from raftd._pb import raft_pb2 as pb
from raftd.core import messages as m
from raftd.core.comparing import Differing, Mark, StateDigest, Verdict
from raftd.rpc.peers import codec, codec_replies
from raftd.rpc.peers.checks import Rejected
from tests.rpc.test_codec import ENVELOPE, over_the_wire


def test_marks_verdicts_and_digests_survive() -> None:
    mark = Mark(8, 4, 17)
    verdict = Verdict(6, (Differing("n2", "values"), Differing("n3", "keys, sessions")))
    request = m.AppendRequest(4, "n1", 9, 3, (), 8, 5, mark=mark, verdict=verdict)
    message = over_the_wire(codec.encode_append(request, ENVELOPE))
    assert codec.decode_heartbeat(message, "n1") == request
    digest = StateDigest(mark, (("keys", b"\1" * 16), ("values", b"\2" * 16)))
    reply = m.AppendReply(4, True, 8, number=5, digest=digest)
    answer = over_the_wire(codec_replies.encode_reply(reply, 5, ENVELOPE, pb.AppendReply))
    assert codec_replies.decode_append_reply(answer) == reply


def test_what_an_older_node_sends_has_none_of_it() -> None:
    old = pb.AppendRequest(envelope=ENVELOPE, number=5, term=4, prev_index=9, prev_term=3)
    request = codec.decode_heartbeat(old, "n1")
    assert request.mark is None
    assert request.verdict is None
    assert codec_replies.decode_append_reply(pb.AppendReply(term=4, ok=True)) == m.AppendReply(
        4, True, 0
    )


@pytest.mark.parametrize(
    ("field", "what"),
    [
        ({"mark_index": 2**63}, "mark_index"),
        ({"compared_index": 2**63}, "compared_index"),
        ({"compared_index": 1, "differing": [pb.Differing(node="no id")]}, "differing.node"),
        ({"compared_index": 1, "differing": [pb.Differing(node="a", what="\n")]}, "differing.what"),
        (
            {"compared_index": 1, "differing": [pb.Differing(node="a")] * 2000},
            "the limit is 1024",
        ),
    ],
)
def test_impossible_marks_and_verdicts_are_rejected(field: dict[str, Any], what: str) -> None:
    message = pb.AppendRequest(envelope=ENVELOPE, term=4, prev_index=9, prev_term=3, **field)
    with pytest.raises(Rejected, match=what):
        codec.decode_heartbeat(message, "n1")


@pytest.mark.parametrize(
    ("parts", "what"),
    [
        ([pb.DigestPart(name="a", value=b"x" * 65)], "digest.value"),
        ([pb.DigestPart(name="a\n")], "digest.name"),
        ([pb.DigestPart(name="a")] * 65, "limit is 64"),
    ],
)
def test_impossible_digests_are_rejected(parts: list[pb.DigestPart], what: str) -> None:
    with pytest.raises(Rejected, match=what):
        codec_replies.decode_append_reply(
            pb.AppendReply(term=4, ok=True, digest=parts, digest_index=1)
        )
