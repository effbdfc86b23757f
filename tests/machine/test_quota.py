"""The quota: when its alarm is raised and cleared, what it refuses, and that snapshots hold it."""

from __future__ import annotations

import io
import random
from types import SimpleNamespace
from typing import Any

import pytest

from raftd.machine.kv.store import KvStore
from raftd.machine.protocol import MachineError
from raftd.wire import alarms, kv, leases, refusals
from raftd.wire.alarms import Action, Alarm, Kind
from raftd.wire.principal import NOBODY
from raftd.wire.txn import DeleteOp, PutOp, RangeOp, Txn, encode_txn
from tests.machine.answered import answered
from tests.machine.leading import FakeNode

FULL = Alarm(Kind.NO_SPACE, "n1")
RAISE = alarms.encode_alarm(Action.RAISE, FULL)
CLEAR = alarms.encode_alarm(Action.CLEAR, Alarm(Kind.NO_SPACE, ""))
QUOTA = 100_000


class Member(FakeNode):
    """One that has a name and a quota."""

    def __init__(self, quota_bytes: int = QUOTA) -> None:
        super().__init__()
        self.store = KvStore(chunk=4, quota_bytes=quota_bytes)
        self.store.attach(self)

    def state(self) -> Any:
        return SimpleNamespace(node="n1")

    def put(self, key: bytes, size: int = 30_000) -> None:
        self.do(kv.encode_put(key, bytes(size)))

    def do(self, command: bytes) -> bytes:
        self.index += 1
        answer = answered(self.store.applying(NOBODY)(command))
        self.store.on_applied(self.index)
        return answer

    def proposed(self) -> list[bytes]:
        found = [command for command, _ in self.proposals]
        self.proposals.clear()
        return found


def test_the_leader_raises_it_once_and_clears_it_when_a_tenth_is_free() -> None:
    member = Member()
    member.lead(3)
    for key in (b"a", b"b", b"c", b"d", b"e"):
        member.put(key)
    assert member.proposed() == [RAISE]
    member.do(RAISE)
    assert member.store.alarms.all() == [FULL]
    assert "alarm NO_SPACE raised for n1" in member.store.troubles()[0]
    for key in (b"a", b"b"):
        member.do(kv.encode_delete(key))
    member.run(5)
    assert member.proposed() == []  # a little more than nine tenths is left
    member.do(kv.encode_delete(b"c"))
    member.do(leases.encode_compact(member.store.revision))
    member.run(1.1)
    found = member.proposed()
    assert found.count(CLEAR) == len(found) > 0
    member.do(CLEAR)
    member.put(b"f", 10)
    assert member.store.troubles() == []


def test_whoever_does_not_lead_or_has_no_quota_proposes_nothing() -> None:
    for member, leads in ((Member(), False), (Member(0), True)):
        if leads:
            member.lead(3)
        for key in range(10):
            member.put(b"%d" % key)
        member.run(5)
        assert not [c for c in member.proposed() if c[0] == alarms.ALARM]


def test_cleared_by_hand_it_comes_again_while_there_is_too_much() -> None:
    member = Member()
    member.lead(3)
    for key in range(4):
        member.put(b"%d" % key)
    member.proposals.clear()
    member.do(RAISE)
    member.do(CLEAR)
    member.run(2.5)
    assert RAISE in member.proposed()


PUT = PutOp(b"k", b"v")
GROWS = [
    kv.encode_put(b"k", b"v"),
    leases.encode_lease_grant(7, 60),
    encode_txn(Txn((), (PUT,), ())),
    encode_txn(Txn((), (DeleteOp(b"k"),), (PUT,))),
    encode_txn(Txn((), (Txn((), (PUT,), ()),), ())),
]
GOES_ON = [
    kv.encode_delete(b"k"),
    encode_txn(Txn((), (DeleteOp(b"k"), RangeOp(b"x")), ())),
    leases.encode_compact(1),
]


@pytest.mark.parametrize("command", GROWS)
def test_what_grows_is_refused_in_etcds_words(command: bytes) -> None:
    member = Member()
    member.do(RAISE)
    before = b"".join(member.store.capture())
    with pytest.raises(MachineError) as refused:
        member.do(command)
    assert refusals.refusal_of(str(refused.value)) == "mvcc: database space exceeded"
    assert b"".join(member.store.capture()) == before


@pytest.mark.parametrize("command", GOES_ON)
def test_what_frees_or_reads_goes_on(command: bytes) -> None:
    member = Member()
    member.put(b"k", 5)
    member.do(RAISE)
    member.do(command)


def test_a_snapshot_holds_it_and_is_of_the_older_version_without() -> None:
    member = Member()
    member.put(b"k", 5)
    plain = b"".join(member.store.capture())
    assert plain[:4] == b"rkv2"
    member.do(RAISE)
    held = b"".join(member.store.capture())
    assert held[:4] == b"rkv4"
    again = KvStore()
    again.restore(io.BytesIO(held))
    assert again.alarms.all() == [FULL]
    assert again.alarms.no_space
    assert b"".join(again.capture()) == held
    again.restore(io.BytesIO(plain))
    assert again.alarms.all() == []
    with pytest.raises(ValueError, match="key-value snapshot"):
        again.restore(io.BytesIO(held[:4] + held[4:60] + b"\xff" * 8 + held[68:]))


def test_the_size_is_right_whatever_is_done() -> None:
    draw = random.Random(7)
    store = KvStore()
    store.apply(leases.encode_lease_grant(7, 60))
    for _ in range(3000):
        key = b"%d" % draw.randrange(300)
        with_lease = PutOp(key, bytes(draw.randrange(50)), draw.choice((0, 7)))
        op = draw.choice((with_lease, DeleteOp(key), DeleteOp(key, key + b"5")))
        store.apply(encode_txn(Txn((), (op,), ())))
        store.apply(kv.encode_put(key, bytes(draw.randrange(50))))
        if draw.random() < 0.01:
            again = KvStore()
            again.restore(io.BytesIO(b"".join(store.capture())))
            store = again
    table = store._table
    assert table.bytes == sum(len(key) + len(record) for key, record in table.capture())


def test_alarms_have_names_and_a_limit() -> None:
    store = KvStore()
    for number in range(alarms.ALARMS_MAX):
        store.apply(alarms.encode_alarm(Action.RAISE, Alarm(Kind.CORRUPT, f"n{number}")))
    with pytest.raises(MachineError, match="256 already"):
        store.apply(RAISE)
    assert not store.alarms.no_space
    answer = store.apply(alarms.encode_alarm(Action.CLEAR, Alarm(Kind.CORRUPT, "n3")))
    assert len(alarms.decode_alarms_answer(answer).alarms) == alarms.ALARMS_MAX - 1
    for bad in (RAISE[:-1], RAISE + b"x", RAISE[:2] + b"\x09" + RAISE[3:]):
        with pytest.raises(MachineError, match="not an alarm"):
            store.apply(bad)
