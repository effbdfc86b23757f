"""Why a peer does not answer: told while it lasts, in words of ours."""

from __future__ import annotations

import pytest

from raftd._pb import raft_pb2 as pb
from raftd.core import messages as m
from raftd.core.types import Identity
from raftd.rpc.peers import codec, codec_replies
from raftd.rpc.peers.checks import Rejected
from raftd.rpc.peers.envelope import Envelopes
from raftd.rpc.peers.link import (
    LATELY_SECONDS,
    REASON_MAX,
    TROUBLE_SECONDS,
    Trouble,
    in_plain_words,
)

IDENTITY = Identity("c", "n1", "i1")


def test_it_is_told_while_it_lasts() -> None:
    trouble = Trouble()
    assert trouble.why(100.0) == ""
    trouble.failed("refused", 100.0)
    assert trouble.why(100.1) == "", "a restart is no trouble"
    trouble.failed("another reason", 100.0 + TROUBLE_SECONDS)
    assert trouble.why(100.0 + TROUBLE_SECONDS) == "another reason"
    later = 100.0 + TROUBLE_SECONDS + LATELY_SECONDS
    assert trouble.why(later + 0.1) == "", "nobody has been called since"
    trouble.failed("another reason", later)
    trouble.answered()
    assert trouble.why(later) == ""


def test_one_call_that_failed_long_ago_is_no_trouble() -> None:
    """The story without it: three nodes started together, and for five seconds `raftctl why` named
    the leader of a healthy cluster as one where nothing listens. A follower had called it once,
    before its port was open, and never again, since the leader calls.
    """
    trouble = Trouble()
    trouble.failed("refused", 100.0)
    trouble.failed("refused", 100.5)
    assert trouble.why(100.0 + TROUBLE_SECONDS) == ""
    assert trouble.why(100.5 + LATELY_SECONDS) == ""
    trouble.failed("refused", 100.0 + TROUBLE_SECONDS)
    assert trouble.why(100.0 + TROUBLE_SECONDS) == "refused"


def test_failures_with_a_long_silence_between_are_no_row() -> None:
    trouble = Trouble()
    trouble.failed("refused", 100.0)
    trouble.failed("refused", 100.0 + 10 * LATELY_SECONDS)
    assert trouble.why(100.0 + 10 * LATELY_SECONDS) == ""


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("UNAVAILABLE: [Errno 111] Connect call failed ('127.0.0.1', 1)", "nothing listens there"),
        (
            "last error: Failed to connect to remote host: connect: Connection refused (111)",
            "nothing",
        ),
        ("Ssl handshake failed: CERTIFICATE_VERIFY_FAILED: certificate has expired", "has expired"),
        ("[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)", "one side speaks TLS"),
        ("DEADLINE_EXCEEDED: Deadline Exceeded", "no answer in time"),
        ("UNAVAILABLE: nothing came for 2.0 s, nor an answer to a ping", "is the node paused"),
        ("x" * 1000, "x" * REASON_MAX),
    ],
)
def test_in_plain_words(said: str, meant: str) -> None:
    assert meant in in_plain_words(said)


def test_who_speaks_a_later_protocol_only_is_refused_by_both_sides() -> None:
    envelope = Envelopes(IDENTITY, lambda _: None).hello_to("n2")
    about = pb.About(protocol=4, protocol_oldest=3, software="raftd 9.9.9")
    hello = m.HelloRequest(IDENTITY, (), 6)
    with pytest.raises(Rejected, match=r"'raftd 9\.9\.9' speaks protocol 3 or later"):
        codec.decode_hello(codec.encode_hello(hello, envelope, about), "n1")
    with pytest.raises(Rejected, match="run one version of raftd on all nodes"):
        codec_replies.decode_hello_reply(pb.HelloReply(envelope=envelope, about=about))
