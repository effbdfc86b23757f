"""What no correct peer can say is refused before anything has changed, whoever says it."""

from __future__ import annotations

import random
from copy import deepcopy
from typing import Any

import pytest

from raftd.core.core import RaftCore
from raftd.core.effects import ImpossibleMessage
from raftd.core.messages import (
    AppendReply,
    AppendRequest,
    Channel,
    HelloReply,
    HelloRequest,
    NotAdmitted,
    ReadIndexReply,
    ReadIndexRequest,
    Reply,
    Request,
    SnapshotReply,
    SnapshotRequest,
    TimeoutNowRequest,
    VoteReply,
    VoteRequest,
)
from raftd.core.types import Configuration, Identity, SnapshotMeta
from tests.core.commands import Script
from tests.core.paper import append, ask, formed, script, sync

MEMBERS = Configuration(("n1", "n2", "n3"))


def remembered(core: RaftCore) -> dict[str, Any]:
    """All that a node remembers, but for its random numbers."""
    state = core._s
    held = {name: getattr(state, name) for name in type(state).__slots__ if name != "rng"}
    log = held.pop("log")
    held["log"] = [getattr(log, name) for name in type(log).__slots__]
    return deepcopy(held)


def chunk(term: int, index: int, meta_term: int, leader: str = "n2") -> SnapshotRequest:
    meta = SnapshotMeta(index, meta_term, MEMBERS, size_bytes=100, crc=1)
    return SnapshotRequest(term, leader, meta, 0, b"x", number=1)


def follower() -> Script:
    """n1 follows n2 in term 3; entries 1 and 2 are committed, 4 are there."""
    env = formed("disk n1 terms=1,1,2,3 term=3")
    ask(env, "n1", append(3, (2, 1), 2, 3, commit=2))
    return env


def of_n3(request: AppendRequest) -> AppendRequest:
    return AppendRequest(
        request.term, "n3", request.prev_index, request.prev_term, request.entries, request.commit
    )


IMPOSSIBLE: dict[str, tuple[Request, str]] = {
    "second-leader": (of_n3(append(3, (0, 0))), "two leaders in term 3: n2 and n3"),
    "second-leader-with-a-snapshot": (chunk(3, 9, 3, "n3"), "two leaders in term 3"),
    "heartbeat-with-a-wrong-term": (append(3, (2, 2)), "it is committed with term 1"),
    "newer-leader-with-a-wrong-term": (append(9, (2, 7)), "it is committed with term 1"),
    "committed-overwritten": (append(3, (0, 0), 1, 3), "overwrites entry 2, but 2 is committed"),
    "committed-overwritten-later": (append(9, (1, 1), 9), "overwrites entry 2, but 2"),
    "own-entry-taken-back": (append(3, (2, 1), 2, 2), "takes back entry 4 of its own term"),
    "another-history": (chunk(3, 2, 3), "is committed with term 1"),
    "a-history-that-falls": (chunk(9, 9, 0), "entry 2 is committed with term 1"),
}


@pytest.mark.parametrize("kind", IMPOSSIBLE)
def test_an_impossible_request_changes_nothing(kind: str) -> None:
    request, words = IMPOSSIBLE[kind]
    env = follower()
    core = env.nodes["n1"].core
    before = remembered(core)
    with pytest.raises(ImpossibleMessage, match=words):
        core.step(request, env.now, "asked")
    assert remembered(core) == before
    reply = ask(env, "n1", append(3, (4, 3), commit=4))
    assert isinstance(reply, AppendReply)
    assert reply.ok, "its leader is followed as before"


def test_a_leader_refuses_a_second_one() -> None:
    env = script("settings prevote=no", "cluster 3", "boot", "elect n1 n3")
    core = env.nodes["n1"].core
    before = remembered(core)
    with pytest.raises(ImpossibleMessage, match="two leaders in term 1: n1 and n2"):
        core.step(append(1, (0, 0)), env.now, "asked")
    assert remembered(core) == before


