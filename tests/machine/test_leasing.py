"""Leases in time: who counts, who proposes their end, and what a new or a paused leader may not do.

The node is a fake with a clock of its own; what it is asked to propose is applied, or not, by hand.
"""

from __future__ import annotations

import pytest

from raftd.machine.kv.lessor import LATE_SECONDS, TICK_SECONDS
from raftd.machine.kv.retention import LOOK_SECONDS, Keep
from raftd.machine.protocol import MachineError
from raftd.wire import kv, leases, txn
from tests.machine.leading import FakeNode


def test_the_leader_proposes_the_end_in_its_term_and_the_keys_go_in_one_revision() -> None:
    node = FakeNode()
    node.lead(3)
    node.apply(leases.encode_lease_grant(7, 2))
    puts: list[txn.Op] = [txn.PutOp(b"a", b"", 7), txn.PutOp(b"b", b"", 7)]
    node.apply(txn.encode_txn(txn.Txn([], puts)))
    node.run(1.9)
    assert node.proposals == []
    node.run(0.2 + TICK_SECONDS)
    command, term = node.proposals[0]
    assert (leases.decode_expire(command), term) == ([(7, 1)], 3)
    node.apply(command)
    assert node.store.revision == 3
    assert len(node.store) == len(node.store.leases) == 0
    node.proposals.clear()
    node.run(2)
    assert node.proposals == []


def test_a_renewed_lease_lives_and_an_ending_one_is_not_renewed() -> None:
    node = FakeNode()
    node.lead(1)
    node.apply(leases.encode_lease_grant(7, 2))
    for _ in range(5):
        node.run(1.5)
        assert node.renew(7) == 2
    assert node.proposals == []
    assert node.left(7) == 2
    node.run(1)
    assert node.left(7) == 1
    node.run(1.5)
    assert node.ended()
    assert set(map(tuple, node.ended())) == {((7, 1),)}
    assert node.renew(7) == 0, "its end may be in the log already"
    assert node.renew(8) == 0
    assert node.left(8) == -1


def test_without_a_lease_nobody_wakes_for_one() -> None:
    """The leader's thread was woken four times a second."""
    node = FakeNode()
    node.lead(1)
    others = len(node.timers)
    node.apply(leases.encode_lease_grant(7, 2))
    assert len(node.timers) == others + 1
    node.apply(leases.encode_lease_grant(8, 2))
    assert len(node.timers) == others + 1
    node.run(2.5)
    assert set(map(tuple, node.ended())) == {((7, 1), (8, 2))}
    node.apply(node.proposals[0][0])
    node.run(2 * TICK_SECONDS)
    assert len(node.timers) == others
    node.proposals.clear()
    node.apply(leases.encode_lease_grant(9, 2))
    node.run(2.5)
    assert node.ended()


def test_who_does_not_lead_counts_nothing() -> None:
    node = FakeNode()
    node.apply(leases.encode_lease_grant(7, 2))
    node.run(10)
    for ask in (node.renew, node.left):
        with pytest.raises(MachineError, match="not the leader"):
            ask(7)
    node.lead(1)
    node.follow(2)
    node.run(10)
    assert node.proposals == []
    with pytest.raises(MachineError, match="not the leader"):
        node.renew(7)


def test_a_new_leader_gives_every_lease_its_whole_time_first() -> None:
    node = FakeNode()
    node.apply(leases.encode_lease_grant(7, 4))
    node.run(100)
    node.lead(5)
    assert node.left(7) == 4
    node.run(3.5)
    assert node.proposals == []
    node.follow(6)
    node.run(1)
    node.lead(7)
    node.run(3.5)
    assert node.proposals == [], "it counts anew, and only once"
    node.run(1)
    assert {term for _, term in node.proposals} == {7}


def test_time_in_which_the_process_stood_still_is_not_counted() -> None:
    node = FakeNode()
    node.lead(1)
    node.apply(leases.encode_lease_grant(7, 3))
    node.run(1)
    node.pause(60)
    node.run(1)
    assert node.proposals == []
    assert node.renew(7) == 3
    node.run(3 + LATE_SECONDS + 2 * TICK_SECONDS)
    assert node.ended()


def test_an_end_that_was_dropped_is_proposed_again() -> None:
    node = FakeNode()
    node.lead(1)
    node.apply(leases.encode_lease_grant(7, 1))
    node.run(2.5)
    assert len(node.proposals) == 2


def test_an_end_that_comes_twice_does_not_end_what_was_granted_anew() -> None:
    """The simulator found it: the second of two proposals ended a new lease of the same id."""
    node = FakeNode()
    node.lead(1)
    node.apply(leases.encode_lease_grant(7, 1))
    node.run(2.5)
    first, second = (command for command, _ in node.proposals)
    node.apply(first)
    node.apply(leases.encode_lease_grant(7, 60))
    node.apply(second)
    assert node.left(7) == 60


def test_many_renewals_leave_no_heap_behind() -> None:
    node = FakeNode()
    node.lead(1)
    for lease in range(1, 11):
        node.apply(leases.encode_lease_grant(lease, 1000))
    for _ in range(1000):
        for lease in range(1, 11):
            node.renew(lease)
    assert len(node.store._lessor._order) < 200


def test_history_is_compacted_by_number_and_by_bytes_and_by_age() -> None:
    for keep, puts in (
        (Keep(bytes=0, revisions=20), 100),
        (Keep(bytes=20_000), 100),
        (Keep(bytes=0, age_s=30.0), 10),
    ):
        node = FakeNode(keep)
        for number in range(puts):
            node.apply(kv.encode_put(b"a", b"%d" % number * 100))
        assert node.proposals == [], "a follower proposes nothing"
        node.lead(2)
        if keep.age_s:
            node.run(keep.age_s + 2 * LOOK_SECONDS)
        compacted = leases.decode_number(node.proposals[0][0])
        assert node.proposals[0][1] == 2
        if keep.revisions:
            assert compacted == node.store.revision - 20
        if keep.age_s:
            assert compacted == node.store.revision
        if keep.bytes:
            assert node.store.history.bytes > 20_000
            node.apply(node.proposals[0][0])
            assert node.store.history.bytes <= 10_000


def test_history_grows_no_further_than_its_limit_while_a_leader_listens() -> None:
    node = FakeNode(Keep(bytes=50_000))
    node.lead(1)
    most = 0
    for _ in range(2000):
        node.apply(kv.encode_put(b"a", bytes(500)))
        while node.proposals:
            node.apply(node.proposals.pop()[0])
        most = max(most, node.store.history.bytes)
        node.time += 0.01
    assert 30_000 < most < 60_000
    assert node.store.history.compacted > 1000
