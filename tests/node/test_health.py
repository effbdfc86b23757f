"""What a node says of itself while it is no member yet."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from raftd.core.core import RaftCore
from raftd.core.types import Configuration, Identity, Recovered, Settings
from raftd.node.health import problems


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
