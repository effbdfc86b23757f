"""Heartbeats on their stream: how each ends, and when a call is made in its place."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import grpc
import pytest

from raftd.core import messages as m
from raftd.rpc.peers import heartbeats
from raftd.rpc.peers.heartbeats import Heartbeats
from raftd.rpc.peers.raft_service import RaftService
from raftd.rpc.plumbing.ports import GRPCIO, H2
from tests.rpc import fakes
from tests.rpc.fakes import PATIENT, Side, introduce, one_side, two_sides, until

CONTROL = m.Channel.CONTROL
Held = list[tuple[m.Request, Callable[[m.Reply], None]]]


def heartbeat(number: int) -> m.AppendRequest:
    return m.AppendRequest(3, "n1", 10, 2, (), 9, number=number)


def answer(number: int) -> m.AppendReply:
    return m.AppendReply(3, True, 10, number=number)


def send(side: Side, *numbers: int) -> None:
    side.node.owed["n2", CONTROL].extend(map(heartbeat, numbers))
    side.peers.wake("n2", CONTROL)


def stream(side: Side) -> Heartbeats:
    sender: Any = side.peers._outlets["n2"].senders[CONTROL]
    assert sender._heartbeats is not None
    made: Heartbeats = sender._heartbeats
    return made


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the peer ports of this process were asked."""
    asked: list[str] = []
    for name in ("Heartbeat", "Heartbeats"):
        served = getattr(RaftService, name)

        async def serve(
            self: RaftService,
            request: Any,
            context: Any,
            name: str = name,
            served: Any = served,
        ) -> Any:
            asked.append(name)
            return await served(self, request, context)

        monkeypatch.setattr(RaftService, name, serve)
    return asked


