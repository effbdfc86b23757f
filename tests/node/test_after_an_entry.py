"""What a machine has to do after an entry may come in pieces, as the entry itself."""

from __future__ import annotations

from typing import Any

from raftd.node.apply_worker import SLICE_SECONDS, Install
from tests.node.fakes import FakeClock, FakeHost
from tests.node.test_apply_worker import META, Bench, Slow


class TellsLong(FakeHost):
    """What it does after an entry takes pieces of a millisecond."""

    watches = True

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.told: list[int] = []

    def on_applied(self, index: int) -> Any:
        for _ in range(Slow.pieces):
            self.clock.time += SLICE_SECONDS
            yield
        self.told.append(index)


def test_an_entry_counts_once_what_comes_after_it_is_done() -> None:
    """The story without it: who watched 300,000 keys that an entry deleted was found in one go. And
    were its caller answered before, a watch that it began then would be told of it once more.
    """
    bench = Bench(TellsLong)
    bench.entries(1, 2)
    bench.query(1)
    slices = 0
    while bench.worker.step():
        slices += 1
        assert len(bench.applied()) <= len(bench.host.told), "its caller was not answered"  # type: ignore[attr-defined]
        assert not [made for made in bench.slices if made.answers and len(bench.applied()) < 2]
    assert slices >= 2 * Slow.pieces - 2
    assert bench.applied() == bench.host.told == [1, 2]  # type: ignore[attr-defined]
    assert bench.host.payloads == [b"1", b"2"]


def test_what_comes_after_a_restore_is_done_before_anything_else() -> None:
    """Also before who has waited for that index is answered: see above."""
    bench = Bench(TellsLong)
    bench.query(META.index)
    bench.worker.step()
    bench.worker.put(Install(META))
    bench.entries(11, 11)
    bench.worker.step()
    bench.restored[0]()
    slices = 0
    while bench.worker.step():
        slices += 1
        told = META.index in bench.host.told  # type: ignore[attr-defined]
        assert told or b"11" not in bench.host.payloads
        assert told or not [made for made in bench.slices if made.answers]
    assert slices >= Slow.pieces
    assert bench.host.told == [META.index, 11]  # type: ignore[attr-defined]
    assert [made for made in bench.slices if made.answers]
