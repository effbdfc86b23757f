"""The node as the client services use it: submit and query with deadlines, outcomes as failures."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from raftd._pb import client_pb2 as pb
from raftd._pb import raft_pb2
from raftd.node.outcomes import Answered, Applied, Done, Outcome
from raftd.rpc.api import ClientNode
from raftd.rpc.clients import errors
from raftd.rpc.clients.audit import Audit
from raftd.rpc.clients.callers import EVERYBODY, Callers, NotAllowed, NotTrusted, NotYet
from raftd.rpc.clients.errors import CallFailed
from raftd.rpc.clients.members import changed
from raftd.rpc.directory import Directory
from raftd.rpc.plumbing.connections import Connections, is_local
from raftd.wire.batch import (
    QUERY_ANSWER_BYTES_MAX,
    check_batch,
    decode_results,
    encode_results,
)
from raftd.wire.errors import WireError
from raftd.wire.principal import NOBODY
from raftd.wire.refusals import DENIALS, RESTORING, USER_EMPTY
from raftd.wire.results import MACHINE_ERROR

Context = Any  # grpc.aio.ServicerContext; the generated base class names its own private one


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """What one client may ask for. Sizes in bytes, times in seconds.

    stream_frames_max, stream_bytes_max: of one stream, taken and not yet answered.
    answer_wait_max: a unary call without a deadline of its own ends after this.
    queries_max: in one frame. answers_max: bytes of their answers together.
    """

    stream_frames_max: int = 256
    stream_bytes_max: int = 16 << 20
    answer_wait_max: float = 30.0
    queries_max: int = 4096
    answers_max: int = QUERY_ANSWER_BYTES_MAX


SMALL_BYTES = 4096
"""A smaller answer to a unary call is not counted: the number of calls bounds those."""

_DENIALS = frozenset(text.encode() for text in DENIALS)
_NOBODY = f"{USER_EMPTY}: give a user and a password"

UNREAD = "too many answers wait to be read: read them, or ask for less"


STATUS = "Admin/Status"
"""It tells how far a node is, and operators wait for one that catches up: where there are no users,
and to whoever sits at its machine, that may not be refused. It tells nothing of what is stored."""


class Gate:
    """Network thread only."""

    def __init__(
        self,
        node: ClientNode,
        directory: Directory,
        limits: ClientLimits,
        connections: Connections,
        callers: Callers = EVERYBODY,
        audit: Audit | None = None,
    ) -> None:
        self.callers = callers
        self.audit = audit or Audit(lambda: 0.0)
        self.node = node
        self.directory = directory
        self.limits = limits
        self.connections = connections

    # --- who calls ------------------------------------------------------------------------------

    def principal(self, call: str, context: Context) -> bytes:
        """Raises CallFailed for a token that does not count, for nobody where auth is on, and while
        this node cannot tell.
        """
        try:
            principal = self.callers.of(context)
            if principal == NOBODY and self.callers.asked:
                raise self._refused(call, NOBODY, context, errors.denied(_NOBODY))
            return principal
        except NotTrusted as error:
            raise self._refused(call, NOBODY, context, errors.unauthenticated(str(error))) from None
        except NotYet as error:
            raise CallFailed(errors.unavailable(str(error))) from None

    def admit_operator(self, call: str, context: Context, changes: bool) -> bytes:
        """The caller's principal. Lets in who has the role root, and everybody while auth is off.

        Raises CallFailed.

        changes: a line for the audit also while auth is off; not before the snapshot is restored.
        """
        if changes and self.callers.restoring:
            raise CallFailed(errors.unavailable(RESTORING))
        if call == STATUS and (self.callers.perhaps_asked or self._asks_why(context)):
            return NOBODY
        principal = self.principal(call, context)
        self.demand_root(call, principal, context)
        if changes or self.callers.asked:
            self.audit.done(call, principal, context.peer())
        return principal

    def _asks_why(self, context: Context) -> bool:
        """Whoever sits at the machine of a node that believes nobody yet. The story without it: one
        of three is left and was started again; it hears no leader, so nobody can log in, and the
        operator is the last who learns why.
        """
        if not self.callers.behind or not is_local(context.peer()):
            return False
        self.audit.done(STATUS, NOBODY, context.peer())
        return True

    def demand_root(self, call: str, principal: bytes, context: Context) -> None:
        """A stream asks again before each answer: roles are revoked while it is open. Raises
        CallFailed.
        """
        try:
            self.callers.demand_root(principal)
        except NotAllowed as error:
            raise self._refused(call, principal, context, errors.denied(str(error))) from None

    def _refused(
        self, call: str, principal: bytes, context: Context, failure: pb.Failure
    ) -> CallFailed:
        self.audit.refused(call, principal, context.peer(), failure.message)
        return CallFailed(failure)

    def audit_results(self, results: bytes, principal: bytes, peer: str) -> None:
        """A line for what the store refused to this caller: one for all commands of a batch."""
        self.audit_answers(decode_results(results), principal, peer)

    def audit_answers(
        self, results: Sequence[tuple[int, bytes]], principal: bytes, peer: str
    ) -> None:
        for status, answer in results:
            if status == MACHINE_ERROR and answer in _DENIALS:
                self.audit.refused("a command or query", principal, peer, answer.decode())
                return

    # --- for streams: callbacks, nothing awaited ------------------------------------------------

    def submit(self, batch: bytes, done: Done, principal: bytes = NOBODY) -> None:
        """principal: as `principal` found it, or the node that forwards.

        Raises WireError if `batch` is malformed: nothing was done, `done` is not called.
        """
        check_batch(batch)
        self.node.submit(batch, done, principal)

    def query(
        self, queries: Sequence[bytes], stale: bool, done: Done, principal: bytes = NOBODY
    ) -> None:
        """Raises WireError as `submit` does."""
        if not 0 < len(queries) <= self.limits.queries_max:
            raise WireError(
                f"{len(queries)} queries in one frame, 1..{self.limits.queries_max} may be"
            )
        self.node.query(queries, stale, done, principal)

    async def change(self, wanted: raft_pb2.MemberChange, principal: bytes) -> Outcome:
        """What became of a change of the members; see `changed`."""
        return await changed(wanted, principal, self.callers, self.node, self.directory)

    def failure(self, outcome: Outcome) -> pb.Failure:
        return errors.of_outcome(outcome, self.directory)

    def bytes_of(self, outcome: Answered) -> int:
        return sum([len(answer) for _, answer in outcome.results])

    def pages(self, number: int, outcome: Answered) -> pb.PipelineReply:
        """The answers to a frame of queries, bounded together."""
        size, limit = self.bytes_of(outcome), self.limits.answers_max
        if size > limit:
            text = f"the answers have {size} bytes together, the limit is {limit}: ask for less"
            return pb.PipelineReply(number=number, failure=errors.invalid(text))
        return pb.PipelineReply(
            number=number,
            results=encode_results(outcome.results),
            index=outcome.applied_index,
        )

    # --- for unary calls ------------------------------------------------------------------------

    async def apply(self, batch: bytes, context: Context) -> tuple[Applied, bytes]:
        """One command's answer. Raises CallFailed, also for a result that is not OK."""
        principal = self.principal("a command", context)
        outcome = await self._settled(context, lambda done: self.submit(batch, done, principal))
        if not isinstance(outcome, Applied):
            raise CallFailed(self.failure(outcome))
        if self.callers.asked:
            self.audit_results(outcome.results, principal, context.peer())
        self._await_reader(context, len(outcome.results))
        return outcome, self.one_of(outcome.results)

    async def ask(self, query: bytes, stale: bool, context: Context) -> tuple[int, bytes]:
        """(applied index, answer). Raises CallFailed."""
        principal = self.principal("a query", context)
        outcome = await self._settled(
            context, lambda done: self.query((query,), stale, done, principal), False
        )
        if not isinstance(outcome, Answered):
            raise CallFailed(self.failure(outcome))
        if self.callers.asked:
            self.audit_answers(outcome.results, principal, context.peer())
        answer = self.only(outcome.results)
        if len(answer) > SMALL_BYTES and not self.connections.of(context.peer()).room(len(answer)):
            del outcome, answer  # the exception keeps this frame until the refusal has left
            raise CallFailed(errors.overloaded(UNREAD))
        self._await_reader(context, len(answer))
        return outcome.applied_index, answer

    def _await_reader(self, context: Context, size_bytes: int) -> None:
        """gRPC keeps an answer until its caller reads it: count it until the call is over."""
        if size_bytes <= SMALL_BYTES:
            return
        connection = self.connections.of(context.peer())
        connection.hold(size_bytes)
        context.add_done_callback(lambda _: connection.read(size_bytes))

    async def control(self, start: Callable[[Done], None], context: Context) -> Outcome:
        """An operator's request. Raises CallFailed if it was refused or its outcome is unknown."""
        outcome = await self._settled(context, start)
        if not isinstance(outcome, Applied | Answered):
            raise CallFailed(self.failure(outcome))
        return outcome

    def one_of(self, results: bytes) -> bytes:
        """The one command's answer in wire.batch results. Raises CallFailed if it is not OK."""
        try:
            return self.only(decode_results(results))
        except WireError as error:
            raise CallFailed(errors.unknown(f"the results cannot be read: {error}")) from None

    def only(self, results: list[tuple[int, bytes]]) -> bytes:
        if len(results) != 1:
            raise CallFailed(errors.unknown(f"{len(results)} results came back for one command"))
        status, answer = results[0]
        failure = errors.of_result(status, answer)
        if failure is not None:
            raise CallFailed(failure)
        return answer

    async def _settled(
        self, context: Context, start: Callable[[Done], None], changes: bool = True
    ) -> Outcome:
        if self.connections.unread and self.connections.of(context.peer()).full:
            raise CallFailed(errors.overloaded(UNREAD))
        remaining = context.time_remaining()
        if remaining is not None and remaining <= 0:
            raise CallFailed(errors.deadline_passed())
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[Outcome] = loop.create_future()

        def done(outcome: Outcome) -> None:
            if not waiting.done():  # the caller may have gone
                waiting.set_result(outcome)

        def too_long() -> None:
            if not waiting.done():
                waiting.set_exception(CallFailed(self._timed_out(changes)))

        try:
            start(done)
        except WireError as error:
            raise CallFailed(errors.invalid(str(error))) from None
        if waiting.done():
            return waiting.result()
        timer = loop.call_later(self.limits.answer_wait_max, too_long)
        try:
            return await waiting
        finally:
            timer.cancel()

    def _timed_out(self, changes: bool) -> pb.Failure:
        text = f"no answer within {self.limits.answer_wait_max:g} s"
        if changes:
            return errors.unknown(f"{text}: it may still be applied")
        return pb.Failure(code=pb.UNAVAILABLE, certainly_not_done=True, message=text)
