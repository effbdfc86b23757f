"""How often members compare their states: what it costs is a small share of a processor."""

from __future__ import annotations

from raftd.core.agreement import SHARE, SHARE_AT_REST
from raftd.core.state import leadership
from tests.core.comparing import Comparing, formed


def costly() -> Comparing:
    """Comparing takes two seconds, with a share of 2 %; it was done once."""
    script = formed()
    script.work_seconds = 2.0 * SHARE
    assert script.check_for(1.9) == 1
    return script


def test_what_a_comparison_cost_spaces_the_next_one_while_all_is_written() -> None:
    script = costly()
    for _ in range(20):
        script.run("propose n1 a")
        script.check_for(0.45)
    marks = {mark for _, mark, _ in script.marks}
    assert 4 <= len(marks) <= 6, "nine seconds, one in two"


def test_nothing_is_written_and_it_is_compared_more_seldom_but_compared() -> None:
    """Memory changes by itself also then."""
    script = costly()
    rest = 2.0 * SHARE / SHARE_AT_REST
    assert script.check_for(rest - 2.5) == 0
    script.rotten = {"n3"}
    assert script.check_for(4.0) >= 1
    assert script.differing() == {"n1": ["n3"], "n2": ["n3"], "n3": ["n3"]}


def test_what_is_written_after_a_rest_is_compared_at_once() -> None:
    script = costly()
    assert script.check_for(3.0) == 0
    script.run("propose n1 a")
    assert script.check_for(0.3) == 1


def test_who_was_not_compared_yet_ends_the_rest() -> None:
    script = costly()
    assert script.check_for(3.0) == 0
    last = leadership(script.nodes["n1"].core._s).compared
    assert last is not None
    del last.reports["n3"]  # it was away then, and is here now
    assert script.check_for(0.3) == 1


def test_who_differs_does_not_wait_to_agree_again() -> None:
    script = costly()
    script.run("propose n1 a")
    script.rotten = {"n3"}
    script.check_for(2.0)
    assert script.differing()["n3"] == ["n3"]
    script.rotten = set()
    script.work_seconds = 100.0 * SHARE
    script.check()
    assert script.differing()["n3"] == []
