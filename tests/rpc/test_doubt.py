"""A pre-vote that is refused is a reason to look whether the leader that we defend still lives."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from raftd.core import messages as m
from tests.rpc.fakes import Side, append, introduce, one_side, until

CONTROL, APPEND = m.Channel.CONTROL, m.Channel.APPEND


def send(side: Side, peer: str, channel: m.Channel, request: m.Request) -> None:
    side.node.owed[peer, channel].append(request)
    side.peers.wake(peer, channel)


def refuse(request: m.Request, reply: Callable[[m.Reply], None]) -> None:
    if isinstance(request, m.VoteRequest):
        reply(m.VoteReply(3, False, request.pre))
    else:
        reply(m.AppendReply(3, True, 11, number=request.number))


def ask(side: Side, number: int) -> None:
    send(
        side,
        "n2",
        CONTROL,
        m.VoteRequest(4, side.node.identity.node, 9, 3, pre=True, number=number),
    )


def test_a_dead_leader_whose_stream_was_not_open_yet_is_not_defended() -> None:
    """n2 has just come back and heard one heartbeat of n1, which died before its stream stood."""

    async def main() -> None:
        async with one_side("n2") as two, one_side("n3") as three:
            introduce(three, two)
            async with one_side("n1") as one:
                introduce(one, two)
            two.node.leader, two.node.on_step = "n1", refuse
            ask(three, 1)
            await until(lambda: two.node.links_lost == ["n1"], "link_lost")

    asyncio.run(main())


def test_a_leader_that_answers_stays() -> None:
    async def main() -> None:
        async with one_side("n1") as one, one_side("n2") as two, one_side("n3") as three:
            introduce(one, two)
            introduce(three, two)
            one.node.leads = True
            two.node.leader, two.node.on_step = "n1", refuse
            ask(three, 1)
            watch = two.servers._watch
            await until(lambda: watch._last and not watch._tasks, "the probe")
            assert two.node.links_lost == []

    asyncio.run(main())


def test_where_a_stream_tells_nobody_is_asked() -> None:
    """Its end would say it; a leader that is slow to answer a probe must not be given up."""

    async def main() -> None:
        async with one_side("n1") as one, one_side("n2") as two, one_side("n3") as three:
            introduce(one, two)
            introduce(three, two)
            two.node.leader, two.node.on_step = "n1", refuse
            send(one, "n2", APPEND, append(1))
            await until(lambda: one.node.replies, "the stream is up")
            ask(three, 1)
            await until(lambda: three.node.replies, "the refusal")
            assert not two.servers._watch._last

    asyncio.run(main())
