"""Random walks over the cores find nothing, and find what is planted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from raftd.core import voting
from raftd.core.progress import Progress
from tests.core.walk import walk
from tests.core.walking import Violation

SEEDS, STEPS = 20, 2000
PLANTED_SEEDS = 600


def _walks(seeds: int) -> None:
    for seed in range(1, seeds + 1):
        walk(seed, STEPS)


def test_walks_find_nothing() -> None:
    _walks(SEEDS)


def _votes_twice(patch: pytest.MonkeyPatch) -> None:
    def judge(s: Any, request: Any) -> bool:
        return s.leadership is None and voting.up_to_date(s, request.last_index, request.last_term)

    patch.setattr(voting, "judge_vote", judge)


def _believes_what_it_sent(patch: pytest.MonkeyPatch) -> None:
    shipped = Progress.matched

    def matched(self: Progress, durable: int, number: int, newest: int) -> bool:
        return shipped(self, max(durable, self.next - 1), number, newest)

    patch.setattr(Progress, "matched", matched)


@pytest.mark.parametrize("plant", [_votes_twice, _believes_what_it_sent])
def test_what_is_planted_is_found(
    monkeypatch: pytest.MonkeyPatch, plant: Callable[[pytest.MonkeyPatch], None]
) -> None:
    plant(monkeypatch)
    with pytest.raises(Violation):
        _walks(PLANTED_SEEDS)
