"""`wake_at` names no moment at which nothing can be done: its driver would come back for ever."""

from __future__ import annotations

import random

from raftd.core.core import RaftCore
from raftd.core.effects import Effects
from raftd.core.messages import (
    AppendReply,
    AppendRequest,
    Channel,
    HelloReply,
    HelloRequest,
    VoteReply,
    VoteRequest,
)
from raftd.core.types import HardState, Identity, Recovered, Settings
from tests.core.leading import CONFIGURATION, RECORDS, Leader


def test_a_peer_that_was_never_met_makes_no_timer_due() -> None:
    """A leader of three, of which one had never been started, ticked a thousand times a second."""
    n1 = Leader()
    state = n1.core._s
    del state.incarnations["n3"], state.greetings["n3"]
    [hello] = n1.owed("n3", Channel.CONTROL)
    assert isinstance(hello, HelloRequest)
    for _ in range(5):
        n1.now = n1.core.wake_at(n1.now)
        n1.do(n1.core.tick(n1.now))
        n1.owed("n2", Channel.CONTROL)
        assert n1.owed("n3", Channel.CONTROL) == []
        assert n1.core.wake_at(n1.now) > n1.now
    met = n1.answer("n3", hello, HelloReply(Identity("0" * 16, "n3", "c"), ()))
    assert ("n3", Channel.CONTROL) in met.wake
    assert n1.owed("n3", Channel.CONTROL) != []


def test_nobody_is_asked_again_for_a_vote_before_the_own_vote_is_durable() -> None:
    """With `self_vote_last` and a disk that was slow then, a candidate ticked on and on."""
    settings = Settings(prevote=False, self_vote_last=True)
    recovered = Recovered(HardState(1, None), True, RECORDS)
    identity, rng = Identity("0" * 16, "n1", "a"), random.Random(1)
    core = RaftCore(identity, settings, CONFIGURATION, recovered, rng, 0.0)
    core.start(0.0)
    now = 2.0
    while not (fx := core.tick(now)).persist:
        now += 0.05
    core.persisted(fx.persist[-1].seq, now)
    asked = {peer: votes(core, peer, now) for peer in ("n2", "n3")}
    fx = core.on_reply("n2", asked["n2"], VoteReply(asked["n2"].term, True, False), now)
    assert fx.persist, "its own vote"
    core.unreachable("n3", asked["n3"], now)
    now += settings.heartbeat_interval
    core.tick(now)
    assert core.next_request("n3", Channel.CONTROL, now) is None
    assert core.wake_at(now) > now
    told: Effects = core.persisted(fx.persist[-1].seq, now)
    assert ("n3", Channel.CONTROL) in told.wake


def votes(core: RaftCore, peer: str, now: float) -> VoteRequest:
    """What it owes to `peer` at last."""
    found = None
    while (sent := core.next_request(peer, Channel.CONTROL, now)) is not None:
        found = sent
    assert isinstance(found, VoteRequest)
    return found


def heartbeats(n1: Leader, peer: str) -> int:
    return len([sent for sent in n1.owed(peer, Channel.CONTROL) if isinstance(sent, AppendRequest)])


def parted(company: float, apart: float) -> Leader:
    """Its heartbeats to n3 are due so long after those to n2."""
    n1 = Leader(heartbeat_company=company)
    n1.turn()
    progress = n1.core._s.leadership.progress  # type: ignore[union-attr]
    progress["n2"].heartbeat_at, progress["n3"].heartbeat_at = n1.now + 0.1, n1.now + 0.1 + apart
    return n1


def test_heartbeats_that_are_due_soon_go_with_one_that_is_due() -> None:
    """A leader woke twice in each interval: once for each of its followers."""
    n1 = parted(company=0.25, apart=0.02)
    n1.now += 0.05
    n1.do(n1.core.tick(n1.now))
    assert [heartbeats(n1, "n2"), heartbeats(n1, "n3")] == [0, 0], "nobody's is due"
    n1.now += 0.051
    woken = n1.do(n1.core.tick(n1.now)).wake
    assert {("n2", Channel.CONTROL), ("n3", Channel.CONTROL)} <= set(woken)
    assert [heartbeats(n1, "n2"), heartbeats(n1, "n3")] == [1, 1]
    assert n1.core.wake_at(n1.now) == n1.now + 0.1


def test_heartbeats_that_are_due_later_go_later() -> None:
    for company, apart in ((0.25, 0.03), (0.0, 0.02)):
        n1 = parted(company, apart)
        n1.now += 0.1
        n1.do(n1.core.tick(n1.now))
        assert [heartbeats(n1, "n2"), heartbeats(n1, "n3")] == [1, 0]


def test_an_answer_wakes_who_sends_entries_only_if_there_are_any_to_send() -> None:
    n1 = Leader()
    n1.turn()
    for waiting in (False, True):
        if waiting:
            n1.do(n1.core.propose([b"x"], n1.now))
        n1.now += 0.1
        n1.do(n1.core.tick(n1.now))
        [beat] = n1.owed("n2", Channel.CONTROL)
        told = n1.answer("n2", beat, AppendReply(n1.term, True, 1, number=beat.number))
        assert (("n2", Channel.APPEND) in told.wake) == waiting
    assert n1.owed("n2", Channel.APPEND)


def test_a_peer_that_says_hello_is_greeted_at_once() -> None:
    """The first of three to start took part a second after the other two led and served."""
    identity, rng = Identity("0" * 16, "n1", "a"), random.Random(1)
    fresh = Recovered(HardState(0, None), False, ())
    core = RaftCore(identity, Settings(), CONFIGURATION, fresh, rng, 0.0)
    core.start(0.0)
    now = 0.0
    for _ in range(4):  # n2 is not up yet: it is asked less and less often
        now = max(now, core.wake_at(now))
        core.tick(now)
        asked = core.next_request("n2", Channel.CONTROL, now)
        if asked is not None:
            core.unreachable("n2", asked, now)
    now += 0.01
    assert core.next_request("n2", Channel.CONTROL, now) is None
    told = core.step(HelloRequest(Identity("0" * 16, "n2", "b"), (), number=1), now, "token")
    assert ("n2", Channel.CONTROL) in told.wake
    assert isinstance(core.next_request("n2", Channel.CONTROL, now), HelloRequest)
    again = core.step(HelloRequest(Identity("0" * 16, "n2", "b"), (), number=2), now, "token")
    assert ("n2", Channel.CONTROL) not in again.wake, "one is on its way"


def test_a_peer_that_has_refused_this_node_is_not_asked_sooner_for_saying_hello() -> None:
    """A node with an empty disk and its old name would ask those who know it in a hail."""
    identity, rng = Identity("0" * 16, "n1", "a"), random.Random(1)
    core = RaftCore(
        identity, Settings(), CONFIGURATION, Recovered(HardState(0, None), False, ()), rng, 0.0
    )
    core.start(0.0)
    core.tick(0.0)
    asked = core.next_request("n2", Channel.CONTROL, 0.0)
    assert isinstance(asked, HelloRequest)
    known = Identity("0" * 16, "n2", "b")
    core.on_reply("n2", asked, HelloReply(known, (), "n1 was another", asked.number), 0.0)
    told = core.step(HelloRequest(known, (), number=1), 0.01, "token")
    assert ("n2", Channel.CONTROL) not in told.wake
    assert core.next_request("n2", Channel.CONTROL, 0.01) is None
