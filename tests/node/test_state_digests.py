"""A state that is never digested before the next digest is due is not compared: the log says so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from raftd.core.agreement import SHARE
from raftd.core.comparing import Mark
from raftd.node.state_digests import GIVEN_UP_TOLD, NAME_MAX, StateDigests, _tellable
from tests.node.fakes import FakeClock, FatalNote


class Bench:
    """The digests of a node whose clock and marks are moved by hand."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.posted: list[Callable[[], None]] = []
        driver = SimpleNamespace(core=None, clock=self.clock, post=self.posted.append)
        self.digests = StateDigests(cast(Any, driver), FatalNote(), lambda: self.worked)
        self.number = 0
        self.worked = self.chunk_seconds = 0.0

    def begin(self, chunks: Iterator[bytes]) -> None:
        self.number += 1
        self.digests.begin(Mark(self.number, 1, self.number), [("state", chunks)])

    def slow(self) -> Iterator[bytes]:
        """While it is digested the next one is due, a minute later."""
        self.worked += self.chunk_seconds
        yield b"some"
        self.begin(self.slow())
        yield b"more"

    def overtaken(self, times: int) -> None:
        self.begin(self.slow())
        for _ in range(times):
            assert self.digests.jobs.step()

    def whole(self) -> None:
        """Ends what is under way, too."""
        self.begin(iter([b"all"]))
        while not self.posted:
            assert self.digests.jobs.step()
        self.posted.clear()


def test_a_state_that_is_never_compared_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    bench.overtaken(GIVEN_UP_TOLD - 1)
    assert not caplog.records, "a change of leaders does as much"
    for _ in range(2 * GIVEN_UP_TOLD):
        assert bench.digests.jobs.step()
    (record,) = caplog.records
    assert "not compared with the other members'" in record.getMessage()
    assert not bench.posted


def test_what_is_given_up_again_and_again_is_tried_seldom() -> None:
    """It cost half a core from then on, in vain."""
    bench = Bench()
    bench.chunk_seconds = 10.0
    bench.overtaken(GIVEN_UP_TOLD)
    assert bench.digests.jobs.step()
    looked_at = bench.worked
    for _ in range(5):
        bench.begin(bench.slow())
        assert bench.digests.jobs.step()
    assert bench.worked == looked_at
    bench.clock.time += bench.chunk_seconds / SHARE
    bench.whole()


def test_a_whole_digest_ends_the_row(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    bench.overtaken(GIVEN_UP_TOLD - 2)
    bench.whole()
    bench.overtaken(GIVEN_UP_TOLD - 1)
    assert not caplog.records


def test_a_part_is_named_in_what_every_python_calls_printable() -> None:
    assert _tellable("history from 7") == "history from 7"
    assert _tellable("a\nb\u2028\N{LATIN SMALL LETTER U WITH DIAERESIS}\U0001fae9") == "a?b???"
    assert len(_tellable("x" * 1000)) == NAME_MAX
