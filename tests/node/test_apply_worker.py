"""The machine's owner: in order, once, in slices; queries at their index; nothing during a
restore.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Generator
from typing import Any

import pytest

from raftd.core.types import Configuration, Entry, EntryType, SnapshotMeta
from raftd.node.apply_jobs import Query
from raftd.node.apply_worker import (
    SLICE_SECONDS,
    ApplyEntries,
    ApplyWorker,
    Capture,
    Captured,
    Install,
    Slice,
)
from raftd.node.outcomes import Answered, Outcome
from raftd.node.ownership import Ownership
from raftd.wire.batch import QUERY_ANSWER_BYTES_MAX
from tests.node.fakes import FakeClock, FakeHost, FatalNote

META = SnapshotMeta(10, 3, Configuration(("a",)))


class Bench:
    def __init__(self, host: type[FakeHost] = FakeHost) -> None:
        self.clock = FakeClock()
        self.host = host(self.clock)
        self.slices: list[Slice] = []
        self.restored: list[Callable[[], None]] = []
        self.worker = ApplyWorker(
            Ownership(self.host), self.clock, FatalNote(), self.slices.append, self._restore
        )
        self.answers: list[Outcome] = []

    def _restore(self, meta: SnapshotMeta, then: Callable[[], None]) -> None:
        def finish() -> None:
            self.host.restore(b"", io.BytesIO(b"s|n|a|p"))
            then()

        self.restored.append(finish)

    def entries(self, first: int, last: int, term: int = 1) -> None:
        made = [Entry(i, term, EntryType.BATCH, b"%d" % i) for i in range(first, last + 1)]
        self.worker.put(ApplyEntries(made))

    def query(self, index: int) -> None:
        self.worker.put(Query(index, [b"q"], self.answers.append))

    def applied(self) -> list[int]:
        return [entry.index for made in self.slices for entry, _ in made.applied]


def test_applies_in_order_and_once() -> None:
    bench = Bench()
    bench.entries(1, 3)
    bench.entries(4, 5)
    assert not bench.worker.step()
    assert bench.applied() == [1, 2, 3, 4, 5]
    assert bench.host.payloads == [b"1", b"2", b"3", b"4", b"5"]


def test_a_slice_ends_after_a_millisecond_and_goes_on_where_it_stopped() -> None:
    bench = Bench()
    bench.host.cost = 0.0004
    bench.entries(1, 10)
    steps = 1
    while bench.worker.step():
        steps += 1
    assert steps >= 3
    assert bench.applied() == list(range(1, 11))


def test_the_no_op_is_not_given_to_the_machine() -> None:
    bench = Bench()
    bench.worker.put(ApplyEntries([Entry(1, 1, EntryType.NOOP, b"")]))
    bench.worker.step()
    assert bench.host.payloads == []
    assert bench.worker.applied_index == 1


def test_a_query_waits_for_its_index() -> None:
    bench = Bench()
    bench.query(2)
    bench.worker.step()
    assert bench.answers == []
    bench.entries(1, 1)
    bench.worker.step()
    assert [len(made.answers) for made in bench.slices] == [0]
    bench.entries(2, 2)
    bench.worker.step()
    [(done, outcome)] = bench.slices[-1].answers
    assert outcome == Answered(2, [(0, b"q=2")])
    assert done == bench.answers.append


def test_nothing_touches_the_machine_while_a_snapshot_is_restored() -> None:
    bench = Bench()
    bench.worker.put(Install(META))
    bench.entries(11, 12, term=3)
    bench.query(10)
    assert not bench.worker.step()
    assert bench.host.payloads == []
    bench.restored[0]()
    bench.worker.step()
    assert bench.host.payloads == [b"s", b"n", b"a", b"p", b"11", b"12"]
    assert bench.slices[0].jumped_to == 10
    assert bench.worker.applied_term == 3


def test_a_capture_shows_the_state_at_its_place_in_the_order() -> None:
    bench = Bench()
    got: list[Captured] = []
    bench.entries(1, 2)
    bench.worker.put(Capture(got.append))
    bench.entries(3, 3)
    bench.worker.step()
    index, term, sessions, chunks = got[0]
    assert (index, term, sessions, b"".join(chunks)) == (2, 1, b"sessions", b"1|2")


def test_what_is_captured_right_after_a_restore_is_of_that_entry() -> None:
    """Its file may turn out to be rotten before anything else is applied."""
    bench, captured = Bench(), list[Captured]()
    bench.entries(1, 3)
    bench.worker.put(Install(META))
    bench.worker.step()
    bench.restored[0]()
    bench.worker.put(Capture(captured.append))
    bench.worker.step()
    assert captured[0][:2] == (META.index, META.term)


def test_a_read_behind_a_restore_waits_for_it() -> None:
    """Its index is applied in the very slice that lends the machine out."""
    bench = Bench()
    bench.query(1)
    bench.worker.step()
    bench.entries(1, 1)
    bench.worker.put(Install(META))
    bench.worker.step()
    assert not [answer for made in bench.slices for answer in made.answers]
    bench.restored[0]()
    bench.worker.step()
    [(_, outcome)] = bench.slices[-1].answers
    assert outcome == Answered(10, [(0, b"q=4")])


def test_many_reads_for_one_index_do_not_hold_the_thread_longer_than_a_slice() -> None:
    bench = Bench()
    bench.host.query_cost = 0.0004
    for _ in range(10):
        bench.query(1)
    bench.worker.step()
    bench.entries(1, 1)
    steps = 1
    while bench.worker.step():
        steps += 1
    assert steps >= 3
    assert sum(len(made.answers) for made in bench.slices) == 10


def test_a_frame_of_large_answers_is_cut_before_they_fill_the_memory() -> None:
    """The story without it: a frame may hold thousands of queries, each answer be 32 MiB, and all
    were made before anybody looked how large they are together.
    """
    bench = Bench()
    large = bytes(QUERY_ANSWER_BYTES_MAX * 3 // 4)
    bench.host.query = lambda request, principal=b"": (0, large)  # type: ignore[method-assign]
    bench.worker.put(Query(0, [b"q"] * 4096, bench.answers.append))
    bench.worker.step()
    ((_, answered),) = bench.slices[0].answers
    assert isinstance(answered, Answered)
    count = len(answered.results)
    assert count == 2


@pytest.mark.parametrize("behind", [False, True])
def test_a_long_frame_is_answered_in_slices_from_one_state(behind: bool) -> None:
    """The story without it: a frame of thousands of queries held the network thread for seconds."""
    bench = Bench()
    bench.host.query_cost = SLICE_SECONDS / 2
    bench.worker.put(Query(2 if behind else 0, [b"q"] * 40, bench.answers.append))
    bench.entries(1, 2)
    bench.entries(3, 9)
    longest, went_on = 0.0, True
    while went_on:
        began = bench.clock.time
        went_on = bench.worker.step()
        longest = max(longest, bench.clock.time - began)
    assert longest <= 4 * SLICE_SECONDS
    ((_, answered),) = [answer for made in bench.slices for answer in made.answers]
    assert isinstance(answered, Answered)
    assert len(answered.results) == 40
    assert len(set(answered.results)) == 1
    assert bench.applied() == list(range(1, 10))


def test_a_frame_that_is_half_answered_when_the_node_stops_is_handed_out() -> None:
    bench = Bench()
    bench.host.query_cost = SLICE_SECONDS
    bench.worker.put(Query(0, [b"q"] * 4, bench.answers.append))
    bench.worker.put(Query(0, [b"r"], bench.answers.append))
    bench.worker.step()
    assert [query.queries[0] for query in bench.worker.take_queries()] == [b"q", b"r"]
    assert bench.worker.take_queries() == []


class Slow(FakeHost):
    """Its entries, and its queries, take pieces of a millisecond."""

    pieces = 5

    def apply_batch(  # type: ignore[override]
        self, index: int, term: int, payload: bytes
    ) -> Generator[None, None, bytes]:
        for _ in range(self.pieces):
            self.clock.time += SLICE_SECONDS
            yield
        return super().apply_batch(index, term, payload)

    def query(  # type: ignore[override]
        self, request: bytes, principal: bytes = b""
    ) -> Generator[None, None, tuple[int, bytes]]:
        for _ in range(self.pieces):
            self.clock.time += SLICE_SECONDS
            yield
        return super().query(request, principal)


def test_an_entry_in_pieces_is_applied_in_as_many_slices() -> None:
    """The story without it: the end of a lease with many keys was one slice of seconds."""
    bench = Bench(Slow)
    got: list[Captured] = []
    bench.entries(1, 2)
    bench.worker.put(Capture(got.append))
    slices = 0
    while bench.worker.step():
        slices += 1
        assert bool(got) == (bench.worker.applied_index == 2)
    assert slices >= 2 * Slow.pieces
    assert bench.applied() == [1, 2]
    assert b"".join(got[0][3]) == b"1|2"


def test_nobody_is_answered_while_half_of_an_entry_is_applied() -> None:
    class SecondSlow(Slow):
        def apply_batch(self, index: int, term: int, payload: bytes) -> Any:
            slow = super().apply_batch(index, term, payload)
            return slow if index == 2 else FakeHost.apply_batch(self, index, term, payload)

    bench = Bench(SecondSlow)
    bench.query(1)
    bench.entries(1, 2)
    slices = 0
    while bench.worker.step():
        slices += 1
        if bench.worker.applied_index == 1:
            assert not [answer for made in bench.slices for answer in made.answers]
    assert slices >= Slow.pieces
    [(_, outcome)] = [answer for made in bench.slices for answer in made.answers]
    assert outcome == Answered(2, [(0, b"q=2")])


def test_a_query_in_pieces_is_answered_in_as_many_slices() -> None:
    bench = Bench(Slow)
    bench.worker.put(Query(0, [b"q", b"r"], bench.answers.append))
    slices = 0
    while bench.worker.step():
        slices += 1
    assert slices >= 2 * Slow.pieces - 1
    [(_, outcome)] = bench.slices[-1].answers
    assert outcome == Answered(0, [(0, b"q=0"), (0, b"r=0")])


def test_a_restore_waits_for_an_entry_that_is_under_way() -> None:
    bench = Bench(Slow)
    bench.entries(1, 1)
    bench.worker.put(Install(META))
    bench.worker.step()
    assert not bench.restored
    while bench.worker.step():
        pass
    assert bench.host.payloads == [b"1"]
    bench.restored[0]()
    bench.worker.step()
    assert bench.worker.applied_index == META.index
