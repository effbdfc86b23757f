"""The client's one logic, on one asyncio loop; `Client` and `AsyncClient` are faces of it.

Callers make pending calls and put them into a stream's queue; the stream settles each once. The
engine keeps no timers for callers: whoever waits says when time is up (`expire`), which costs
nothing while all goes well.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Protocol, TypeVar

from grpc import aio

from raftd.client.delivery import answers
from raftd.client.delivery.answers import BULK_COUNT, Done
from raftd.client.delivery.backups import backup_at
from raftd.client.delivery.calls import Backpressure
from raftd.client.delivery.context import Context
from raftd.client.delivery.event_loop import resolve
from raftd.client.delivery.nodes import Event, Question, command_once, events_at, status_at
from raftd.client.delivery.policy import AttemptFailed, Next, Verdict, error_of, judge_rpc
from raftd.client.delivery.stream import PipelineStream
from raftd.client.delivery.stream_kinds import CommandStream, QueryStream, StaleStream
from raftd.client.delivery.transport import CUT, failures_told, task_is_cancelled
from raftd.client.errors import OutcomeUnknown, RaftdError, Unavailable
from raftd.client.operations import LaneName, Operation
from raftd.client.settings import Settings
from raftd.wire.backup import Head

WATCH_SECONDS = 0.1
CLOSE_SECONDS = 0.2
SMALL_COUNT_MAX, QUERY_COUNT_MAX = 1024, 256
BULK_DEPTH = 8
REPORT_SECONDS = 1.0
"""For how long one node may take to report about itself while others are asked, too."""
LOGIN_EXTRA_SECONDS = 1.0
"""And for a login before: within this, or one node that hangs costs the others' answers, too."""
ATTEMPT_MIN_SECONDS = 0.02
"""One that begins with less left has no answer, and makes something unknown of what is certain."""

Answer = TypeVar("Answer")


class Resident(Protocol):
    """See `Engine.residents`."""

    def close(self) -> None:
        """End at once. Harmless if repeated."""
        ...


