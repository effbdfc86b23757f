"""How often the collector looks at everything: each look stops every thread of the node."""

from __future__ import annotations

import gc

import pytest

from raftd.daemon import resources
from raftd.daemon.resources import GROWN, REST_ROUNDS, THAW_ROUNDS, Collections


class Collected:
    """What `Collections` asks for; `there`: objects that are not looked at."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.there = 1000
        self.looks = 0
        patch.setattr(resources, "collect", self.collect)
        self.counts = 0
        patch.setattr(gc, "get_freeze_count", self.count)
        self.collections = Collections()

    def collect(self, *, thaw: bool) -> None:
        self.looks += thaw

    def count(self) -> int:
        self.counts += 1
        return self.there

    def minutes(self, count: int) -> int:
        before = self.looks
        for _ in range(count):
            self.collections.round()
        return self.looks - before


def test_a_node_at_rest_is_looked_at_once_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    collected = Collected(monkeypatch)
    assert collected.minutes(THAW_ROUNDS) == 1, "what a start left behind"
    assert collected.minutes(REST_ROUNDS - 1) == 0
    assert collected.minutes(1) == 1
    assert collected.counts <= 30, "it walks through all that is there"


def test_one_that_grows_is_looked_at_once_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else what 5,000 streams leave would stay until the next day, and the next 5,000 beside it."""
    collected = Collected(monkeypatch)
    collected.minutes(THAW_ROUNDS)
    for _ in range(3):
        collected.there = int(GROWN * collected.there) + 1
        assert collected.minutes(THAW_ROUNDS) == 1
