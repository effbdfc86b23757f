"""(index, term) or nothing; and every waiter hears exactly one outcome."""

from __future__ import annotations

from raftd.core.types import Entry, EntryType
from raftd.node.outcomes import Applied, Outcome, Unknown
from raftd.node.waiters import Waiters


def entry(index: int, term: int) -> Entry:
    return Entry(index, term, EntryType.BATCH, b"x")


def test_the_entry_of_the_same_term_answers() -> None:
    waiters, heard = Waiters(), list[Outcome]()
    waiters.add(5, 2, 10, heard.append)
    waiters.applied(entry(5, 2), b"ok")
    assert heard == [Applied(5, 2, b"ok")]
    assert (len(waiters), waiters.bytes) == (0, 0)


def test_another_terms_entry_at_that_index_is_no_answer() -> None:
    waiters, heard = Waiters(), list[Outcome]()
    waiters.add(5, 2, 10, heard.append)
    waiters.applied(entry(5, 3), b"somebody else's")
    assert len(heard) == 1
    assert isinstance(heard[0], Unknown)


def test_lost_leadership_leaves_what_is_committed_to_be_answered() -> None:
    waiters, heard = Waiters(), list[Outcome]()
    for index in (4, 5, 6):
        waiters.add(index, 2, 10, heard.append)
    waiters.fail_above(4, "leadership was lost", "b")
    assert heard == [Unknown("leadership was lost", "b")] * 2
    waiters.applied(entry(4, 2), b"ok")
    assert heard[-1] == Applied(4, 2, b"ok")


def test_a_snapshot_jump_settles_those_below_it() -> None:
    waiters, heard = Waiters(), list[Outcome]()
    waiters.add(4, 2, 10, heard.append)
    waiters.add(9, 2, 10, heard.append)
    waiters.fail_up_to(8, "a snapshot jumped over the entry")
    assert len(heard) == 1
    assert len(waiters) == 1
