"""`wake_at` names no moment at which nothing can be done: its driver would come back for ever."""

from __future__ import annotations

import random

from raftd.core.core import RaftCore
from raftd.core.effects import Effects
from raftd.core.messages import Channel, HelloReply, HelloRequest, VoteReply, VoteRequest
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
