"""Large values do not hide from the limit on the history, and what is compacted at is there."""

from __future__ import annotations

import pytest

from raftd.machine.kv.history import CHUNK_BYTES, LOOK, History

VALUE = bytes(100_000)


def grown(history: History, revisions: int) -> None:
    """As the store does it: a look when the history asks for one."""
    for _ in range(revisions):
        history.add((b"k", VALUE))
        if history.last >= history.tidy_at:
            history.roll()


def test_what_large_values_hold_is_known_soon() -> None:
    """The story without it: 512 revisions of 100 KB were 51 MB that no limit saw."""
    history = History()
    grown(history, 100)
    unseen = 100 * len(VALUE) - history.bytes
    assert unseen < CHUNK_BYTES + (LOOK + 1) * len(VALUE)


@pytest.mark.parametrize("keep", [0, 1, CHUNK_BYTES, 4 * CHUNK_BYTES])
def test_a_compaction_is_never_asked_for_at_a_revision_that_is_not_there(keep: int) -> None:
    """The store refuses such a one, and the leader waited a second before it asked again."""
    history = History()
    for _ in range(200):
        grown(history, 1)
        assert history.revision_keeping(keep) <= history.last
        if history.bytes > keep:
            history.compact(history.revision_keeping(keep))
    assert history.bytes <= keep + CHUNK_BYTES + (LOOK + 1) * len(VALUE)
