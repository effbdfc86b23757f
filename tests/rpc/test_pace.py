"""A long transfer's rests, by a clock that the test turns."""

from __future__ import annotations

import pytest

from raftd.rpc.plumbing.pace import QUIET_SECONDS, Pace

RATE = 1000.0


def sent(
    pace: Pace, pieces: int, now: float, *, work: int | None = None, each: float = 0.0
) -> float:
    """The clock after so many pieces of 100 bytes. each: seconds that one takes by itself."""
    for piece in range(pieces):
        now += each
        now += pace.rest(100, piece if work is None else work, now)
    return now


@pytest.mark.parametrize("each", [0.0, 0.02, 0.1], ids=["quick", "slower", "as slow as the pace"])
def test_beside_work_the_pace_is_kept_however_long_a_piece_takes(each: float) -> None:
    assert sent(Pace(RATE, 5.0), 50, 5.0, each=each) == pytest.approx(10.0, abs=0.11)


def test_a_slow_reader_is_not_made_slower_and_saves_nothing_up() -> None:
    pace = Pace(RATE, 0.0)
    now = sent(pace, 10, 0.0, each=0.5)
    assert now == pytest.approx(5.0, abs=0.11)
    assert sent(pace, 10, now) == pytest.approx(now + 1.0, abs=0.11)


def test_without_work_there_is_no_rest_and_with_it_again() -> None:
    pace = Pace(RATE, 0.0)
    quiet = sent(pace, 1000, 0.0, work=7)
    assert quiet == pytest.approx(QUIET_SECONDS, abs=0.11)
    assert sent(pace, 1000, quiet, work=7) == quiet
    assert pace.rest(100, 8, quiet) == pytest.approx(0.1)
