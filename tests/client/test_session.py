"""Numbers and the floor, without any network."""

from __future__ import annotations

import asyncio

import pytest

from raftd.client.delivery.calls import Backpressure, PendingCall
from raftd.client.delivery.send_queue import SendQueue
from raftd.client.delivery.session import WINDOW_MAX, SessionState
from raftd.wire import session_id
from raftd.wire.session_id import with_index

OURS, OTHER = (with_index(session_id.draw(), index) for index in (7, 9))


def call(count: int = 1) -> PendingCall:
    return PendingCall([b"x"] * count, count, lambda: None)


def admitted(session: SessionState, *counts: int) -> list[PendingCall]:
    calls = [call(count) for count in counts]
    assert all(session.admit(each) for each in calls)
    return calls


@pytest.fixture
def session() -> SessionState:
    made = SessionState()
    made.opened(OURS)
    return made


def test_numbers_are_unique_and_stay_through_retries(session: SessionState) -> None:
    first, second, third = admitted(session, 1, 3, 1)
    assert [first.first_seq, second.first_seq, third.first_seq] == [1, 2, 5]
    assert session.admit(second)
    assert second.first_seq == 2


def test_the_floor_never_passes_a_number_whose_caller_waits(session: SessionState) -> None:
    first, second, third = admitted(session, 1, 1, 1)
    assert session.floor() == 0
    second.settled = third.settled = True
    assert session.floor() == 0
    first.settled = True
    assert session.floor() == 3


def test_the_floor_passes_numbers_that_callers_gave_up(session: SessionState) -> None:
    first, _waiting = admitted(session, 1, 1)
    first.settled, first.in_flight = True, True
    assert session.floor() == 1


def test_the_floor_rises_inside_a_parcel_that_was_answered_in_part(session: SessionState) -> None:
    (bulk,) = admitted(session, 10)
    bulk.first_seq += 4
    bulk.commands = bulk.commands[4:]
    assert session.floor() == 4


def test_the_window_above_the_floor_is_bounded(session: SessionState) -> None:
    (first,) = admitted(session, 1)
    rest = admitted(session, *[512] * (WINDOW_MAX // 512 - 1))
    late = call(512)
    assert not session.admit(late)
    for each in rest:
        each.settled = True
    assert not session.admit(late), "the first one still waits"
    first.settled = True
    assert session.admit(late)


def test_a_new_session_numbers_anew(session: SessionState) -> None:
    (old,) = admitted(session, 1)
    session.expired(OTHER)
    assert session.id == OURS, "another session's end says nothing about ours"
    session.expired(OURS)
    assert session.id == b""
    session.opened(OTHER)
    assert session.admit(old)
    assert (old.session, old.first_seq) == (OTHER, 1)


def test_attempts_to_open_name_one_session_until_it_is_open(session: SessionState) -> None:
    """Else each attempt without an answer would leave a session behind."""
    session.expired(OURS)
    first = session.nonce()
    assert session.nonce() == first
    session.opened(with_index(first, 12))
    assert session.nonce() != first


def test_back_pressure_bounds_commands_and_bytes_and_wakes_when_there_is_room() -> None:
    gate = Backpressure(10, 100)
    woken: list[int] = []
    assert gate.enter(20, 20), "somebody alone is always let in"
    assert not gate.enter(1, 1, lambda: woken.append(1))
    gate.leave(20, 20)
    assert woken == [1]
    assert gate.enter(5, 90)
    assert not gate.enter(1, 20)
    assert gate.enter(1, 10)


def test_who_gives_up_at_the_bound_is_not_woken() -> None:
    gate = Backpressure(1, 1)
    woken: list[int] = []

    def wake() -> None:
        woken.append(1)

    assert gate.enter(1, 1)
    assert not gate.enter(1, 1, wake)
    gate.forget(wake)
    gate.forget(wake)
    gate.leave(1, 1)
    assert woken == []


def test_a_call_put_just_before_the_stream_falls_asleep_is_seen() -> None:
    """The caller still saw a busy stream and woke nobody: the stream must look once more."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        queue = SendQueue(loop)
        made = call()

        class Sly:
            def create_future(self) -> asyncio.Future[None]:
                queue.put(made)
                return loop.create_future()

        queue._loop = Sly()  # type: ignore[assignment]
        await asyncio.wait_for(queue.work(), 5)
        assert queue.take(10, 10, lambda _: True) == [made]

    asyncio.run(main())


def test_what_comes_back_goes_first_in_its_old_order() -> None:
    queue = SendQueue(asyncio.new_event_loop())
    first, second, third, fourth = (call() for _ in range(4))
    for each in (first, second, third, fourth):
        queue.put(each)
    assert queue.take(2, 100, lambda _: True) == [first, second]
    assert queue.take(1, 100, lambda _: True) == [third]
    queue.back([third])
    second.settled = True
    queue.back([first, second])
    assert queue.take(9, 100, lambda _: True) == [first, third, fourth]
    queue._loop.close()


def test_frames_are_bounded_and_who_is_alone_stays_alone() -> None:
    queue = SendQueue(asyncio.new_event_loop())
    calls = [call(3), call(3), call(3), call(30)]
    calls[1].alone = True
    for each in calls:
        queue.put(each)
    frames = [queue.take(10, 100, lambda _: True) for _ in range(4)]
    assert frames == [[calls[0]], [calls[1]], [calls[2]], [calls[3]]]
    queue._loop.close()
