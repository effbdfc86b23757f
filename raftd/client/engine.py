"""The client's one logic, on one asyncio loop; `Client` and `AsyncClient` are faces of it.

Callers make parcels and put them into a lane; the engine settles each parcel once. It keeps no
timers for callers: whoever waits says when time is up (`expire`), which costs nothing while all
goes well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from typing import Literal

from grpc import StatusCode, aio

from raftd._pb import client_pb2 as pb
from raftd.client.admin import Answer, Question, node_id_at
from raftd.client.channels import AttemptFailed, Channels
from raftd.client.errors import (
    AnswerTooLong,
    NotDone,
    OutcomeUnknown,
    Overloaded,
    RaftdError,
    Unavailable,
)
from raftd.client.failures import Next, Verdict, error_of, judge_rpc
from raftd.client.lanes import CommandLane, QueryLane, StaleLane
from raftd.client.parcels import Gate, Parcel
from raftd.client.pipeline import Lane
from raftd.client.routing import Router
from raftd.client.session import SessionState
from raftd.client.settings import Settings
from raftd.wire.errors import WireError
from raftd.wire.session_id import opened_at

WATCH_SECONDS = 0.1
LEARN_SECONDS = 0.5
"""For how long our endpoints may take to say who they are, when a hint names an unknown node."""
CLOSE_SECONDS = 0.2
SMALL_COUNT_MAX = 1024
QUERY_COUNT_MAX = 256
BULK_COUNT = 512
BULK_BYTES = 512 << 10
BULK_DEPTH = 8

LaneName = Literal["small", "bulk", "queries", "stale"]


class Engine:
    """Made on the loop that it lives on. All methods but the lanes' `put`: the loop's thread."""

    def __init__(self, settings: Settings, gate: Gate) -> None:
        self.loop = asyncio.get_running_loop()
        self.clock = settings.clock
        self.attempt_timeout = settings.attempt_timeout
        self.connect_timeout = settings.connect_timeout
        self.gate = gate
        self.router = Router(settings.endpoints, settings.random)
        self.channels = Channels()
        self.session = SessionState()
        self.closed = False
        self.small = CommandLane(self, depth=1, count_max=SMALL_COUNT_MAX)
        self.bulk = CommandLane(self, depth=BULK_DEPTH, count_max=BULK_COUNT)
        self.queries = QueryLane(self, depth=1, count_max=QUERY_COUNT_MAX)
        self.stale = StaleLane(self, depth=1, count_max=QUERY_COUNT_MAX)
        self._lanes: tuple[Lane, ...] = (self.small, self.bulk, self.queries, self.stale)
        self._opening = asyncio.Lock()
        self._watching = False
        self._tasks = [self.loop.create_task(lane.run()) for lane in self._lanes]
        for task in self._tasks:
            task.add_done_callback(self._ended)

    def lane(self, name: LaneName) -> Lane:
        """Any thread."""
        lane: Lane = getattr(self, name)
        return lane

    # -- parcels ------------------------------------------------------------------------------

    def settle(self, parcel: Parcel, error: RaftdError | None = None) -> None:
        """Exactly one answer: later ones are dropped."""
        if parcel.settled:
            return
        parcel.settled = True
        parcel.error = error
        if parcel.counted:
            self.gate.leave(parcel.count, parcel.size)
        parcel.wake()

    def expire(self, parcels: Iterable[Parcel], why: str = "the deadline has passed") -> None:
        """Their callers wait no longer.

        What was sent and not answered is unknown, the rest was not done.
        """
        for parcel in parcels:
            if parcel.settled:
                continue
            last = f"; last: {parcel.reason}" if parcel.reason else ""
            if parcel.session and (parcel.in_flight or parcel.unknown):
                text = f"{why} before an answer came{last}; perhaps it is done: read, then repeat"
                session = opened_at(parcel.session)
                self.settle(parcel, OutcomeUnknown(text, session=session, seq=parcel.first_seq))
            elif parcel.in_flight:
                self.settle(
                    parcel, NotDone(f"{why} before the query was answered{last}; ask again")
                )
            else:
                text = f"{why} before any node took it{last or '; no node was reached'}"
                busy = parcel.code == pb.OVERLOADED
                self.settle(parcel, Overloaded(text) if busy else Unavailable(text))

    def turn_away(self, parcels: Iterable[Parcel], error: RaftdError) -> None:
        """They never got into a queue."""
        for parcel in parcels:
            self.settle(parcel, error)

    def hopeless(self, parcel: Parcel, verdict: Verdict, address: str) -> None:
        """A refusal that will stay.

        An earlier attempt that nobody knows about stays unknown (pitfall 90).
        """
        error = error_of(verdict, address)
        if parcel.unknown and parcel.session and not isinstance(error, AnswerTooLong):
            text = f"{error.message}; and an earlier attempt had no answer: it may be done or not"
            error = OutcomeUnknown(
                text, endpoint=address, session=opened_at(parcel.session), seq=parcel.first_seq
            )
        self.settle(parcel, error)

    # -- for the lanes ------------------------------------------------------------------------

    def watch(self) -> None:
        """Something is in flight: look after it from now and then."""
        if not self._watching:
            self._watching = True
            self.loop.call_later(WATCH_SECONDS, self._watch)

    def _watch(self) -> None:
        now = self.clock()
        self._watching = False
        busy = [lane.check(now) for lane in self._lanes]
        if any(busy):
            self.watch()

    async def session_ready(self, address: str) -> None:
        """Open the session if there is none. Raises AttemptFailed: nothing was sent in it then."""
        async with self._opening:
            if self.session.id:
                return
            calls = self.channels.get(address)
            try:
                reply = await calls.open_session(
                    pb.OpenSessionRequest(nonce=self.session.nonce()), timeout=self.attempt_timeout
                )
                self.session.opened(reply.session)
            except aio.AioRpcError as error:
                # Perhaps it was opened: the next attempt asks for the same one.
                self._doubt_after(error)
                verdict = judge_rpc(error)
                raise AttemptFailed(verdict._replace(certain=True)) from error
            except WireError as error:
                text = f"{error}; is the node of an older version?"
                raise AttemptFailed(Verdict(Next.GIVE_UP, True, text, code=pb.INVALID)) from error
            self.router.answered(address, leads=True)

    async def ask(self, question: Question[Answer], endpoint: str | None, timeout: float) -> Answer:
        """A question about a node: `endpoint`'s own, or that of the first that answers, the leader
        first.

        Raises Unavailable (or Invalid) within `timeout` seconds.
        """
        deadline = self.clock() + timeout
        address = endpoint or self.router.target()
        tried = 0
        while True:
            left = deadline - self.clock()
            seconds = left if endpoint else min(left, self.attempt_timeout)
            try:
                calls = await self.channels.reach(address, min(seconds, self.connect_timeout))
                channel = calls.channel
                return await question(channel, address, seconds)
            except AttemptFailed as failed:
                verdict = failed.verdict
            except aio.AioRpcError as error:
                self._doubt_after(error)
                verdict = judge_rpc(error)
            tried += 1
            if endpoint or tried >= len(self.router.endpoints) or deadline <= self.clock():
                raise error_of(verdict, address)
            address = self.router.other(address)

    def _doubt_after(self, error: aio.AioRpcError) -> None:
        if error.code() is StatusCode.DEADLINE_EXCEEDED:
            self.channels.doubt()

    async def follow(self, source: str, verdict: Verdict) -> None:
        """A hint. Our own endpoint for that node is better than the address it advertises."""
        if verdict.leader_id and not self.router.knows(verdict.leader_id, verdict.leader_address):
            await self._learn()
        self.router.hinted(source, verdict.leader_id, verdict.leader_address, self.clock())

    async def _learn(self) -> None:
        """Ask all our endpoints at once who they are; those that do not answer stay unknown."""

        async def ask(endpoint: str) -> None:
            with suppress(AttemptFailed, aio.AioRpcError):
                calls = await self.channels.reach(endpoint, LEARN_SECONDS)
                node_id = await node_id_at(calls.channel, endpoint, LEARN_SECONDS)
                self.router.learn(endpoint, node_id)

        await asyncio.gather(*(ask(endpoint) for endpoint in self.router.endpoints))

    # -- the end ------------------------------------------------------------------------------

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A lane never ends by itself: callers must not wait for a lane that did."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self._abandon(f"the client broke: {error!r}")
            self.loop.call_exception_handler(
                {"message": "a lane of the raftd client ended", "exception": error, "task": task}
            )

    def _abandon(self, why: str) -> None:
        self.closed = True
        for lane in self._lanes:
            self.expire(lane.drain(), why)

    async def put_down(self) -> None:
        """End without a word to callers or cluster, when no call is under way: before a fork.

        The session expires by itself.
        """
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.channels.close()

    async def close(self) -> None:
        """Settle what waits, tell the cluster that the session is over, close the channels."""
        self._abandon("the client was closed")
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._abandon("the client was closed")
        if self.session.id and self.router.leader is not None:
            with suppress(AttemptFailed, aio.AioRpcError):  # it would expire by itself
                calls = self.channels.get(self.router.leader)
                request = pb.CloseSessionRequest(session=self.session.id)
                await calls.close_session(request, timeout=CLOSE_SECONDS)
        await self.channels.close()


async def start(settings: Settings, gate: Gate) -> Engine:
    """Make an engine on the running loop."""
    return Engine(settings, gate)
