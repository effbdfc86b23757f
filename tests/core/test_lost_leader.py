"""A node that may not campaign notices all the same that its leader is silent."""

from __future__ import annotations

import random

from raftd.core.core import RaftCore
from raftd.core.effects import Effects, NotLeader
from raftd.core.messages import AppendRequest, Channel, HelloRequest, ReadIndexRequest
from raftd.core.types import Configuration, HardState, Identity, Recovered, Settings

MEMBERS = Configuration(("n1", "n2"), ("n3",))
RECORDS = (("n1", "a"), ("n2", "b"))
TIMEOUT = 1.5
"""The longest, by the settings of these tests."""


def learner(*, admitted: bool = True) -> RaftCore:
    """n3, which hears from n1, the leader of term 4, at 10.0 s."""
    recovered = Recovered(HardState(4, None), admitted, RECORDS)
    core = RaftCore(
        Identity("0" * 16, "n3", "c"), Settings(), MEMBERS, recovered, random.Random(1), 0.0
    )
    core.start(0.0)
    core._s.joins = not admitted  # else it does not even listen
    hear(core, 10.0)
    assert core.leader_id == "n1"
    return core


def hear(core: RaftCore, now: float) -> None:
    core.step(AppendRequest(4, "n1", 0, 0, (), 0), now, "heartbeat")


def silence(core: RaftCore, seconds: float) -> Effects:
    """Ticks in time from 10.0 s on; the effects of them all."""
    told = Effects()
    now = 10.0
    while now < 10.0 + seconds:
        now += 0.05
        fx = core.tick(now)
        told.events += fx.events
        told.failed += fx.failed
    return told


def test_a_learner_names_no_leader_that_it_has_lost() -> None:
    core = learner()
    told = silence(core, TIMEOUT + 0.1)
    assert core.leader_id is None
    assert [event.detail for event in told.events] == ["leader n1 was lost: election timeout"]
    assert silence(core, TIMEOUT).events == [], "said once"
    hear(core, 20.0)
    assert core.leader_id == "n1"


def test_what_its_clients_wait_for_fails_then() -> None:
    """A node that joins asks its leader nothing before it is admitted."""
    core = learner(admitted=False)
    core.read(10.0, "read")
    assert not isinstance(core.next_request("n1", Channel.CONTROL, 10.0), ReadIndexRequest)
    [(token, refusal)] = silence(core, TIMEOUT + 0.1).failed
    assert token == "read"
    assert isinstance(refusal, NotLeader)


def test_a_late_tick_lets_waiting_messages_be_read_first() -> None:
    core = learner()
    core.tick(30.0)
    assert core.leader_id == "n1", "its process may have stood still"
    core.tick(30.0 + Settings().heartbeat_interval)
    assert core.leader_id is None


def test_it_asks_then_whether_anybody_still_knows_it() -> None:
    core = learner()
    for greeting in core._s.greetings.values():
        greeting.done = True
    silence(core, TIMEOUT + 0.1)
    assert isinstance(core.next_request("n2", Channel.CONTROL, 12.0), HelloRequest)
