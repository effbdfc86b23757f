"""What a node that was started again does not know yet of users and roles: without a node."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from raftd.core.types import (
    Configuration,
    Entry,
    EntryType,
    RaftState,
    Recovered,
    SnapshotMeta,
)
from raftd.machine.kv.auth import Auth, Held
from raftd.rpc.clients.callers import Callers, NotYet
from raftd.rpc.clients.errors import CallFailed
from raftd.rpc.clients.gate import STATUS, ClientLimits, Gate
from raftd.rpc.clients.replaying import Replaying, Start, start_of
from raftd.rpc.directory import Directory
from raftd.rpc.plumbing.connections import Connections, UnreadLimits
from raftd.wire import kv
from raftd.wire.auth import Kind, encode_auth
from raftd.wire.batch import encode_batch, noted
from raftd.wire.principal import NOBODY
from tests.rpc.fakes import FakeNode

NONE = Connections(UnreadLimits(), lambda: 0.0)


class Here:
    """A node's state. asked: how often."""

    def __init__(self, last: int) -> None:
        self._state = replace(FakeNode("n1").state(), last_index=last, applied_index=0)
        self.asked = 0

    def __call__(self) -> RaftState:
        self.asked += 1
        return self._state

    def at(self, applied: int, last: int, caught_up: bool | None = None) -> None:
        self._state = replace(
            self._state, applied_index=applied, last_index=last, caught_up=caught_up
        )


def _entry(index: int, *commands: bytes) -> Entry:
    batch = encode_batch(b"", 0, [(0, command) for command in commands])
    return Entry(index, 1, EntryType.BATCH, noted(batch, 1, b"\0"))


def test_changes_of_users_and_roles_are_found_in_a_log_and_nothing_else_is() -> None:
    change = encode_auth(Kind.USER_DELETE, b"ann")
    put = kv.encode_put(b"k", b"\n\x01 is in many a value, and so is " + change)
    entries = (
        _entry(4, put),
        _entry(5, put, change),
        Entry(6, 1, EntryType.NOOP, b""),
        _entry(7, change),
        Entry(8, 1, EntryType.BATCH, b"\n\x01"),
    )
    meta = SnapshotMeta(3, 1, Configuration(("n1",)))
    assert start_of(Recovered(snapshot=meta, entries=entries)) == Start(3, (5, 7))
    assert start_of(Recovered()) == Start()


def test_nobody_is_believed_before_the_changes_in_the_log_are_applied() -> None:
    here = Here(last=9)
    callers = Callers(replaying=Replaying(Start(3, (5, 7)), here))
    for applied in (0, 5, 6):
        here.at(applied, last=9)
        assert callers.behind
        assert callers.asked
        assert callers.revision == -1, "a stream looks again with every frame"
        with pytest.raises(NotYet, match="users and roles"):
            callers.principal_of({})
    here.at(7, last=9, caught_up=True)
    assert not callers.behind
    assert not callers.asked
    assert callers.principal_of({}) == NOBODY
    here.asked = 0
    assert not callers.asked
    assert not here.asked, "it costs nothing any more"


def test_a_change_that_was_never_committed_is_not_waited_for() -> None:
    here = Here(last=9)
    replaying = Replaying(Start(3, (5, 8)), here)
    here.at(4, last=6)
    assert replaying.behind, "the one at 5 is still there"
    here.at(5, last=6)
    assert not replaying.behind


def test_nobody_is_believed_before_what_comes_from_the_leader_is_applied() -> None:
    here = Here(last=0)
    callers = Callers(replaying=Replaying(Start(), here))
    seen = [callers.behind]  # no leader was heard: an operator must be able to ask why
    here.at(2, last=9, caught_up=False)
    seen.append(callers.behind)
    with pytest.raises(NotYet, match="not caught up yet"):
        callers.principal_of({})
    here.at(9, last=9, caught_up=True)
    seen.append(callers.behind)
    here.at(9, last=90, caught_up=False)
    seen.append(callers.behind)
    assert seen == [False, True, False, False], "once in the life of a node"


def test_a_machine_without_users_keeps_nobody_waiting() -> None:
    here = Here(last=0)
    here.at(0, last=9, caught_up=False)
    assert not Callers(replaying=Replaying(Start(), here, guarded=False)).behind
    assert not here.asked


def test_nobody_is_an_operator_before_the_snapshot_is_restored() -> None:
    here = Here(last=9)
    callers = Callers(replaying=Replaying(Start(3), here))
    seen = []
    for applied in (0, 2, 3, 0):
        here.at(applied, last=9)
        seen.append((callers.restoring, callers.behind))
    assert seen == [(True, False), (True, False), (False, False), (False, False)]
    assert not Callers().restoring


def test_an_operator_sees_how_far_it_is_where_nothing_says_that_there_are_users() -> None:
    """And nothing else. The story without it: whoever waits for a node that catches up hears of
    users, in a cluster that has none.
    """
    here = Here(last=9)
    here.at(2, last=9, caught_up=False)
    open_, told = (Callers(replaying=Replaying(start, here)) for start in (Start(), Start(0, (5,))))
    context: Any = SimpleNamespace(invocation_metadata=lambda: (), peer=lambda: "ipv4:1")
    limits, directory = ClientLimits(), Directory({})
    ask = Gate(FakeNode("n1"), directory, limits, NONE, open_).admit_operator
    assert ask(STATUS, context, False) == NOBODY
    for gate, call in ((open_, "Admin/Backup"), (told, STATUS)):
        with pytest.raises(CallFailed, match="not caught up yet"):
            Gate(FakeNode("n1"), directory, limits, NONE, gate).admit_operator(call, context, False)
    here.at(9, last=9, caught_up=True)
    assert not open_.perhaps_asked


@pytest.mark.parametrize(
    ("peer", "local"),
    [
        ("ipv4:127.0.0.1:5", True),
        ("ipv6:%5B::1%5D:5", True),
        ("ipv6:[::ffff:127.0.0.1]:5", True),
        ("ipv4:10.0.0.7:5", False),
        ("ipv6:[::ffff:10.0.0.7]:5", False),
        ("unix:127.0.0.1", False),
        ("", False),
    ],
)
def test_whoever_sits_at_a_node_that_believes_nobody_sees_how_far_it_is(
    peer: str, local: bool
) -> None:
    """And nothing else, and only so long: its log holds users, and it hears no leader."""
    here = Here(last=9)
    callers = Callers(replaying=Replaying(Start(0, (5,)), here))
    context: Any = SimpleNamespace(invocation_metadata=lambda: (), peer=lambda: peer)
    gate = Gate(FakeNode("n1"), Directory({}), ClientLimits(), NONE, callers)
    if local:
        assert gate.admit_operator(STATUS, context, False) == NOBODY
    for call, changes in ((STATUS, False), ("Admin/Digest", False), ("Admin/Transfer", True)):
        if local and call == STATUS:
            continue
        with pytest.raises(CallFailed, match="not caught up yet"):
            gate.admit_operator(call, context, changes)
    auth = Auth()
    auth.become(Held(enabled=True))
    here.at(9, last=9, caught_up=True)
    gate.callers = Callers(auth, replaying=Replaying(Start(0, (5,)), here))
    with pytest.raises(CallFailed, match="user name is empty"):
        gate.admit_operator(STATUS, context, False)
