"""Members compare their states: the mark is met by all, and a majority says who differs."""

from __future__ import annotations

from raftd.core.agreement import NO_MAJORITY, judge
from raftd.core.comparing import Check, Differing, Mark, StateDigest
from raftd.core.events import EventKind
from raftd.core.state import leadership
from raftd.core.types import Configuration
from tests.core.comparing import Comparing, formed

THREE = Configuration(("n1", "n2", "n3"))


def test_all_agree() -> None:
    script = formed()
    script.run("propose n1 a b c")
    script.check()
    assert {name for name, _, _ in script.marks} == {"n1", "n2", "n3"}
    assert all(of.core.verdict.index == 4 for of in script.nodes.values())
    assert script.differing() == {"n1": [], "n2": [], "n3": []}


def test_who_differs_is_known_to_all_and_so_is_that_it_agrees_again() -> None:
    script = formed()
    script.rotten = {"n3"}
    script.check()
    assert script.differing() == {"n1": ["n3"], "n2": ["n3"], "n3": ["n3"]}
    told = [line for line in script.out if EventKind.STATE_DIFFERS in line]
    assert len(told) == 3, told  # once a node, however often it is found
    script.check()
    script.check()
    assert [line for line in script.out if EventKind.STATE_DIFFERS in line] == told
    script.rotten = set()
    script.check()
    script.check()
    assert script.differing() == {"n1": [], "n2": [], "n3": []}
    assert len([line for line in script.out if EventKind.STATE_AGREES in line]) == 3


def test_a_leader_that_differs_says_so_of_itself() -> None:
    script = formed()
    script.rotten = {"n1"}
    script.check()
    assert script.differing() == {"n1": ["n1"], "n2": ["n1"], "n3": ["n1"]}


def test_the_next_leader_keeps_the_verdict() -> None:
    script = formed()
    script.rotten = {"n3"}
    script.check()
    script.old = {"n3"}  # it says nothing more
    script.run("transfer n1 n2")
    script.run("stabilize")
    script.check()
    script.check()
    assert script.nodes["n2"].core.leader_id == "n2"
    assert script.differing() == {"n1": ["n3"], "n2": ["n3"], "n3": ["n3"]}


def test_a_leader_that_knows_of_no_comparison_clears_nobody() -> None:
    """It was started again. The one that differs would serve until the next comparison."""
    script = formed()
    script.rotten = {"n3"}
    script.check()
    for line in ("crash n2", "tick n1 0.1", "stabilize"):
        script.run(line)
    assert script.differing()["n2"] == ["n3"], "heartbeats tell it"
    for line in ("crash n2", "elect n2 n1", "stabilize", "tick n2 0.1", "stabilize"):
        script.run(line)
    assert script.nodes["n3"].core.leader_id == "n2"
    assert script.differing() == {"n1": ["n3"], "n2": [], "n3": ["n3"]}


def test_who_was_removed_does_not_differ_any_more() -> None:
    """With checks that are over, or that nobody else is left for, it was named for ever."""
    script = formed()
    script.rotten = {"n3"}
    script.check()
    for line in ("change n1 remove n3", "stabilize", "tick n1 0.1", "stabilize"):
        script.run(line)
    assert script.differing() == {"n1": [], "n2": [], "n3": ["n3"]}
    script.rotten = {"n2"}
    script.check()
    assert script.differing()["n1"] == ["n1", "n2"], "no majority"
    for line in ("change n1 remove n2 force", "stabilize"):
        script.run(line)
    assert script.differing()["n1"] == ["n1"], (
        "its state may be the wrong one, and a start reads it anew"
    )


def alone_in_dispute() -> Comparing:
    """n1 is the only voter that is left, and nobody could say whether it or n2 was right."""
    script = formed()
    script.run("change n1 remove n3")
    script.run("stabilize")
    script.rotten = {"n1"}
    script.check()
    assert script.differing()["n1"] == ["n1", "n2"]
    for line in ("change n1 remove n2 force", "stabilize", "join n4", "change n1 add n4"):
        script.run(line)
    script.run("stabilize")
    assert script.differing()["n1"] == ["n1"]
    return script