class Engine:
    """Made on the loop that it lives on. All methods but `lane` and `tell`: the loop's thread."""

    def __init__(self, settings: Settings, room: Backpressure) -> None:
        self.context = context = Context(settings, room, self._watch)
        self.loop = context.loop
        self.closed = False
        self.small = CommandStream(context, depth=1, count_max=SMALL_COUNT_MAX)
        self.bulk = CommandStream(context, depth=BULK_DEPTH, count_max=BULK_COUNT)
        self.queries = QueryStream(context, depth=1, count_max=QUERY_COUNT_MAX)
        self.stale = StaleStream(context, depth=1, count_max=QUERY_COUNT_MAX)
        self._streams: tuple[PipelineStream, ...] = (
            self.small, self.bulk, self.queries, self.stale,
        )  # fmt: skip
        self.residents: set[Resident] = set()
        """What lives on this loop with streams and tasks of its own, and ends with the engine."""
        self._watching = False
        self._tasks = [self.loop.create_task(stream.run()) for stream in self._streams]
        for task in self._tasks:
            task.add_done_callback(self._ended)

    def lane(self, name: LaneName) -> PipelineStream:
        """The stream that carries such operations. Any thread."""
        stream: PipelineStream = getattr(self, name)
        return stream

    def tell(self, call: Callable[..., object], *args: object) -> None:
        """Have it called on the loop. Any thread."""
        with suppress(RuntimeError):  # the loop is closed: there is nothing left to settle
            self.loop.call_soon_threadsafe(call, *args)

    def _watch(self) -> None:
        """Something is in flight: look after it from now and then."""
        if not self._watching:
            self._watching = True
            self.loop.call_later(WATCH_SECONDS, self._look)

    def _look(self) -> None:
        now = self.context.clock()
        self._watching = False
        busy = [stream.check(now) for stream in self._streams]
        if any(busy):
            self._watch()

    async def run(self, operation: Operation[Answer], timeout: float) -> Answer:
        """One command or query, for what lives on this loop. Raises the errors of
        raftd.client.errors.

        It takes no room of the callers': there are few of these, and they keep leases alive.
        """
        future: asyncio.Future[None] = self.loop.create_future()
        call = answers.single(operation, partial(resolve, future))
        self.lane(operation.lane).queue.put_here(call)
        timer = self.loop.call_later(timeout, self.context.expire, [call])
        try:
            await future
        except asyncio.CancelledError:
            self.context.expire([call], "the caller was cancelled")
            raise
        finally:
            timer.cancel()
        return answers.decoded(operation.decode, answers.answer_of(call))

    # -- questions to nodes -------------------------------------------------------------------

    async def ask(self, question: Question[Answer], endpoint: str | None, timeout: float) -> Answer:
        """A question about a node: `endpoint`'s own answer, or that of the first that answers, the
        leader first.

        Raises Unavailable (or Invalid) within `timeout` seconds.
        """
        context = self.context
        deadline = context.clock() + timeout
        address = endpoint or context.router.target()
        tried = 0
        while True:
            left = deadline - context.clock()
            seconds = left if endpoint else min(left, context.attempt_timeout)
            try:
                return await self._ask_once(question, address, seconds)
            except AttemptFailed as failed:
                verdict = failed.verdict
            tried += 1
            if endpoint or tried >= len(context.router.endpoints) or deadline <= context.clock():
                raise error_of(verdict, address)
            address = context.router.other(address)

    async def ask_leader(self, question: Question[Answer], timeout: float) -> Answer:
        """A question that only the leader answers, and that may be asked twice: it changes
        something.

        Raises the errors of raftd.client.errors within `timeout` seconds.
        """
        context = self.context
        deadline = context.clock() + timeout
        refusals, certain = 0, True
        while True:
            address = context.router.target()
            try:
                return await self._ask_once(question, address, deadline - context.clock())
            except AttemptFailed as failed:
                verdict = failed.verdict
            certain = certain and verdict.certain
            over = verdict.next in (Next.GIVE_UP, Next.REOPEN)
            if not over:
                pause = await context.after_failure(address, verdict, refusals)
                refusals += verdict.next is Next.PAUSE
                over = not await self._rested(pause, deadline)
            if over and certain:
                raise error_of(verdict, address)
            if over:
                text = f"{address}: {verdict.message}; an attempt had no answer, so it"
                raise OutcomeUnknown(f"{text} may be done or not", endpoint=address)

    async def execute_once(self, operation: Operation[Answer], timeout: float) -> Done[Answer]:
        """A command without a session, so one log entry: nothing protects it against being done
        twice.

        It is sent again only after an attempt that certainly did nothing. Raises the errors of
        raftd.client.errors within `timeout` seconds.
        """
        context = self.context
        deadline = context.clock() + timeout
        refusals = 0
        while True:
            address = context.router.target()
            try:
                question = command_once(operation.payload)
                reply = await self._ask_once(question, address, deadline - context.clock())
                answer = answers.decoded(operation.decode, reply.result)
                return Done(answer, reply.index, reply.term)
            except AttemptFailed as failed:
                verdict = failed.verdict
            if not verdict.certain and verdict.next is not Next.GIVE_UP:
                text = f"{address}: {verdict.message}; it may be done or not"
                raise OutcomeUnknown(text, endpoint=address)
            pause = await context.after_failure(address, verdict, refusals)
            refusals += verdict.next is Next.PAUSE
            if verdict.next is Next.GIVE_UP or not await self._rested(pause, deadline):
                raise error_of(verdict, address)

    async def _rested(self, pause: float, deadline: float) -> bool:
        """Sleep before another attempt; False: no time is left for one.

        A late wake-up made an attempt of -0.004 s, and its failure hid the reason of the last one.
        """
        clock = self.context.clock
        if clock() + pause + ATTEMPT_MIN_SECONDS >= deadline:
            return False
        await asyncio.sleep(pause)
        return clock() + ATTEMPT_MIN_SECONDS < deadline

    async def ask_each(
        self, question: Question[Answer], endpoints: Sequence[str], timeout: float
    ) -> dict[str, Answer | RaftdError]:
        """All of them at once: each one's answer, or its error."""

        async def ask(endpoint: str) -> Answer | RaftdError:
            try:
                async with asyncio.timeout(timeout + LOGIN_EXTRA_SECONDS):
                    return await self._ask_once(question, endpoint, timeout)
            except AttemptFailed as failed:
                verdict = failed.verdict
            except TimeoutError:
                return Unavailable("it has not answered a login in time", endpoint=endpoint)
            if verdict.next is Next.GIVE_UP:
                return error_of(verdict, endpoint)
            return Unavailable(verdict.message, endpoint=endpoint)

        answers = await asyncio.gather(*(ask(endpoint) for endpoint in endpoints))
        return dict(zip(endpoints, answers, strict=True))

    async def _ask_once(self, question: Question[Answer], address: str, seconds: float) -> Answer:
        """Raises AttemptFailed."""
        context, fresh = self.context, False
        while True:
            if self.closed:  # no connection that nobody would close
                raise AttemptFailed(Verdict(Next.GIVE_UP, True, "the client was closed"))
            try:
                node = await context.transport.reach(address, min(seconds, context.connect_timeout))
                return await question(node, address, seconds)
            except aio.AioRpcError as error:
                context.doubt_after(error)
                verdict = judge_rpc(error)
            except asyncio.CancelledError:
                if task_is_cancelled():
                    raise
                verdict = CUT
            if fresh or not context.transport.logged_out(verdict.code):
                raise AttemptFailed(verdict)
            fresh = True  # a token that had served its time: once more with a new one

    async def events(self, endpoint: str | None, *, from_start: bool) -> AsyncIterator[Event]:
        """One node's events. Raises Unavailable when it cannot be reached, or ends the stream."""
        context = self.context
        address = endpoint or context.router.target()
        with failures_told(address):
            node = await context.transport.reach(address, context.connect_timeout)
            async for event in events_at(node, from_start=from_start):
                yield event

    async def backup(self, endpoint: str | None, timeout: float) -> AsyncIterator[Head | bytes]:
        """`backups.backup_at` of one node; None: of the leader, if it is an endpoint, or of whoever
        answers within `timeout` seconds. Raises the errors of raftd.client.errors.
        """
        context = self.context
        if endpoint is None:
            report = await self.ask(status_at, None, timeout)
            known = report.leader_address in context.router.endpoints
            endpoint = report.leader_address if known else report.endpoint
        with failures_told(endpoint):
            node = await context.transport.reach(endpoint, context.connect_timeout)
            async for part in backup_at(node, endpoint):
                yield part

    # -- the end ------------------------------------------------------------------------------

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A stream's task never ends by itself: callers must not wait for one that did."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self._abandon(f"the client broke: {error!r}")
            self.loop.call_exception_handler(
                {"message": "a stream of the raftd client ended", "exception": error, "task": task}
            )

    def _abandon(self, why: str) -> None:
        self.closed = True
        for stream in self._streams:
            self.context.expire(stream.drain(), why)

    async def put_down(self) -> None:
        """End without a word to callers or cluster, when no call is under way: before a fork.

        The session expires by itself.
        """
        await self._stop()
        await self.context.transport.close()

    async def _stop(self) -> None:
        for resident in list(self.residents):
            resident.close()
        self.context.stop_asking()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def close(self) -> None:
        """Settle what waits, tell the cluster that the session is over, close the channels."""
        self._abandon("the client was closed")
        await self._stop()
        self._abandon("the client was closed")
        await self.context.close_session(CLOSE_SECONDS)
        await self.context.transport.close()


def to_leader(
    question: Question[Answer],
) -> Callable[[Engine, float], Coroutine[Any, Any, Answer]]:
    """`Engine.ask_leader` with this question."""
    return lambda engine, seconds: engine.ask_leader(question, seconds)


async def make_engine(settings: Settings, room: Backpressure) -> Engine:
    """An engine on the running loop."""
    return Engine(settings, room)
