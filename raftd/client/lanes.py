"""The lanes that there are: commands (small and bulk), linearizable queries, stale queries."""

from __future__ import annotations

import asyncio

from raftd._pb import client_pb2 as pb
from raftd.client.errors import ProtocolError, SessionExpired
from raftd.client.failures import Next, Verdict
from raftd.client.parcels import Parcel
from raftd.client.pipeline import Lane
from raftd.wire import batch
from raftd.wire.errors import WireError
from raftd.wire.session_id import opened_at

_TRANSIENT = frozenset((batch.SESSION_EXPIRED, batch.SESSION_FULL))
"""Statuses that are no answer: the parcel goes round again."""


def _results(parcels: list[Parcel], data: bytes) -> list[tuple[int, bytes]]:
    """Raises WireError unless there is one result a command."""
    results = batch.decode_results(data)
    expected = sum(len(parcel.commands) for parcel in parcels)
    if len(results) != expected:
        raise WireError(f"results: {len(results)} for {expected} commands")
    return results


def _deal(parcels: list[Parcel], results: list[tuple[int, bytes]], reply: pb.PipelineReply) -> None:
    """Each parcel its own results."""
    at = 0
    index, term = reply.index, reply.term
    for parcel in parcels:
        count = len(parcel.commands)
        parcel.results = results[at : at + count]
        if parcel.answered:
            parcel.results = parcel.answered + parcel.results
        parcel.index = index
        parcel.term = term
        at += count


class CommandLane(Lane):
    """Frames of the client's session, applied as one log entry each."""

    sessions = True

    def _admit(self, parcel: Parcel) -> bool:
        session = self._engine.session
        if parcel.unknown and parcel.session != session.id:
            self._expired(parcel)
            return True  # settled: `_encode` leaves it out
        return session.admit(parcel)

    def _encode(self, number: int, parcels: list[Parcel]) -> pb.PipelineRequest:
        session = self._engine.session
        pairs: list[tuple[int, bytes]] = []
        for parcel in parcels:
            pairs.extend(enumerate(parcel.commands, parcel.first_seq))
        return pb.PipelineRequest(
            number=number, batch=batch.encode_batch(session.id, session.floor(), pairs)
        )

    def _answered(self, parcels: list[Parcel], reply: pb.PipelineReply) -> None:
        engine = self._engine
        try:
            results = _results(parcels, reply.results)
        except WireError as error:
            for parcel in parcels:  # done, most likely, but nobody can say with what result
                engine.settle(
                    parcel, ProtocolError(f"{self.address}: {error}", endpoint=self.address)
                )
            return
        _deal(parcels, results, reply)
        if not _TRANSIENT.isdisjoint([status for status, _ in results]):
            parcels = self._again(parcels)
        for parcel in parcels:
            engine.settle(parcel)

    def _again(self, parcels: list[Parcel]) -> list[Parcel]:
        """Sort out those that were not (wholly) executed; returns the others."""
        session = self._engine.session
        finished: list[Parcel] = []
        back: list[Parcel] = []
        for parcel in parcels:
            statuses = [status for status, _ in parcel.results or ()]
            if batch.SESSION_EXPIRED in statuses:
                session.expired(parcel.session)
                self._verdict = Verdict(Next.REOPEN, True, "the session has expired")
            elif batch.SESSION_FULL in statuses:
                self._keep(parcel, statuses.index(batch.SESSION_FULL))
            else:
                finished.append(parcel)
                continue
            parcel.results = None
            back.append(parcel)
        self.inbox.back(back)
        return finished

    def _keep(self, parcel: Parcel, count: int) -> None:
        """The session had no room for more than `count` answers: take them, so that the floor
        rises.
        """
        fresh = count - len(parcel.answered)
        parcel.answered = (parcel.results or [])[:count]
        parcel.commands = parcel.commands[fresh:]
        parcel.first_seq += fresh
        if not fresh and self._verdict is None:
            text = "the session keeps too many answers: other callers' have to arrive first"
            self._verdict = Verdict(Next.PAUSE, True, text)

    def _refused(self, parcels: list[Parcel], verdict: Verdict) -> None:
        if verdict.next is Next.REOPEN:
            for parcel in parcels:
                self._engine.session.expired(parcel.session)
        super()._refused(parcels, verdict)

    def _misplaced(self) -> bool:
        return not self._engine.session.id or super()._misplaced()

    def _expired(self, parcel: Parcel) -> None:
        """Pitfall 100: expired with an attempt outstanding is unknown, not failed."""
        text = (
            f"the session expired while an attempt had no answer ({parcel.reason}); "
            "read before you do it again"
        )
        self._engine.settle(
            parcel,
            SessionExpired(
                text,
                endpoint=self.address,
                session=opened_at(parcel.session),
                seq=parcel.first_seq,
            ),
        )


class QueryLane(Lane):
    """Frames of queries with one consistency. A query changes nothing: asking twice is harmless."""

    consistency = pb.LINEARIZABLE

    def _encode(self, number: int, parcels: list[Parcel]) -> pb.PipelineRequest:
        queries = [query for parcel in parcels for query in parcel.commands]
        return pb.PipelineRequest(
            number=number, queries=pb.QueryBatch(query=queries, consistency=self.consistency)
        )

    def _answered(self, parcels: list[Parcel], reply: pb.PipelineReply) -> None:
        try:
            results = _results(parcels, reply.results)
        except WireError as error:
            for parcel in parcels:
                text = f"{self.address}: {error}"
                self._engine.settle(parcel, ProtocolError(text, endpoint=self.address))
            return
        _deal(parcels, results, reply)
        for parcel in parcels:
            self._engine.settle(parcel)


class StaleLane(QueryLane):
    """Any node's own state: stays with one endpoint until that fails."""

    consistency = pb.STALE
    _next = ""
    _misses = 0

    def _target(self) -> str:
        return self._next or self._engine.router.target()

    def _misplaced(self) -> bool:
        return False

    def _answered(self, parcels: list[Parcel], reply: pb.PipelineReply) -> None:
        self._misses = 0
        super()._answered(parcels, reply)

    async def _react(self, address: str, verdict: Verdict) -> None:
        """Says nothing about the leader, so the router's guess stays as it is."""
        router = self._engine.router
        self.inbox.prune(f"{address}: {verdict.message}", verdict.code)
        if verdict.next is Next.GIVE_UP:
            self._hopeless(address, verdict)
        self._next = router.other(address)
        self._misses += 1
        if self._misses >= len(router.endpoints):
            await asyncio.sleep(router.backoff(self._misses - len(router.endpoints)))
