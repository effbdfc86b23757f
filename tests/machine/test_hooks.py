"""Sessions hands a machine what it has methods for, and asks nothing of one that has none."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import BinaryIO

import pytest

from examples.counter import Counter
from raftd.core.effects import Event
from raftd.core.events import EventKind
from raftd.core.types import RaftState, Role
from raftd.machine.sessions import Sessions
from raftd.wire import batch as wire
from tests.machine.answered import answered

EVENT = Event(EventKind.ROLE, 3, Role.LEADER, "a", "candidate -> leader of term 3")


class NoNode:
    def state(self) -> RaftState:
        raise AssertionError

    def now(self) -> float:
        raise AssertionError

    def call_later(self, seconds: float, call: Callable[[], None]) -> None:
        raise AssertionError

    def propose(self, command: bytes, term: int) -> None:
        raise AssertionError

    def mark_snapshot(self) -> tuple[int, bytes]:
        raise AssertionError

    def hand_in(self, index: int, chunks: Iterable[bytes]) -> None:
        raise AssertionError


class Plain:
    def apply(self, command: bytes) -> bytes:
        return command

    def query(self, request: bytes) -> bytes:
        return request

    def capture(self) -> list[bytes]:
        return []

    def restore(self, reader: BinaryIO) -> None:
        reader.read()


class OnlyApplied(Plain):
    seen: tuple[int, ...] = ()

    def on_applied(self, index: int) -> None:
        self.seen = (*self.seen, index)
        if index == 13:
            raise ZeroDivisionError


class OnlyEvents(Plain):
    seen: tuple[Event, ...] = ()

    def on_event(self, event: Event) -> None:
        self.seen = (*self.seen, event)


@pytest.mark.parametrize("machine", [Counter(), Plain()])
def test_most_machines_watch_nothing(machine: Plain) -> None:
    assert not Sessions(machine).watches


def test_any_one_method_is_enough() -> None:
    applied, events = OnlyApplied(), OnlyEvents()
    for machine in (applied, events):
        host = Sessions(machine)
        assert host.watches
        host.attach(NoNode())
        host.on_applied(7)
        host.on_event(EVENT)
    assert applied.seen == (7,)
    assert events.seen == (EVENT,)


def test_on_applied_is_part_of_applying_so_its_bug_is_fatal() -> None:
    with pytest.raises(ZeroDivisionError):
        Sessions(OnlyApplied()).on_applied(13)


def test_the_sessions_of_a_mark_are_those_of_a_capture() -> None:
    host = Sessions(Plain())
    empty = host.sessions()
    ((_, session),) = wire.decode_results(answered(host.apply_batch(1, 1, wire.encode_open())))
    host.apply_batch(2, 1, wire.encode_batch(session, 0, [(1, b"x")]))
    assert host.sessions() == host.capture()[0] != empty
