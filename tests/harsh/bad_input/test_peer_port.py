"""Strangers and liars on the peer port: no term may move, and they are told nothing.

The numbers that no message may hold are in tests/rpc/test_codec.py.
"""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from harness.cluster import channel
from harness.nodes import Node
from raftd._pb import admin_pb2, admin_pb2_grpc
from raftd._pb import raft_pb2 as pb
from tests.harsh.bad_input.conftest import Live, said
from tests.harsh.bad_input.envelopes import (
    REQUESTS,
    append_on_stream,
    envelope,
    refusal,
    send,
)

pytestmark = pytest.mark.cluster

REFUSED = grpc.StatusCode.FAILED_PRECONDITION
MALFORMED = grpc.StatusCode.INVALID_ARGUMENT
FAR = 10**6
"""A term that would win any election."""

STRANGERS: dict[str, tuple[dict[str, str], str]] = {
    "unknown-node": ({"sender": "mallory"}, "has not met mallory yet"),
    "other-cluster": ({"cluster": "0123456789abcdef"}, "token and voters must be the same"),
    "other-incarnation": ({"sender_incarnation": "f" * 16}, "its data directory was replaced"),
    "for-another-node": ({"addressee": "n9"}, "check the peer addresses"),
    "for-another-life": ({"addressee_incarnation": "e" * 16}, "its data directory was replaced"),
    "no-addressee-life": ({"addressee_incarnation": ""}, "its data directory was replaced"),
}


def tells_nothing(live: Live, target: Node, text: str) -> None:
    """No incarnation, which is what a stranger lacks to be a peer."""
    for node in live.nodes:
        assert live.incarnation(node) not in text, (target.id, text)


def message(method: str, envelope: pb.Envelope, term: int = FAR) -> Any:
    made = REQUESTS[method](envelope=envelope)
    if method != "Probe":
        made.number, made.term = 1, term
    if method == "RequestVote":
        made.last_index, made.last_term = 10**9, term
    if method == "InstallSnapshot":
        made.meta.index, made.meta.term = 10**9, term
        made.meta.voters.extend(["n1", "n2", "n3"])
        made.meta.size_bytes = 1
    return made


@pytest.mark.parametrize("method", REQUESTS)
@pytest.mark.parametrize("kind", STRANGERS)
def test_stranger(live: Live, method: str, kind: str) -> None:
    changed, words = STRANGERS[kind]
    sender = live.followers()[0]
    for target in (live.leader, live.followers()[1]):
        code, details = refusal(
            target, method, message(method, envelope(live, sender, target, **changed))
        )
        assert code is REFUSED, (code, details)
        tells_nothing(live, target, details)
        said(target, words)


@pytest.mark.parametrize("method", REQUESTS)
def test_node_that_talks_to_itself(live: Live, method: str) -> None:
    itself = envelope(live, live.leader, live.leader)
    code, details = refusal(live.leader, method, message(method, itself))
    assert code is REFUSED
    tells_nothing(live, live.leader, details)
    said(live.leader, "two nodes have this id")


def test_hello_of_a_wiped_node_is_refused_with_the_next_step(live: Live) -> None:
    sender, target = live.followers()
    forged = envelope(live, sender, target, sender_incarnation="f" * 16)
    reply = send(target, "Hello", pb.HelloRequest(envelope=forged, number=1))
    assert f"node {sender.id!r} is recorded here with another incarnation" in reply.refused
    assert "Bring the old directory back" in reply.refused
    tells_nothing(live, target, str(reply))


def test_hello_of_a_stranger_is_refused_and_learns_nothing(live: Live) -> None:
    """Recorded, it could speak as a peer in the next message."""
    target = live.leader
    forged = envelope(
        live, live.followers()[0], target, sender="mallory", sender_incarnation="f" * 16
    )
    forged.addressee_incarnation = ""
    reply = send(target, "Hello", pb.HelloRequest(envelope=forged, number=1))
    assert "in no configuration here" in reply.refused
    tells_nothing(live, target, str(reply))
    known = forged
    known.addressee_incarnation = live.incarnation(target)
    code, _ = refusal(target, "Heartbeat", message("Heartbeat", known, live.term + 1))
    assert code is REFUSED


def test_the_clients_port_tells_nothing_either(live: Live) -> None:
    for node in live.nodes:
        tells_nothing(live, node, str(live.status(node)))
        with channel(node) as to:
            feed = admin_pb2_grpc.AdminStub(to).Events(
                admin_pb2.EventsRequest(from_start=True), timeout=5
            )
            for event in feed:
                tells_nothing(live, node, event.detail)
                if event.kind == "leader":
                    break
            feed.cancel()


@pytest.mark.parametrize("method", ["RequestVote", "Heartbeat", "InstallSnapshot"])
def test_a_leap_of_the_term(live: Live, method: str) -> None:
    """A term near the end of the numbers would leave no room for another election, ever."""
    target, sender = live.followers()
    code, details = refusal(target, method, message(method, envelope(live, sender, target), 2**62))
    assert code is MALFORMED
    assert "above this node's" in details


@pytest.mark.parametrize("pre", [True, False])
def test_high_term_while_the_leader_lives(live: Live, pre: bool) -> None:
    """A node that was cut off for long comes back with a high term: nobody follows it."""
    for target in live.nodes:
        sender = next(node for node in live.nodes if node is not target)
        ask = message("RequestVote", envelope(live, sender, target))
        ask.pre = pre
        reply = send(target, "RequestVote", ask)
        assert not reply.granted
        assert reply.term == live.term


def test_old_terms_are_told_the_new_one(live: Live) -> None:
    target, sender = live.followers()
    for method in ("Heartbeat", "InstallSnapshot"):
        made = message(method, envelope(live, sender, target), 1)
        assert send(target, method, made).term == live.term


def test_commit_beyond_the_log(live: Live) -> None:
    """Possible in form, so it is not refused; but nothing is committed that is not there."""
    target = live.followers()[0]
    made = pb.AppendRequest(
        envelope=envelope(live, live.leader, target), number=1, term=live.term, commit=2**61
    )
    assert send(target, "Heartbeat", made).ok
    live.cluster.wait_level()


def test_append_streams_without_a_name(live: Live) -> None:
    target = live.followers()[0]
    assert "the metadata lacks" in append_on_stream(target, None)[1]
    assert "is not an Envelope" in append_on_stream(target, b"\xff\xff")[1]
    stranger = envelope(live, live.leader, target, sender="mallory")
    code, details = append_on_stream(target, stranger)
    assert (code, "log says why" in details) == (REFUSED, True)
    said(target, "has not met mallory")
    other = pb.AppendRequest(
        envelope=envelope(live, live.followers()[1], target), number=1, term=live.term
    )
    code, details = append_on_stream(target, envelope(live, live.leader, target), other)
    assert (code, "log says why" in details) == (REFUSED, True)
    said(target, "on the stream of")


def test_time_out_now_from_a_node_that_does_not_lead(live: Live) -> None:
    target, sender = live.followers()
    for node in (target, live.leader):
        asked = message("TimeoutNow", envelope(live, sender, node), live.term)
        assert send(node, "TimeoutNow", asked).term == live.term
