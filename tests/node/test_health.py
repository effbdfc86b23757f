"""What a node says of itself while it is no member yet."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from raftd.core.core import RaftCore
from raftd.core.types import Configuration, Identity, PeerState, Recovered, Role, Settings
from raftd.node.health import problems
from raftd.wire.refusals import REFUSED_BY, is_silence_of


@pytest.mark.parametrize(
    ("configuration", "waiting_for", "says"),
    [
        (Configuration(()), (), "no member yet: `raftctl member add n1 --peer HOST:PORT`"),
        (Configuration(("n2",), ("n1",)), (), "joining: the log is on its way here"),
        (Configuration(("n1", "n2")), ("n2",), "n2 must first record this node's incarnation"),
    ],
)
def test_who_is_not_admitted_says_what_it_waits_for(
    configuration: Configuration, waiting_for: tuple[str, ...], says: str
) -> None:
    me, rng = Identity("c", "n1", "i"), random.Random(1)
    core = RaftCore(me, Settings(), Configuration(()), Recovered(), rng, 0.0)
    state = replace(core.state(0.0), configuration=configuration, waiting_for=waiting_for)
    assert any(says in line for line in problems(state, ""))


def test_why_knows_the_problems_that_a_leader_has_with_others() -> None:
    """It told a dead member twice, or called a refusal a first start, once their words changed."""
    me, rng = Identity("c", "n1", "i"), random.Random(1)
    core = RaftCore(me, Settings(), Configuration(("n1", "n2")), Recovered(), rng, 0.0)
    silent = PeerState("n2", 0, 1, "probe", 0, 9.0)
    state = replace(
        core.state(0.0), role=Role.LEADER, admitted=True, leader="n1", peers=(silent,),
        refused_by=(("n2", "another incarnation"),),
    )  # fmt: skip
    found = problems(state, "")
    assert [is_silence_of("n2", problem) for problem in found] == [False, True], found
    assert found[0].startswith(f"{REFUSED_BY} n2: ")
    assert not any(is_silence_of("n", problem) for problem in found)
