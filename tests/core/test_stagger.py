"""After the leader's death the others ask for votes by turns."""

from __future__ import annotations

import random
from dataclasses import replace

from raftd.core.core import RaftCore
from raftd.core.messages import AppendRequest
from raftd.core.types import Configuration, HardState, Identity, Recovered, Settings

NAMES = ("n1", "n2", "n3", "n4", "n5")
SETTINGS = Settings(election_timeout_min=1.0, election_timeout_max=2.0)


def waits(term: int, configuration: Configuration, nodes: tuple[str, ...]) -> dict[str, float]:
    """How long each of `nodes` waits when all of them lose n5, the leader of `term`, at once."""
    found = {}
    for seed, node in enumerate(nodes):
        identity = Identity("0" * 16, node, "a")
        records = tuple((name, "a") for name in NAMES if name != node)
        recovered = Recovered(HardState(term, None), True, records)
        core = RaftCore(identity, SETTINGS, configuration, recovered, random.Random(seed), 0.0)
        core.start(0.0)
        core.step(AppendRequest(term, "n5", 0, 0, (), 0), 9.0, "heartbeat")
        core.link_lost("n5", 9.0)
        found[node] = core._s.election_deadline - 9.0
    return found


def test_each_voter_has_a_turn_of_its_own() -> None:
    """Two that ask at once split the votes."""
    first = set()
    for term in range(4, 8):
        by_wait = sorted(waits(term, Configuration(NAMES), NAMES[:4]).items(), key=lambda x: x[1])
        share = SETTINGS.link_lost_stagger_max / 4
        for turn, (_, wait) in enumerate(by_wait):
            assert turn * share <= wait <= (turn + 0.5) * share
        first.add(by_wait[0][0])
    assert first == set(NAMES[:4]), "leadership is not always the same node's"


def test_a_learner_waits_longest() -> None:
    configuration = replace(Configuration(NAMES[1:]), learners=("n1",))
    found = waits(4, configuration, NAMES[:4])
    assert max(found, key=found.__getitem__) == "n1"


def test_a_leader_that_is_heard_again_is_told_of() -> None:
    """Calls wait from "the link broke" on: they must hear that there is nothing to wait for."""
    identity = Identity("0" * 16, "n1", "a")
    recovered = Recovered(HardState(4, None), True, (("n5", "a"),))
    rng = random.Random(1)
    core = RaftCore(identity, SETTINGS, Configuration(NAMES), recovered, rng, 0.0)
    core.start(0.0)
    heartbeat = AppendRequest(4, "n5", 0, 0, (), 0)
    seen = [core.seeks_leader]
    core.step(heartbeat, 9.0, "heartbeat")
    seen.append(core.seeks_leader)
    core.link_lost("n5", 9.0)
    seen.append(core.seeks_leader)
    told = core.step(heartbeat, 9.001, "heartbeat").events
    assert [event.detail for event in told] == ["leader n5 is heard again"]
    assert [*seen, core.seeks_leader] == [True, False, True, False]
    assert core.step(heartbeat, 9.002, "heartbeat").events == []
