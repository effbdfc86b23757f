"""Two nodes on loopback: what one pulls, the other steps, and each request ends exactly once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from raftd.core import messages as m
from raftd.core.types import Configuration, SnapshotMeta
from raftd.rpc.directory import PeerAddress
from tests.rpc.fakes import (
    PATIENT,
    FakeNode,
    Side,
    append,
    incarnation,
    introduce,
    one_side,
    two_sides,
    until,
)

CONTROL, APPEND, BULK = m.Channel.CONTROL, m.Channel.APPEND, m.Channel.BULK
META = SnapshotMeta(5, 2, Configuration(("n1", "n2", "n3")), 10, 77)


def send(side: Side, peer: str, channel: m.Channel, *requests: m.Request) -> None:
    side.node.owed[peer, channel].extend(requests)
    side.peers.wake(peer, channel)


def test_every_kind_of_control_request_comes_back_as_its_own_reply() -> None:
    async def main() -> None:
        async with two_sides() as (one, two):
            requests: list[m.Request] = [
                m.VoteRequest(4, "n1", 9, 3, pre=True, transfer=False, number=1),
                m.AppendRequest(3, "n1", 10, 2, (), 9, number=2),
                m.ReadIndexRequest(3, number=3),
                m.TimeoutNowRequest(3, "n1", number=4),
                m.HelloRequest(one.node.identity, (("n3", "inc-n3"),), number=5),
            ]
            for sent in requests:
                send(one, "n2", CONTROL, sent)
                await until(lambda: one.node.settled == sent.number, "an answer")  # noqa: B023
            assert one.node.lost == []
            assert sorted(two.node.stepped, key=lambda r: r.number) == requests
            replies = {sent.number: reply for _, sent, reply in one.node.replies}
            assert replies[1] == m.VoteReply(4, True, True)
            assert replies[2] == m.AppendReply(3, True, 10, number=2)
            assert replies[3] == m.ReadIndexReply(3, True, 42, number=3)
            assert replies[4] == m.TimeoutNowReply(3, number=4)
            hello = replies[5]
            assert isinstance(hello, m.HelloReply)
            assert hello.identity == two.node.identity
            assert hello.records == (("n1", "inc-n1"),)

    asyncio.run(main())


def test_hello_teaches_both_sides_the_advertised_client_address() -> None:
    async def main() -> None:
        async with two_sides() as (one, two):
            send(one, "n2", CONTROL, m.HelloRequest(one.node.identity, (), number=1))
            await until(lambda: one.node.replies, "the answer")
            assert one.directory.client_address("n2") == "client.of.n2:2"
            assert two.directory.client_address("n1") == "client.of.n1:2"

    asyncio.run(main())


def test_a_refused_hello_teaches_nothing() -> None:
    async def main() -> None:
        async with two_sides() as (one, two):
            refusal = m.HelloReply(two.node.identity, (), refused="n1 was another", number=1)
            two.node.on_step = lambda request, reply: reply(refusal)
            send(one, "n2", CONTROL, m.HelloRequest(one.node.identity, (), number=1))
            await until(lambda: one.node.replies, "the answer")
            assert two.directory.client_address("n1") != "client.of.n1:2"
            assert "n1 was another" in str(one.node.replies[0][2])

    asyncio.run(main())


def test_appends_are_pipelined_and_answered_in_any_order() -> None:
    async def main() -> None:
        async with two_sides() as (one, two):
            held: list[tuple[m.Request, Callable[[m.Reply], None]]] = []
            two.node.on_step = lambda request, reply: held.append((request, reply))
            requests = [append(number, count=3) for number in range(1, 21)]
            send(one, "n2", APPEND, *requests)
            await until(lambda: len(held) == 20, "all twenty on the other side, none answered")
            assert [request for request, _ in held] == requests
            for request, reply in reversed(held):
                reply(m.AppendReply(3, True, 13, number=request.number))
            await until(lambda: one.node.settled == 20, "twenty answers")
            assert one.node.lost == []
            for _, sent, answer in one.node.replies:
                assert isinstance(answer, m.AppendReply)
                assert answer.number == sent.number

    asyncio.run(main())


def test_chunks_go_one_at_a_time_with_the_bytes_filled_in() -> None:
    async def main() -> None:
        async with two_sides() as (one, two):
            requests = [m.SnapshotRequest(3, "n1", META, 0, number=n) for n in (1, 2, 3)]
            send(one, "n2", BULK, *requests)
            await until(lambda: one.node.settled == 3, "three answers")
            assert two.node.stepped == [replace(r, data=b"x" * 10) for r in requests]
            assert one.node.replies[0][2] == m.SnapshotReply(3, 10, False, number=1)

    asyncio.run(main())


def test_a_chunk_that_cannot_be_read_is_reported() -> None:
    async def main() -> None:
        async with two_sides() as (one, _):
            one.node.read_chunk_fails = True
            send(one, "n2", BULK, m.SnapshotRequest(3, "n1", META, 0, number=1))
            await until(lambda: one.node.lost, "the report")

    asyncio.run(main())


def test_not_admitted_is_passed_on_for_every_channel() -> None:
    async def main() -> None:
        async with two_sides() as (one, two):
            two.node.on_step = lambda request, reply: reply(m.NotAdmitted(request.number))
            send(one, "n2", CONTROL, m.VoteRequest(4, "n1", 9, 3, number=1))
            send(one, "n2", APPEND, append(2))
            send(one, "n2", BULK, m.SnapshotRequest(3, "n1", META, 0, number=3))
            await until(lambda: one.node.settled == 3, "three answers")
            assert {reply for _, _, reply in one.node.replies} == {
                m.NotAdmitted(1),
                m.NotAdmitted(2),
                m.NotAdmitted(3),
            }

    asyncio.run(main())


def test_nothing_is_pulled_for_a_stream_to_nobody_and_it_opens_when_the_peer_comes() -> None:
    async def main() -> None:
        async with one_side("n1") as one:
            async with one_side("n2") as two:
                address = two.peer_address
            one.directory.advertise("n2", PeerAddress(address, ""))
            send(one, "n2", APPEND, append(1))
            send(one, "n2", CONTROL, m.VoteRequest(4, "n1", 9, 3, number=2))
            await until(lambda: one.node.lost, "the vote request's report")
            assert len(one.node.owed["n2", APPEND]) == 1

            from raftd.rpc.clients.gate import ClientLimits

            again = Side(FakeNode("n2"), PATIENT, ClientLimits(), address)
            await again.servers.start()
            await until(lambda: one.node.replies, "the append's answer after the peer came")
            await again.servers.stop(0.1)

    asyncio.run(main())


def test_a_stream_that_breaks_reports_all_that_was_in_flight() -> None:
    async def main() -> None:
        async with one_side("n1") as one:
            async with one_side("n2") as two:
                introduce(one, two)
                two.node.on_step = lambda request, reply: None
                send(one, "n2", APPEND, *(append(number) for number in range(1, 6)))
                await until(lambda: len(two.node.stepped) == 5, "five on the way")
            await until(lambda: len(one.node.lost) == 5, "five reports")
            assert one.node.replies == []

    asyncio.run(main())


def test_a_wedged_peer_is_cut_off_at_the_age_limit() -> None:
    async def main() -> None:
        async with two_sides(replace(PATIENT, append_age_max=0.3)) as (one, two):
            two.node.on_step = lambda request, reply: None
            send(one, "n2", APPEND, append(1), append(2))
            await until(lambda: len(one.node.lost) == 2, "reports after append_age_max")

    asyncio.run(main())


def test_closing_settles_everything_in_flight() -> None:
    async def main() -> None:
        async with two_sides() as (one, two):
            two.node.on_step = lambda request, reply: None
            send(one, "n2", APPEND, append(1))
            send(one, "n2", BULK, m.SnapshotRequest(3, "n1", META, 0, number=2))
            send(one, "n2", CONTROL, m.VoteRequest(4, "n1", 9, 3, number=3))
            await until(lambda: len(two.node.stepped) == 3, "three on the way")
            send(one, "n2", CONTROL, m.VoteRequest(4, "n1", 9, 3, number=4))
            await asyncio.sleep(0)  # pulled, its task not yet run
            await one.peers.close()
            assert len(one.node.lost) == one.node.pulled

    asyncio.run(main())


def test_another_node_at_the_address_counts_for_nothing() -> None:
    async def main() -> None:
        async with one_side("n1") as one, one_side("n3") as three:
            one.directory.advertise("n2", PeerAddress(three.peer_address, ""))
            send(one, "n2", CONTROL, m.AppendRequest(3, "n1", 10, 2, (), 9, number=1))
            send(one, "n2", CONTROL, m.HelloRequest(one.node.identity, (), number=2))
            send(one, "n2", APPEND, append(3))
            await until(lambda: len(one.node.lost) >= 2, "both refused")
            assert one.node.replies == []
            assert three.node.stepped == []

    asyncio.run(main())


def test_a_wiped_peer_is_refused_in_both_directions() -> None:
    async def main() -> None:
        async with two_sides() as (one, two):
            one.node.expected["n2"] = "inc-of-before"
            send(one, "n2", CONTROL, m.AppendRequest(3, "n1", 10, 2, (), 9, number=1))
            await until(lambda: one.node.lost, "refused by n2: that is not me")
            two.node.expected["n1"] = "inc-of-before"
            one.node.expected["n2"] = incarnation("n2")
            send(one, "n2", CONTROL, m.AppendRequest(3, "n1", 10, 2, (), 9, number=2))
            await until(lambda: len(one.node.lost) == 2, "refused by n2: that is not the n1 I know")
            assert two.node.stepped == []

    asyncio.run(main())


def test_only_hello_goes_to_a_peer_that_was_never_met() -> None:
    async def main() -> None:
        async with two_sides() as (one, two):
            del one.node.expected["n2"]
            del two.node.expected["n1"]
            send(one, "n2", CONTROL, m.VoteRequest(4, "n1", 9, 3, number=1))
            await until(lambda: one.node.lost, "the vote request is not sent")
            send(one, "n2", CONTROL, m.HelloRequest(one.node.identity, (), number=2))
            await until(lambda: one.node.replies, "Hello is answered")
            assert len(two.node.stepped) == 1

    asyncio.run(main())


def test_a_new_stream_from_a_peer_evicts_its_old_one() -> None:
    async def main() -> None:
        async with two_sides() as (one, two), one_side("n1") as restarted:
            held: list[Callable[[m.Reply], None]] = []
            two.node.leader = "n1"
            two.node.on_step = lambda request, reply: held.append(reply)
            send(one, "n2", APPEND, append(1))
            await until(lambda: len(held) == 1, "the first stream is in use")
            restarted.directory.advertise("n2", PeerAddress(two.peer_address, ""))
            send(restarted, "n2", APPEND, append(2))
            await until(lambda: one.node.lost, "the first stream was ended")
            await until(lambda: len(held) == 2, "the second is in use")
            held[0](m.AppendReply(3, True, 11, number=1))  # too late: goes nowhere
            held[1](m.AppendReply(3, True, 11, number=2))
            await until(lambda: restarted.node.replies, "the second stream answers")
            assert two.node.links_lost == []

    asyncio.run(main())


def test_a_leader_whose_process_is_gone_is_reported_within_a_moment() -> None:
    async def main() -> None:
        async with one_side("n2") as two:
            two.node.leader = "n1"
            async with one_side("n1") as one:
                introduce(one, two)
                one.node.leads = True
                send(one, "n2", APPEND, append(1))
                await until(lambda: one.node.replies, "the stream is up")
                one.servers._raft.drain()
            await until(lambda: two.node.links_lost == ["n1"], "link_lost")

    asyncio.run(main())


def test_a_broken_stream_alone_is_no_lost_link() -> None:
    async def main() -> None:
        async with two_sides() as (one, two):
            two.node.leader = "n1"
            one.node.leads = True
            send(one, "n2", APPEND, append(1))
            await until(lambda: one.node.replies, "the stream is up")
            sender = one.peers._outlets["n2"].senders[APPEND]
            sender._call.cancel()  # type: ignore[union-attr]
            watch = two.servers._watch
            await until(lambda: watch._last and not watch._tasks, "the probe")
            assert two.node.links_lost == []
            one.node.leads = False  # now the probe says "I do not lead"
            send(one, "n2", APPEND, append(2))
            await until(lambda: len(one.node.replies) == 2, "the stream is up again")
            sender._call.cancel()  # type: ignore[union-attr]
            await until(lambda: two.node.links_lost == ["n1"], "link_lost")

    asyncio.run(main())


def test_a_core_that_fails_stops_the_node_and_tells_the_caller_nothing_of_it() -> None:
    async def main() -> None:
        async with one_side("n1") as one, one_side("n2") as two:
            introduce(one, two)

            def fail(request: m.Request, reply: Callable[[m.Reply], None]) -> None:
                raise RuntimeError("secret")

            two.node.on_step = fail
            send(one, "n2", CONTROL, m.VoteRequest(4, "n1", 9, 3, number=1))
            send(one, "n2", APPEND, append(2))
            await until(lambda: len(two.fatal.said) == 2 and len(one.node.lost) == 2, "two reports")
            assert all(isinstance(error, RuntimeError) for _, error in two.fatal.said)
            two.fatal.said.clear()

    asyncio.run(main())