def test_who_stands_alone_in_dispute_goes_on_when_a_new_member_holds_the_same() -> None:
    script = alone_in_dispute()
    script.rotten = set()
    script.check()
    script.check()
    assert script.differing()["n1"] == script.differing()["n4"] == []


def test_who_stands_alone_in_dispute_is_not_right_by_being_the_only_voter() -> None:
    """The only voter was a majority by itself: its rotten state was served from then on, and the
    new member, which had read everything anew, was the one that differed.
    """
    script = alone_in_dispute()
    script.check()
    script.check()
    assert script.differing()["n1"] == script.differing()["n4"] == ["n1", "n4"]
    assert NO_MAJORITY in script.nodes["n1"].core.verdict.about("n1")


def test_a_digest_of_who_was_removed_meanwhile_is_not_judged() -> None:
    script = formed()
    n1 = script.nodes["n1"].core
    lead = leadership(n1._s)
    check = lead.check = Check(Mark(1, 1, 1), script.now, script.now + 0.05)
    for node in ("n1", "n2", "n3"):
        check.reports[node] = digest(keys=b"b" if node == "n3" else b"a")
    for line in ("change n1 remove n3", "stabilize"):
        script.run(line)
    assert lead.check is check
    script.do_tick("n1", "0.1")
    assert lead.check is not check
    assert n1.verdict.differing == ()


def test_nodes_that_do_not_digest_are_not_judged() -> None:
    script = formed()
    script.old = {"n2", "n3"}
    script.check()
    script.check()
    assert all(of.core.verdict.index == 0 for of in script.nodes.values())


def test_every_mark_is_met_at_its_index_also_under_load() -> None:
    """Entries are appended all the time, messages are late: a follower may learn of the mark with
    the very message that commits far past it.
    """
    script = formed()
    for step in range(120):
        script.run(f"propose n1 a{step} b{step}")
        script.do_tick("n1", "0.03")
        if step % 4 == 3:
            script.do_stabilize()
        else:
            script.do_persist("n1")
            script.do_deliver("n1>n2")
            script.do_persist("n2")
            script.do_deliver("n2=>n1")
    script.do_stabilize()
    marks = {(mark.index, mark.number) for _, mark, _ in script.marks}
    assert len(marks) >= 3
    for index, number in marks:
        met = {name: at for name, mark, at in script.marks if mark.number == number}
        assert met == {"n1": index, "n2": index, "n3": index}


def test_a_mark_that_was_jumped_over_is_dropped() -> None:
    script = formed()
    script.do_tick("n1", "0.1")
    script.do_stabilize()
    agreement = script.nodes["n2"].core._s.agreement
    mark = agreement.due = Mark(0, 1, 1)  # behind what it has handed out
    script.run("propose n1 a")
    script.run("stabilize")
    assert agreement.due != mark
    assert mark not in [met for _, met, _ in script.marks]


def digest(**parts: bytes) -> StateDigest:
    return StateDigest(Mark(7, 1, 1), tuple(parts.items()))


def test_a_majority_of_the_voters_is_right() -> None:
    reports = {"n1": digest(keys=b"a"), "n2": digest(keys=b"b"), "n3": digest(keys=b"a")}
    assert judge(THREE, reports) == (Differing("n2", "keys"),)


def test_a_learner_has_no_say_and_is_judged() -> None:
    configuration = Configuration(("n1", "n2", "n3"), ("l1", "l2", "l3"))
    reports = {node: digest(keys=b"a") for node in ("n1", "n2")}
    reports |= {node: digest(keys=b"b") for node in ("l1", "l2", "l3")}
    found = judge(configuration, reports)
    assert [node for node, _ in found] == ["l1", "l2", "l3"]


def test_without_a_majority_all_who_differ_are_named() -> None:
    found = judge(THREE, {"n1": digest(keys=b"a"), "n2": digest(keys=b"b")})
    what = f"keys ({NO_MAJORITY})"
    assert found == (Differing("n1", what), Differing("n2", what))


def test_a_part_is_compared_among_those_that_have_it() -> None:
    reports = {
        "n1": digest(keys=b"a", history_3=b"x"),
        "n2": digest(keys=b"a", history_3=b"x"),
        "n3": digest(keys=b"a", history_9=b"y"),
    }
    assert judge(THREE, reports) == ()
