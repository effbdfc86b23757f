"""What the streams of one client share: router, connections, session, limits, and how calls end.

A stream knows this and its own queue; the engine makes one of it. On the client's loop only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from random import Random

from grpc import StatusCode, aio

from raftd._pb import client_pb2 as pb
from raftd.client.delivery import nodes
from raftd.client.delivery.calls import CHAIN_SECONDS, Backpressure, PendingCall, WakeChain
from raftd.client.delivery.login import Login
from raftd.client.delivery.policy import AttemptFailed, Next, Verdict, error_of, judge_rpc
from raftd.client.delivery.routing import Router
from raftd.client.delivery.session import SessionState
from raftd.client.delivery.transport import Transport
from raftd.client.errors import (
    AnswerTooLong,
    NotDone,
    OutcomeUnknown,
    Overloaded,
    RaftdError,
    Unavailable,
)
from raftd.client.settings import Settings
from raftd.wire.errors import WireError
from raftd.wire.session_id import opened_at

LEARN_SECONDS = 0.5
"""For how long our endpoints may take to say who they are, when a hint names an unknown node."""

MEMBERS_SECONDS = 1.0
"""Between two questions who the members are, while commands are answered."""


class Context:
    """Made on the loop that it lives on. watch: called when something is in flight."""

    def __init__(self, settings: Settings, room: Backpressure, watch: Callable[[], None]) -> None:
        self.loop = asyncio.get_running_loop()
        self.clock = settings.clock
        self.attempt_timeout = settings.attempt_timeout
        self.connect_timeout = settings.connect_timeout
        self.room = room
        self.watch = watch
        self.router = Router(settings.endpoints, settings.random or Random())
        login = Login(settings.user, settings.password) if settings.user else None
        self.transport = Transport(settings.tls, kind=settings.transport, login=login)
        self.session = SessionState()
        self._opening = asyncio.Lock()
        self._members_due = 0.0
        self._asking: asyncio.Task[None] | None = None

    # -- how a call ends ----------------------------------------------------------------------

    def settle(self, call: PendingCall, error: RaftdError | None = None) -> None:
        """Exactly one answer: later ones are dropped."""
        if not call.settled:
            self._end(call, error)
            call.wake()

    def settle_frame(self, calls: list[PendingCall]) -> None:
        """All have their answers. Blocking callers are woken in a chain, the others at once."""
        chained: list[PendingCall] = []
        for call in calls:
            if not call.settled:
                self._end(call, None)
                if call.chained:
                    chained.append(call)
                else:
                    call.wake()
        if chained:
            chain = WakeChain(chained)
            chain.next()
            if len(chained) > 1:
                self.loop.call_later(CHAIN_SECONDS, chain.finish)

    def _end(self, call: PendingCall, error: RaftdError | None) -> None:
        call.settled = True
        call.error = error
        if call.counted:
            self.room.leave(call.count, call.size)

    def expire(self, calls: Iterable[PendingCall], why: str = "the deadline has passed") -> None:
        """Their callers wait no longer.

        What was sent and not answered is unknown, the rest was not done.
        """
        for call in calls:
            if not call.settled:
                self.settle(call, _expired(call, why))

    def turn_away(self, calls: Iterable[PendingCall], error: RaftdError) -> None:
        """They never got into a queue."""
        for call in calls:
            self.settle(call, error)

    def hopeless(self, call: PendingCall, verdict: Verdict, address: str) -> None:
        """A refusal that will stay.

        An earlier attempt that nobody knows about keeps the outcome unknown: what is refused now
        may have been done then.
        """
        error = error_of(verdict, address)
        if call.unknown and call.session and not isinstance(error, AnswerTooLong):
            text = f"{error.message}; and an earlier attempt had no answer: it may be done or not"
            error = OutcomeUnknown(
                text, endpoint=address, session=opened_at(call.session), seq=call.first_seq
            )
        self.settle(call, error)

    # -- the retry policy ---------------------------------------------------------------------

    async def after_failure(self, address: str, verdict: Verdict, refusals: int) -> float:
        """Learn from a failed attempt where to go next; seconds to wait before going there.

        refusals: how often in a row a node said that it is busy.
        """
        self.transport.logged_out(verdict.code)
        if verdict.next is Next.REDIRECT and (verdict.leader_id or verdict.leader_address):
            await self._follow(address, verdict)
        elif verdict.next is Next.REDIRECT:
            self.router.leaderless(address, self.clock())
        elif verdict.next is Next.ROTATE:
            self.router.failed(address, self.clock(), silent=verdict.code == 0)
        pause = self.router.pause()
        return self.router.backoff(refusals) if verdict.next is Next.PAUSE else pause

    async def _follow(self, source: str, verdict: Verdict) -> None:
        """A hint. Our own endpoint for that node is better than the address it advertises."""
        if verdict.leader_id and not self.router.knows(verdict.leader_id, verdict.leader_address):
            await self._learn()
        self.router.hinted(source, verdict.leader_id, verdict.leader_address, self.clock())

    async def _learn(self) -> None:
        """Ask all our endpoints at once who they are; those that do not answer stay unknown."""

        async def ask(endpoint: str) -> None:
            with suppress(AttemptFailed, aio.AioRpcError):
                node = await self.transport.reach(endpoint, LEARN_SECONDS)
                found = await nodes.places_at(node, endpoint, LEARN_SECONDS)
                self.router.learn(endpoint, found.node_id)

        await asyncio.gather(*(ask(endpoint) for endpoint in self.router.endpoints))

    def served(self, address: str, *, leads: bool) -> None:
        """A request was served there. Now and then that node is asked who the members are: the
        program's own endpoints may be gone one day.
        """
        self.router.answered(address, leads=leads)
        now = self.clock()
        if now >= self._members_due and (self._asking is None or self._asking.done()):
            self._members_due = now + MEMBERS_SECONDS
            self._asking = self.loop.create_task(self._ask_members(address))

    def stop_asking(self) -> None:
        """Before the connections are closed."""
        if self._asking is not None:
            self._asking.cancel()

    async def _ask_members(self, address: str) -> None:
        with suppress(AttemptFailed, aio.AioRpcError):
            node = await self.transport.reach(address, LEARN_SECONDS)
            found = await nodes.places_at(node, address, LEARN_SECONDS)
            self.router.heard_of(found.client_addresses)

    def doubt_after(self, error: aio.AioRpcError) -> None:
        """A unary call failed: if it had no answer in time, its connection may be dead."""
        if error.code() is StatusCode.DEADLINE_EXCEEDED:
            self.transport.doubt()

    # -- the session --------------------------------------------------------------------------

    async def session_ready(self, address: str) -> None:
        """Open the session if there is none. Raises AttemptFailed: nothing was sent in it then."""
        async with self._opening:
            if self.session.id:
                return
            node = self.transport.get(address)
            try:
                reply = await node.commands.OpenSession(
                    pb.OpenSessionRequest(nonce=self.session.nonce()), timeout=self.attempt_timeout
                )
                self.session.opened(reply.session)
            except aio.AioRpcError as error:
                # Perhaps it was opened: the next attempt asks for the same one.
                self.doubt_after(error)
                verdict = judge_rpc(error)
                raise AttemptFailed(verdict._replace(certain=True)) from error
            except WireError as error:
                text = f"{error}; is the node of an older version?"
                raise AttemptFailed(Verdict(Next.GIVE_UP, True, text, code=pb.INVALID)) from error
            self.served(address, leads=True)

    async def close_session(self, timeout: float) -> None:
        """Tell the cluster that the session is over. It would expire by itself."""
        if self.session.id and self.router.leader is not None:
            with suppress(AttemptFailed, aio.AioRpcError):
                node = self.transport.get(self.router.leader)
                request = pb.CloseSessionRequest(session=self.session.id)
                await node.commands.CloseSession(request, timeout=timeout)


def _expired(call: PendingCall, why: str) -> RaftdError:
    last = f"; last: {call.reason}" if call.reason else ""
    if call.session and (call.in_flight or call.unknown):
        text = f"{why} before an answer came{last}; perhaps it is done: read, then repeat"
        return OutcomeUnknown(text, session=opened_at(call.session), seq=call.first_seq)
    if call.in_flight:
        return NotDone(f"{why} before the query was answered{last}; ask again")
    text = f"{why} before any node took it{last or '; no node was reached'}"
    return Overloaded(text) if call.code == pb.OVERLOADED else Unavailable(text)