@pytest.mark.parametrize(
    "reply",
    [
        AppendReply(1, True, 99, number=1),
        AppendReply(1, False, 99, 0, 1, number=1),
        SnapshotReply(1, 5, False, 99, 1),
        SnapshotReply(1, 101, False, 0, 1),
    ],
    ids=str,
)
def test_a_leader_believes_no_more_than_it_has_sent(reply: AppendReply | SnapshotReply) -> None:
    """Else it would take the follower for longer than itself, and offer it snapshot 0 for ever."""
    env = script("settings prevote=no", "cluster 3", "boot", "elect n1 n3")
    core = env.nodes["n1"].core
    sent: Request = append(1, (0, 0))
    if isinstance(reply, SnapshotReply):
        sent = chunk(1, 5, 1, "n1")
    before = remembered(core)
    with pytest.raises(ImpossibleMessage):
        core.on_reply("n2", sent, reply, env.now)
    assert remembered(core) == before
    core.unreachable("n2", sent, env.now)


class Forger:
    """Any message, in anybody's name, with numbers that are near the right ones, or far off."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)

    def number(self, most: int = 6) -> int:
        return self.rng.choice((self.rng.randrange(most), self.rng.randrange(most), 2**61))

    def term(self) -> int:
        return self.rng.randrange(1, 6)

    def name(self) -> str:
        return self.rng.choice(("n2", "n3"))

    def request(self) -> Request:
        rng, term, name = self.rng, self.term(), self.name()
        kind = rng.randrange(7)
        if kind == 0:
            return VoteRequest(
                term, name, self.number(), rng.randrange(term + 1), rng.random() < 0.5, True
            )
        if kind == 1:
            return TimeoutNowRequest(term, name, number=1)
        if kind == 2:
            return ReadIndexRequest(term, number=1)
        if kind == 3:
            return HelloRequest(Identity("c", name, "i-forged"), (("n1", "i-n1"),), number=1)
        if kind == 4:
            return chunk(term, self.number() + 1, rng.randrange(1, term + 1), name)
        prev = rng.randrange(6)
        terms = sorted(rng.randrange(1, term + 1) for _ in range(rng.randrange(4)))
        prev_term = rng.randrange(1, (terms or [term])[0] + 1) if prev else 0
        made = append(term, (prev, prev_term), *terms, commit=self.number())
        return of_n3(made) if name == "n3" else made

    def reply(self) -> Reply:
        rng, term = self.rng, self.term()
        return rng.choice(
            (
                AppendReply(term, rng.random() < 0.5, self.number(), term, self.number(), 1),
                SnapshotReply(term, self.number(), rng.random() < 0.5, self.number(), 1),
                VoteReply(term, rng.random() < 0.5, rng.random() < 0.5),
                ReadIndexReply(term, True, self.number(), 1),
                HelloReply(Identity("c", self.name(), "i-forged"), (), number=1),
                NotAdmitted(1),
            )
        )


@pytest.mark.parametrize("seed", range(4))
def test_forged_messages_at_random_end_no_node(seed: int) -> None:
    """What comes out is an answer or a refusal: nothing else may come from outside."""
    forger = Forger(seed)
    refused = 0
    env = follower()
    for number in range(2_000):
        if number % 20 == 0:
            leads = forger.rng.random() < 0.5
            env = follower()
            if leads:
                env = script("settings prevote=no", "cluster 3", "boot", "elect n1 n3")
        core, queued = env.nodes["n1"].core, env.nodes["n1"].queued
        try:
            ask(env, "n1", forger.request())
            for channel in Channel:
                sent = core.next_request("n2", channel, env.now)
                if sent is not None:
                    queued += core.on_reply("n2", sent, forger.reply(), env.now).persist
        except ImpossibleMessage:
            refused += 1
        env.now += forger.rng.random() * 0.2
        queued += core.tick(env.now).persist
        if queued and forger.rng.random() < 0.5:
            sync(env, "n1")
    assert refused > 50
