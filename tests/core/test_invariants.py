"""A node that contradicts itself stops, and says by which rule."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import fields, replace

import pytest

from raftd.core import invariants
from raftd.core.effects import BrokenInvariant
from raftd.core.state import HELD_MAX, HELD_VOTES_MAX, Campaign, Held, State, Transfer
from raftd.core.types import Configuration, Role
from tests.core.leading import Leader


def leadership_without_role(s: State) -> None:
    s.role = Role.FOLLOWER


def too_many_held(s: State) -> None:
    held = Held(1, "token", lambda: pytest.fail("released"), False)
    s.held = [held] * (HELD_MAX + HELD_VOTES_MAX + 1)


def broken(s: State, peer: str = "n3") -> dict[str, Callable[[], object]]:
    assert s.leadership is not None
    lead = s.leadership
    return {
        "positions": lambda: setattr(s, "applied_index", s.handed_index + 1),
        "verified": lambda: setattr(s, "verified_index", s.log.last_index + 1),
        "terms": lambda: setattr(s, "led_by", (s.current_term + 1, "n2")),
        "leader": lambda: leadership_without_role(s),
        "own-vote": lambda: setattr(s, "voted_for", "n2"),
        "campaign": lambda: setattr(s, "campaign", Campaign(s.current_term, False, False)),
        "promises": lambda: setattr(s, "durable_seq", s.next_seq),
        "held": lambda: too_many_held(s),
        "configurations": lambda: s.configurations.append((99, Configuration(("n1",)))),
        "progress": lambda: setattr(lead.progress[peer], "next", 0),
        "transfer": lambda: setattr(lead, "transfer", Transfer("n4", 9.0)),
    }


@pytest.mark.parametrize("name", [rule.name for rule in invariants.RULES])
def test_each_rule_stops_the_node_by_its_name(name: str) -> None:
    n1 = Leader()
    n1.propose(3)
    n1.core.tick(n1.now)
    broken(n1.core._s)[name]()
    with pytest.raises(BrokenInvariant, match=rf"^{name}: .*leader n1.*n3 probe match="):
        n1.core.tick(n1.now)


def test_nothing_is_handed_over_by_a_node_that_contradicts_itself() -> None:
    n1 = Leader()
    n1.core._s.commit_index = n1.core._s.log.last_index + 5
    with pytest.raises(BrokenInvariant, match=r"^positions: "):
        n1.core.propose([b"x"], n1.now)


def test_they_cost_less_than_a_hundredth_of_a_put() -> None:
    """A put is applied on three nodes and takes 1.9 ms of CPU (docs/performance.md)."""
    n1 = Leader()
    n1.propose(3)
    state, calls, best = n1.core._s, 1000, 1.0
    for _ in range(5):
        began = time.process_time()
        for _ in range(calls):
            invariants.positions(state)
        best = min(best, (time.process_time() - began) / calls)
    print(f"positions: {best * 1e6:.2f} us a call")
    assert 3 * best < 0.01 * 1.9e-3


def test_peers_that_joined_have_progress() -> None:
    n1 = Leader()
    state = n1.core._s
    with_n4 = replace(state.configuration, learners=("n4",))
    state.configurations.append((1, with_n4))
    with pytest.raises(BrokenInvariant, match=r"^progress: "):
        n1.core.tick(n1.now)


def test_every_field_of_the_state_says_what_holds_of_it() -> None:
    said = set(re.findall(r"\w+", State.__doc__ or ""))
    silent = [item.name for item in fields(State) if item.name not in said]
    assert silent == [], "say in State's docstring what always holds of these"
