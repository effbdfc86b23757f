"""What a client may conclude when the network carried its request twice."""

from __future__ import annotations

from typing import Any

from tests.sim.cluster import _refused_by_all


def test_one_copy_refused_says_nothing_of_the_other() -> None:
    """Seed 106960 of a campaign: one copy was in the log when the other met a closed port."""
    heard: list[tuple[str, Any]] = []
    told = _refused_by_all(lambda kind, value: heard.append((kind, value)), 2)
    told("refused", None)
    assert heard == []
    told("refused", "n2")
    assert heard == [("refused", "n2")]


def test_what_is_not_a_refusal_passes_at_once() -> None:
    heard: list[tuple[str, Any]] = []
    told = _refused_by_all(lambda kind, value: heard.append((kind, value)), 2)
    told("unknown", None)
    told("refused", None)
    assert heard == [("unknown", None)]