@pytest.mark.parametrize(
    ("here", "there", "carried_by"),
    [(H2, H2, ["Heartbeats"]), (H2, GRPCIO, ["Heartbeats"]), (GRPCIO, H2, ["Heartbeat"] * 3)],
)
def test_all_go_on_one_stream_where_this_side_has_it(
    here: str, there: str, carried_by: list[str], calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        monkeypatch.setattr(fakes, "transport", here)
        async with one_side("n1") as one:
            monkeypatch.setattr(fakes, "transport", there)
            async with one_side("n2") as two:
                introduce(one, two)
                for number in (1, 2, 3):
                    send(one, number)
                    await until(lambda: len(one.node.replies) == number, "an answer")  # noqa: B023
                assert [reply for _, _, reply in one.node.replies] == [*map(answer, (1, 2, 3))]
                assert one.node.lost == []

    asyncio.run(main())
    assert calls == carried_by


def test_answers_come_in_any_order_and_each_at_its_own_request() -> None:
    async def main() -> None:
        async with two_sides() as (one, two):
            held: Held = []
            two.node.on_step = lambda request, reply: held.append((request, reply))
            send(one, 1, 2, 3)
            await until(lambda: len(held) == 3, "three are there")
            for request, reply in reversed(held):
                reply(answer(request.number))
            await until(lambda: one.node.settled == 3, "three answers")
            assert [(sent.number, reply) for _, sent, reply in one.node.replies] == [
                (number, answer(number)) for number in (3, 2, 1)
            ]

    asyncio.run(main())


def test_one_without_an_answer_is_lost_in_time_and_the_stream_goes_on(calls: list[str]) -> None:
    async def main() -> None:
        quick = replace(PATIENT, control_timeout=0.3)
        async with two_sides(quick) as (one, two):
            held: Held = []
            send(one, 1)
            await until(lambda: one.node.replies, "the stream stands")
            friendly = two.node.on_step

            def deaf_to_one(request: m.Request, reply: Callable[[m.Reply], None]) -> None:
                if request.number == 2:
                    held.append((request, reply))
                else:
                    friendly(request, reply)

            two.node.on_step = deaf_to_one
            send(one, 2)
            await until(lambda: held, "the one that is held")
            send(one, 3)
            await until(lambda: one.node.lost, "its deadline")
            held[0][1](answer(2))  # too late: goes nowhere
            send(one, 4)
            await until(lambda: one.node.settled == 4, "the last")
            assert [sent.number for _, sent in one.node.lost] == [2]
            assert [sent.number for _, sent, _ in one.node.replies] == [1, 3, 4]

    asyncio.run(main())
    assert calls == ["Heartbeats"]


def test_a_stream_on_which_nothing_is_answered_is_left(calls: list[str]) -> None:
    """What waits on it would grow for as long as the peer does not read."""

    async def main() -> None:
        quick = replace(PATIENT, control_timeout=0.2, renew_after=60.0)
        async with two_sides(quick) as (one, two):
            friendly, two.node.on_step = two.node.on_step, lambda request, reply: None
            send(one, 1, 2)
            await until(lambda: len(one.node.lost) == 2, "two deadlines")
            assert stream(one).inflight == 0
            assert calls == ["Heartbeats"]
            two.node.on_step = friendly
            send(one, 3)
            await until(lambda: one.node.replies, "an answer on another stream")

    asyncio.run(main())
    assert calls == ["Heartbeats"] * 2


def test_a_peer_of_before_is_sent_calls_until_it_may_be_another_version(
    calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    upgraded = False
    served = RaftService.Heartbeats

    async def older(self: RaftService, requests: object, context: Any) -> None:
        if not upgraded:
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, "no such method")
        await served(self, requests, context)

    monkeypatch.setattr(RaftService, "Heartbeats", older)

    async def main() -> None:
        nonlocal upgraded
        async with two_sides() as (one, _):
            send(one, 1)
            await until(lambda: one.node.settled == 1, "an answer")
            send(one, 2)
            await until(lambda: one.node.settled == 2, "another")
            assert one.node.lost == []
            assert calls == ["Heartbeat"] * 2
            upgraded = True
            stream(one)._unknown_until = asyncio.get_running_loop().time()
            send(one, 3)
            await until(lambda: one.node.settled == 3, "a third")
            assert one.node.lost == []

    asyncio.run(main())
    assert calls == ["Heartbeat", "Heartbeat", "Heartbeats"]
    assert heartbeats.UNKNOWN_SECONDS >= 1.0, "not with each heartbeat"


def test_one_for_another_process_is_lost_and_the_peer_counts_as_refusing() -> None:
    async def main() -> None:
        async with two_sides() as (one, two):
            one.node.expected["n2"] = "inc-replaced"
            send(one, 1)
            await until(lambda: one.node.lost, "the refusal")
            outlet = one.peers._outlets["n2"]
            assert outlet.link.refused_at > 0
            assert two.node.stepped == []
            one.node.expected["n2"] = fakes.incarnation("n2")
            send(one, 2)
            await until(lambda: one.node.replies, "an answer on a new stream")

    asyncio.run(main())


def test_a_peer_that_stops_loses_what_is_in_flight_at_once(calls: list[str]) -> None:
    async def main() -> None:
        async with two_sides() as (one, two):
            held: Held = []
            two.node.on_step = lambda request, reply: held.append((request, reply))
            send(one, 1)
            await until(lambda: held, "one is in flight")
            two.servers._raft.drain()
            await until(lambda: one.node.lost, "its end")
            assert stream(one).inflight == 0

    asyncio.run(main())


def test_one_that_follows_the_end_of_the_line_goes_on_the_next_line() -> None:
    async def main() -> None:
        async with two_sides() as (one, two):
            friendly, two.node.on_step = two.node.on_step, lambda request, reply: None
            send(one, 1)
            await until(lambda: two.node.stepped, "one is in flight")
            two.node.on_step = friendly
            one.peers._outlets["n2"].lines[CONTROL]._replace()
            sender: Any = one.peers._outlets["n2"].senders[CONTROL]
            one.node.owed["n2", CONTROL].append(heartbeat(2))
            sender._pull()
            assert [sent.number for _, sent in one.node.lost] == [1]
            await until(lambda: one.node.replies, "an answer to the second")
            assert one.node.settled == 2

    asyncio.run(main())


def test_no_more_are_in_flight_than_the_limit_and_one_that_ends_makes_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from raftd.rpc.peers import senders

    monkeypatch.setattr(senders, "CONTROL_INFLIGHT_MAX", 2)

    async def main() -> None:
        async with two_sides() as (one, two):
            held: Held = []
            two.node.on_step = lambda request, reply: held.append((request, reply))
            send(one, 1, 2, 3)
            await until(lambda: len(held) == 2, "two")
            assert one.node.pulled == 2
            held[0][1](answer(1))
            await until(lambda: len(held) == 3, "the third, without another wake")

    asyncio.run(main())


def test_the_end_of_the_link_ends_what_is_in_flight() -> None:
    async def main() -> None:
        async with two_sides() as (one, two):
            two.node.on_step = lambda request, reply: None
            send(one, 1)
            await until(lambda: two.node.stepped, "one is in flight")
            await one.peers.close()
            assert [sent.number for _, sent in one.node.lost] == [1]

    asyncio.run(main())


@pytest.mark.parametrize("transport", [H2, GRPCIO])
def test_one_that_is_answered_brings_the_stream_of_entries_back(
    transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fakes, "transport", transport)

    async def main() -> None:
        async with two_sides() as (one, two):
            send(one, 1)
            await until(lambda: "n1" in two.servers._raft._appends, "an append stream, though idle")

    asyncio.run(main())
