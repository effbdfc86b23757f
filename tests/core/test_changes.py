"""What a leader makes of a change that it is asked for, and what it refuses, in one line."""

from __future__ import annotations

from dataclasses import replace

import pytest

from raftd.core.changes import MEMBERS_MAX, Change, ChangeKind, next_configuration
from raftd.core.configuration_format import RETIRED_MAX
from raftd.core.effects import ChangeRefused, Unavailable
from raftd.core.types import Configuration, Member
from tests.core.commands import Script

N4 = Member("n4", "n4:1", "n4:2", "i-n4")
THREE = Configuration(("n1", "n2", "n3"))
FOUR = Configuration(("n1", "n2", "n3"), ("n4",), about=(N4,))


def asked(now: Configuration, kind: str, node: str | Member, by: str = "") -> Configuration:
    member = node if isinstance(node, Member) else Member(node)
    return next_configuration(now, Change(ChangeKind(kind), member, by))


def test_each_kind_of_change() -> None:
    assert asked(THREE, "add", N4) == FOUR
    promoted = asked(FOUR, "promote", "n4")
    assert promoted == Configuration(("n1", "n2", "n3", "n4"), about=(N4,))
    assert asked(promoted, "demote", "n4") == FOUR
    assert asked(FOUR, "remove", "n4") == replace(THREE, retired=("n4",))
    joint = asked(FOUR, "replace", "n3", by="n4")
    assert (joint.voters, joint.outgoing, joint.retired) == (
        ("n1", "n2", "n4"),
        ("n1", "n2", "n3"),
        (),
    )
    moved = asked(FOUR, "update", Member("n4", "elsewhere:1"))
    assert moved.member("n4") == replace(N4, peer_address="elsewhere:1", moved=True)


@pytest.mark.parametrize(
    ("now", "kind", "node"),
    [
        (FOUR, "add", N4),
        (FOUR, "promote", "n1"),
        (FOUR, "demote", "n4"),
        (replace(THREE, retired=("n9",)), "remove", "n9"),
    ],
)
def test_what_is_so_already_changes_nothing(
    now: Configuration, kind: str, node: str | Member
) -> None:
    assert asked(now, kind, node) == now


@pytest.mark.parametrize(
    ("now", "kind", "node", "why"),
    [
        (FOUR, "add", replace(N4, peer_address="x:1"), "is a member already"),
        (FOUR, "add", Member("n4", "x:1"), "already: at n4:1; `update` changes its addresses"),
        (FOUR, "add", replace(N4, incarnation="wiped"), "lacks its votes and log"),
        (THREE, "add", Member("n4", "n4:1", "n4:2"), "must run when it is added"),
        (THREE, "add", Member("n4", "", "n4:2", "i"), "needs addresses"),
        (replace(THREE, retired=("n4",)), "add", N4, "an id is used once"),
        (FOUR, "add", Member("n5", "n4:1", "n5:2", "i"), "n4:1 is an address of 'n4' already"),
        (THREE, "promote", "n4", "'n4' is no member; members: n1, n2, n3"),
        (replace(THREE, retired=("n4",)), "promote", "n4", "an id is used once"),
        (Configuration(("n1",)), "remove", "n1", "the only voter"),
        (Configuration(("n1",)), "demote", "n1", "the only voter"),
        (FOUR, "replace", "n4", "is a learner"),
        (FOUR, "update", Member("n1", "n4:1"), "is an address of 'n4' already"),
    ],
)
def test_what_makes_no_sense_is_refused(
    now: Configuration, kind: str, node: str | Member, why: str
) -> None:
    with pytest.raises(ChangeRefused, match=why) as caught:
        asked(now, kind, node)
    assert "\n" not in str(caught.value)


def test_a_voter_is_replaced_by_a_learner_only() -> None:
    with pytest.raises(ChangeRefused, match="'n2' is no learner: add it first"):
        asked(FOUR, "replace", "n3", by="n2")


def test_limits() -> None:
    names = tuple(sorted(f"m{number}" for number in range(MEMBERS_MAX)))
    with pytest.raises(ChangeRefused, match=f"has {MEMBERS_MAX} members, which is the limit"):
        asked(Configuration(names), "add", N4)
    gone = tuple(f"g{number}" for number in range(RETIRED_MAX))
    after = asked(replace(FOUR, retired=gone), "remove", "n4")
    assert after.retired == (*gone[1:], "n4")


# -- what only a leader can judge --


def cluster(*lines: str) -> Script:
    env = Script()
    start = ("cluster 3", "boot", "join n4", "campaign n1", "stabilize n1 n2 n3 quietly")
    for line in (*start, *lines):
        env.run(line)
    env.out.clear()
    return env


def said(env: Script, line: str) -> str:
    env.run(line)
    return env.out[0]


def test_a_learner_that_is_still_joining_is_not_promoted_even_by_force() -> None:
    env = cluster("change n1 add n4", "stabilize n1 n2 n3 quietly")
    assert "still joining" in said(env, "change n1 promote n4 force")


def test_a_learner_that_does_not_answer_is_promoted_by_force_only() -> None:
    env = cluster("change n1 add n4", "stabilize quietly", "propose n1 a", "stabilize quietly")
    env.run("advance 1.5")
    env.out.clear()
    assert "'n4' does not answer" in said(env, "change n1 promote n4")
    assert "assigned" in said(cluster_after(env), "change n1 promote n4 force")


def cluster_after(env: Script) -> Script:
    env.out.clear()
    return env


def test_a_learner_that_lacks_much_is_not_promoted() -> None:
    env = cluster("change n1 add n4", "stabilize quietly", "propose n1 a", "stabilize quietly")
    env.run("propose n1 " + " ".join(["x"] * 1100) + " quietly")
    env.run("stabilize n1 n2 n3 quietly")
    env.out.clear()
    assert "'n4' has not caught up: it lacks 1100 entries" in said(env, "change n1 promote n4")


def test_a_change_that_leaves_no_majority_in_contact_is_refused() -> None:
    """n3 is silent: without n2 there would be two voters, one of them down."""
    env = cluster("advance 1.5", "tick n1", "deliver n1>n2", "deliver n2=>n1")
    line = said(env, "change n1 remove n2")
    assert "no contact with n3" in line
    assert "use force" in line
    assert "assigned" in said(cluster_after(env), "change n1 remove n3")


def test_no_voter_may_come_whose_fellows_nobody_has_met() -> None:
    """n3 was never heard of by this leader: its disk could be lost, and nobody would notice."""
    env = Script()
    for line in ("cluster 3", "boot", "join n4", "campaign n1", "stabilize n1 n2 quietly"):
        env.run(line)
    for line in ("change n1 add n4", "stabilize n1 n2 n4 quietly", "propose n1 a"):
        env.run(line)
    env.run("stabilize n1 n2 n4 quietly")
    env.nodes["n1"].core._s.records.pop("n3")
    env.nodes["n1"].core._s.incarnations.pop("n3")
    found = env.nodes["n1"].core._s.configurations[-1]
    env.nodes["n1"].core._s.configurations[-1] = (
        found[0],
        replace(found[1], about=tuple(m for m in found[1].about if m.node != "n3")),
    )
    env.out.clear()
    assert "n3 has not been heard of by this leader" in said(env, "change n1 promote n4")


def test_nothing_changes_while_leadership_is_handed_over() -> None:
    env = cluster("transfer n1 n2")
    assert said(env, "change n1 add n4").startswith(f"{Unavailable.__name__}: leadership is being")
