"""Looks that rest together wake together."""

from __future__ import annotations

import pytest

from raftd.beat import BEAT_SECONDS, EARLY_SECONDS, beat_after, until_beat


@pytest.mark.parametrize("began", [1000.0, 1000.013, 1000.1, 1000.249])
@pytest.mark.parametrize("off", [-EARLY_SECONDS / 2, 0.0, 0.004])
def test_looks_meet_whenever_they_begin(began: float, off: float) -> None:
    """off: how late the loop calls, or how early."""
    now = began
    for _ in range(20):
        pause = until_beat(now, 0.25)
        assert 0 < pause <= 0.25 + EARLY_SECONDS
        now += pause + off
    assert min(now % BEAT_SECONDS, BEAT_SECONDS - now % BEAT_SECONDS) <= EARLY_SECONDS


def test_it_looks_once_a_beat() -> None:
    now, looks = 1000.1, 0
    while now < 1009.9:
        now += until_beat(now, 0.25) - EARLY_SECONDS / 3
        looks += 1
    assert looks == 40


def test_longer_rests_end_on_a_beat_too() -> None:
    assert until_beat(1000.1, 2.0) == pytest.approx(1.9)


def test_what_is_quicker_than_the_beat_is_left_alone() -> None:
    assert until_beat(1000.1, 0.01) == 0.01


def test_what_must_not_come_early_waits_for_the_beat_after() -> None:
    assert beat_after(1000.1, 1.0) == pytest.approx(1.15)
    assert beat_after(1000.252, 1.0) == pytest.approx(0.998)  # what came just after a beat
    assert beat_after(1000.1, 0.2) == 0.2
