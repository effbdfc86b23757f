"""Messages in a peer's name, with its true envelope, that no correct peer can send."""

from __future__ import annotations

import time
from typing import Any

import grpc
import pytest

from harness.nodes import Node, wait_until
from raftd._pb import raft_pb2 as pb
from tests.harsh.bad_input.conftest import Live, lines, said
from tests.harsh.bad_input.envelopes import append_on_stream, envelope, refusal, with_entries

pytestmark = pytest.mark.cluster

REFUSED = grpc.StatusCode.FAILED_PRECONDITION
MALFORMED = grpc.StatusCode.INVALID_ARGUMENT


def append(live: Live, sender: Node, target: Node, **fields: Any) -> pb.AppendRequest:
    return pb.AppendRequest(
        envelope=envelope(live, sender, target), number=1, term=live.term, **fields
    )


def refusals(node: Node) -> float:
    return node.metric("raftd_peer_messages_refused_total") or 0


def told_of(node: Node) -> int:
    return sum(line.get("event") == "impossible_message" for line in lines(node.log_path))


def test_impossible_messages_end_no_node(live: Live) -> None:
    """Three of them used to end the whole cluster."""
    began = time.monotonic()
    leader, (one, two) = live.leader, live.followers()
    live.cluster.wait_level()
    wrong = {"prev_index": 1, "prev_term": live.term, "commit": 1}
    cases: list[tuple[Node, pb.AppendRequest, str]] = [
        (one, append(live, leader, one, **wrong), "here it is committed with term"),
        (two, append(live, one, two), f"two leaders in term {live.term}"),
        (leader, append(live, one, leader), f"two leaders in term {live.term}"),
    ]
    for target, message, words in cases:
        code, details = refusal(target, "Heartbeat", message)
        assert (code, words in details) == (REFUSED, True), details
    overwriting = with_entries(append(live, leader, two), (live.term, 2, b"x"))
    code, details = append_on_stream(two, overwriting.envelope, overwriting)
    assert (code, "overwrites entry 1" in details) == (REFUSED, True), details
    for target, _, words in cases:
        assert words in said(target, words)
        assert not live.status(target).healthy
        assert any("no correct node can send" in line for line in live.status(target).problems)
        wait_until(lambda at=target: refusals(at) >= 1, 5, "the metric", [target])  # type: ignore[misc]
    for _ in range(20):
        refusal(one, "Heartbeat", cases[0][1])
    assert told_of(one) == 1, "one line, however many of them come"
    live.check()
    print(f"\n24 impossible messages: term {live.term} as before, {time.monotonic() - began:.1f} s")


def test_a_follower_that_is_asked_for_snapshot_0_says_so(live: Live) -> None:
    """Its leader then takes it for longer than itself, and it stays behind for ever, in silence."""
    target = live.followers()[0]
    asked = pb.SnapshotRequest(
        envelope=envelope(live, live.leader, target), number=1, term=live.term
    )
    asked.meta.voters.extend(["n1", "n2", "n3"])
    code, details = refusal(target, "InstallSnapshot", asked)
    assert (code, "meta.index 0: no such snapshot" in details) == (MALFORMED, True), details
    status = live.status(target)
    assert not status.healthy
    assert any("meta.index 0" in line for line in status.problems), status.problems
