"""What the streams carry: commands in a session, linearizable queries, stale queries."""

from __future__ import annotations

import asyncio

from raftd._pb import client_pb2 as pb
from raftd.client.delivery.calls import PendingCall
from raftd.client.delivery.policy import Next, Verdict
from raftd.client.delivery.stream import PipelineStream
from raftd.client.errors import ProtocolError, SessionExpired
from raftd.wire import batch
from raftd.wire.errors import WireError
from raftd.wire.refusals import NOT_PRIMARY
from raftd.wire.session_id import opened_at

_ELSEWHERE = (batch.MACHINE_ERROR, NOT_PRIMARY.encode())
"""The result of a query that only the leader can answer."""
_TRANSIENT = frozenset((batch.SESSION_EXPIRED, batch.SESSION_FULL))
"""Statuses that are no answer: the call goes round again."""


def _results(calls: list[PendingCall], data: bytes) -> list[tuple[int, bytes]]:
    """Raises WireError unless there is one result a command."""
    results = batch.decode_results(data)
    expected = sum(len(call.commands) for call in calls)
    if len(results) != expected:
        raise WireError(f"results: {len(results)} for {expected} commands")
    return results


def _deal(
    calls: list[PendingCall],
    results: list[tuple[int, bytes]],
    reply: pb.PipelineReply,
    endpoint: str,
) -> None:
    """Each call its own results."""
    at = 0
    index, term = reply.index, reply.term
    for call in calls:
        count = len(call.commands)
        call.results = results[at : at + count]
        if call.answered:
            call.results = call.answered + call.results
        call.index = index
        call.term = term
        call.endpoint = endpoint
        at += count


class CommandStream(PipelineStream):
    """Frames of the client's session, applied as one log entry each."""

    sessions = True

    def _admit(self, call: PendingCall) -> bool:
        session = self._context.session
        if call.unknown and call.session != session.id:
            self._expired(call)
            return True  # settled: `_encode` leaves it out
        return session.admit(call)

    def _encode(self, number: int, calls: list[PendingCall]) -> pb.PipelineRequest:
        session = self._context.session
        pairs: list[tuple[int, bytes]] = []
        for call in calls:
            pairs.extend(enumerate(call.commands, call.first_seq))
        return pb.PipelineRequest(
            number=number, batch=batch.encode_batch(session.id, session.floor(), pairs)
        )

    def _answered(self, calls: list[PendingCall], reply: pb.PipelineReply) -> None:
        context = self._context
        try:
            results = _results(calls, reply.results)
        except WireError as error:
            for call in calls:  # done, most likely, but nobody can say with what result
                context.settle(
                    call, ProtocolError(f"{self.address}: {error}", endpoint=self.address)
                )
            return
        _deal(calls, results, reply, self.address)
        if not _TRANSIENT.isdisjoint([status for status, _ in results]):
            calls = self._again(calls)
        context.settle_frame(calls)

    def _again(self, calls: list[PendingCall]) -> list[PendingCall]:
        """Sort out those that were not (wholly) executed; returns the others."""
        session = self._context.session
        finished: list[PendingCall] = []
        back: list[PendingCall] = []
        for call in calls:
            statuses = [status for status, _ in call.results or ()]
            if batch.SESSION_EXPIRED in statuses:
                session.expired(call.session)
                self._verdict = Verdict(Next.REOPEN, True, "the session has expired")
            elif batch.SESSION_FULL in statuses:
                self._keep(call, statuses.index(batch.SESSION_FULL))
            else:
                finished.append(call)
                continue
            call.results = None
            back.append(call)
        self.queue.back(back)
        return finished

    def _keep(self, call: PendingCall, count: int) -> None:
        """The session had no room for more than `count` answers: take them, so that the floor
        rises.
        """
        fresh = count - len(call.answered)
        call.answered = (call.results or [])[:count]
        call.commands = call.commands[fresh:]
        call.first_seq += fresh
        if not fresh and self._verdict is None:
            text = "the session keeps too many answers: other callers' have to arrive first"
            self._verdict = Verdict(Next.PAUSE, True, text)

    def _refused(self, calls: list[PendingCall], verdict: Verdict) -> None:
        if verdict.next is Next.REOPEN:
            for call in calls:
                self._context.session.expired(call.session)
        super()._refused(calls, verdict)

    def _misplaced(self) -> bool:
        return not self._context.session.id or super()._misplaced()

    def _expired(self, call: PendingCall) -> None:
        """With an attempt outstanding, the outcome is unknown: it may have been done before."""
        text = (
            f"the session expired while an attempt had no answer ({call.reason}); "
            "read before you do it again"
        )
        self._context.settle(
            call,
            SessionExpired(
                text,
                endpoint=self.address,
                session=opened_at(call.session),
                seq=call.first_seq,
            ),
        )


class QueryStream(PipelineStream):
    """Frames of queries with one consistency. A query changes nothing: asking twice is harmless."""

    consistency = pb.LINEARIZABLE

    def _encode(self, number: int, calls: list[PendingCall]) -> pb.PipelineRequest:
        queries = [query for call in calls for query in call.commands]
        return pb.PipelineRequest(
            number=number, queries=pb.QueryBatch(query=queries, consistency=self.consistency)
        )

    def _answered(self, calls: list[PendingCall], reply: pb.PipelineReply) -> None:
        try:
            results = _results(calls, reply.results)
        except WireError as error:
            for call in calls:
                text = f"{self.address}: {error}"
                self._context.settle(call, ProtocolError(text, endpoint=self.address))
            return
        _deal(calls, results, reply, self.address)
        if _ELSEWHERE in results:
            calls = self._again(calls)
        self._context.settle_frame(calls)

    def _again(self, calls: list[PendingCall]) -> list[PendingCall]:
        """Some can be answered by the leader only, and this node does not lead: they go on."""
        back = [call for call in calls if _ELSEWHERE in (call.results or ())]
        for call in back:
            call.results = None
            call.reason = f"{self.address}: {NOT_PRIMARY}"
        self._verdict = self._verdict or Verdict(Next.REDIRECT, True, NOT_PRIMARY)
        self.queue.back(back)
        return [call for call in calls if call.results is not None]


class StaleStream(QueryStream):
    """Any node's own state: stays with one endpoint until that fails."""

    consistency = pb.STALE
    _next = ""
    _misses = 0

    def _target(self) -> str:
        return self._next or self._context.router.target()

    def _misplaced(self) -> bool:
        return False

    def _answered(self, calls: list[PendingCall], reply: pb.PipelineReply) -> None:
        self._misses = 0
        super()._answered(calls, reply)

    async def _react(self, address: str, verdict: Verdict) -> None:
        """Says nothing about the leader, so the router's guess stays as it is."""
        router = self._context.router
        self.queue.prune(f"{address}: {verdict.message}", verdict.code)
        if verdict.next is Next.GIVE_UP:
            self._hopeless(address, verdict)
        self._next = router.other(address)
        self._misses += 1
        if self._misses >= len(router.endpoints):
            await asyncio.sleep(router.backoff(self._misses - len(router.endpoints)))
