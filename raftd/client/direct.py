"""A plain blocking client over unary calls, for programs that live for one command (raftctl).

No loop, no thread of ours, no stream: it starts fast. The rules are those of the pipelined client:
what may have been done is never reported as not done. A change is one plain command without a
session, so one entry of the log. Nothing protects it against being done twice, so it is sent again
only after an attempt that certainly did nothing. One thread at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, TypeVar

import grpc

from raftd._pb import admin_pb2, client_pb2
from raftd.client.admin import (
    ADMIN,
    HEALTH_CHECK,
    Event,
    NodeStatus,
    advertised,
    event_from,
    is_serving,
    status_from,
)
from raftd.client.errors import OutcomeUnknown, RaftdError, Unavailable
from raftd.client.failures import Next, Verdict, error_of, judge_rpc, status_of
from raftd.client.plain_channels import NoAddress, PlainChannels
from raftd.client.routing import ENDPOINTS_MAX, Router, is_endpoint, parse_endpoints
from raftd.client.settings import Clock

COMMANDS = "/raftd.client.v1.Commands/"
NODE_SECONDS = 1.0
"""For how long one node may take to report about itself while the others are shown."""
Reply = TypeVar("Reply")


@dataclass(frozen=True, slots=True)
class Submitted:
    """The machine's answer, and the log entry that carried the command."""

    result: bytes
    index: int
    term: int


class Direct:
    """timeout: seconds for everything that this object does. sleep: how to wait between attempts.

    Raises Invalid for malformed endpoints. The methods raise the errors of raftd.client.errors.
    """

    def __init__(
        self,
        endpoints: str | Sequence[str],
        *,
        timeout: float,
        clock: Clock,
        sleep: Callable[[float], None],
        random: Random,
        attempt_timeout: float = 1.0,
    ) -> None:
        self.endpoints = parse_endpoints(endpoints)
        self._router = Router(self.endpoints, random)
        self._clock = clock
        self._sleep = sleep
        self._deadline = clock() + timeout
        self._attempt = attempt_timeout
        self._channels = PlainChannels()

    # -- commands and queries -----------------------------------------------------------------

    def submit(self, command: bytes) -> Submitted:
        """One command, at most once: OutcomeUnknown after the first attempt without a certain end.

        That attempt may use all the time that is left, since there is none after it.
        """
        while True:
            address = self._router.target()
            sent = False
            try:
                self._greet(address)
                sent = True
                return self._submit_at(address, command)
            except grpc.RpcError as error:
                verdict = judge_rpc(error)
            if verdict.next in (Next.GIVE_UP, Next.REOPEN):
                raise error_of(verdict, address)
            if sent and not verdict.certain:
                text = f"{address}: {verdict.message}; perhaps it is done: read, then repeat"
                raise OutcomeUnknown(text, endpoint=address)
            self._react(address, verdict)

    def query(self, query: bytes, *, stale: bool = False) -> tuple[bytes, int]:
        """(answer, applied index)."""
        consistency = client_pb2.STALE if stale else client_pb2.LINEARIZABLE
        request = client_pb2.QueryRequest(query=query, consistency=consistency)

        def ask(address: str) -> client_pb2.QueryReply:
            return self._call(address, COMMANDS + "Query", request, client_pb2.QueryReply)

        reply = self._retried(ask)
        return reply.result, reply.applied_index

    def close(self) -> None:
        self._channels.close()

    # -- operators ----------------------------------------------------------------------------

    def statuses(self) -> dict[str, NodeStatus | RaftdError]:
        """Every endpoint's status, all asked at once; of an unreachable one its error."""
        return self._statuses(self.endpoints)

    def members(
        self, reports: Mapping[str, NodeStatus | RaftdError]
    ) -> dict[str, NodeStatus | RaftdError]:
        """The status of each member that `reports` tell of and that has not answered itself.

        Addresses are those that the members advertise, which may not be reachable from here.
        """
        nodes = [report for report in reports.values() if isinstance(report, NodeStatus)]
        learned = [address for address in advertised(nodes) if is_endpoint(address)]
        return self._statuses([at for at in learned if at not in reports][:ENDPOINTS_MAX])

    def _statuses(self, endpoints: Sequence[str]) -> dict[str, NodeStatus | RaftdError]:
        replies = self._each(
            ADMIN + "Status",
            admin_pb2.StatusRequest(),
            admin_pb2.StatusReply.FromString,
            endpoints=endpoints,
        )
        return {
            endpoint: reply if isinstance(reply, RaftdError) else status_from(endpoint, reply)
            for endpoint, reply in replies.items()
        }

    def healths(self) -> dict[str, bool | RaftdError]:
        """Every endpoint's health (grpc.health.v1)."""
        return self._each(HEALTH_CHECK, admin_pb2.StatusRequest(), is_serving)

    def snapshots(self) -> dict[str, int | RaftdError]:
        """Let every endpoint take a snapshot now; the index of each."""
        replies = self._each(
            ADMIN + "SnapshotNow",
            admin_pb2.SnapshotNowRequest(),
            admin_pb2.SnapshotNowReply.FromString,
            self._left(),
        )
        return {
            endpoint: reply if isinstance(reply, RaftdError) else reply.index
            for endpoint, reply in replies.items()
        }

    def transfer(self, target: str) -> tuple[str, int]:
        """Hand leadership to `target` ("": the best follower). (new leader, term)."""
        request = admin_pb2.TransferRequest(target=target)

        def ask(address: str) -> admin_pb2.TransferReply:
            return self._call(
                address, ADMIN + "Transfer", request, admin_pb2.TransferReply, self._left()
            )

        reply = self._retried(ask)
        return reply.leader_id, reply.term

    def events(self, endpoint: str, *, from_start: bool) -> Iterator[Event]:
        """One node's events, for as long as it runs. Raises Unavailable when the stream ends."""
        call = self._channel(endpoint).unary_stream(
            ADMIN + "Events",
            request_serializer=admin_pb2.EventsRequest.SerializeToString,
            response_deserializer=admin_pb2.EventReply.FromString,
        )
        try:
            for event in call(admin_pb2.EventsRequest(from_start=from_start)):
                yield event_from(event)
        except grpc.RpcError as error:
            raise error_of(judge_rpc(error), endpoint) from None

    # -- the plumbing -------------------------------------------------------------------------

    def _greet(self, address: str) -> None:
        """Ask for something harmless first: a dead or stopped node shows here, where nothing is at
        stake, and the next one can be tried.
        """
        request, reply = admin_pb2.StatusRequest(), admin_pb2.StatusReply
        self._router.learn(address, self._call(address, ADMIN + "Status", request, reply).node_id)

    def _submit_at(self, address: str, command: bytes) -> Submitted:
        reply = self._call(
            address,
            COMMANDS + "Submit",
            client_pb2.SubmitRequest(command=command),
            client_pb2.SubmitReply,
            self._left(),
        )
        return Submitted(reply.result, reply.index, reply.term)

    def _retried(self, ask: Callable[[str], Reply]) -> Reply:
        """For what changes nothing, or may be asked twice."""
        while True:
            address = self._router.target()
            try:
                return ask(address)
            except grpc.RpcError as error:
                verdict = judge_rpc(error)
            if verdict.next in (Next.GIVE_UP, Next.REOPEN):
                raise error_of(verdict, address)
            self._react(address, verdict)

    def _react(self, address: str, verdict: Verdict) -> None:
        """Choose the next node and wait a little; raises when the time is up."""
        if verdict.next is Next.REDIRECT and (verdict.leader_id or verdict.leader_address):
            if not self._router.knows(verdict.leader_id, verdict.leader_address):
                for endpoint, status in self.statuses().items():
                    if isinstance(status, NodeStatus):
                        self._router.learn(endpoint, status.node_id)
            self._router.hinted(address, verdict.leader_id, verdict.leader_address, self._clock())
        elif verdict.next in (Next.REDIRECT, Next.ROTATE):
            self._router.failed(address, self._clock())
        pause = self._router.pause()
        if verdict.next is Next.PAUSE:
            pause = max(pause, self._router.backoff(2))
        if self._clock() + pause >= self._deadline:
            raise error_of(verdict, address)
        if pause:
            self._sleep(pause)

    def _left(self) -> float:
        return max(0.001, self._deadline - self._clock())

    def _channel(self, address: str) -> grpc.Channel:
        return self._channels.get(address, min(self._left(), self._attempt))

    def _call(
        self, address: str, path: str, request: Any, reply: type[Reply], timeout: float = 0.0
    ) -> Reply:
        decode: Any = reply
        call = self._channel(address).unary_unary(
            path,
            request_serializer=type(request).SerializeToString,
            response_deserializer=decode.FromString,
        )
        try:
            answer: Reply = call(request, timeout=timeout or min(self._left(), self._attempt))
        except grpc.RpcError as error:
            if status_of(error)[0] is grpc.StatusCode.DEADLINE_EXCEEDED:
                self._channels.drop(address)  # the connection may be dead: another one next time
            raise
        return answer

    def _each(
        self,
        path: str,
        request: Any,
        decode: Callable[[bytes], Reply],
        timeout: float = NODE_SECONDS,
        endpoints: Sequence[str] | None = None,
    ) -> dict[str, Reply | RaftdError]:
        asked = self.endpoints if endpoints is None else endpoints
        self._channels.prepare(asked)
        seconds = min(self._left(), timeout)
        calls: dict[str, Any] = {}
        answers: dict[str, Reply | RaftdError] = {}
        for endpoint in asked:
            try:
                channel = self._channel(endpoint)
            except NoAddress as error:
                answers[endpoint] = _unreachable(endpoint, error)
                continue
            call = channel.unary_unary(
                path,
                request_serializer=type(request).SerializeToString,
                response_deserializer=decode,
            )
            calls[endpoint] = call.future(request, timeout=seconds)
        for endpoint, future in calls.items():
            try:
                answers[endpoint] = future.result()
            except grpc.RpcError as error:
                answers[endpoint] = _unreachable(endpoint, error)
        return {endpoint: answers[endpoint] for endpoint in asked}


def _unreachable(endpoint: str, error: grpc.RpcError) -> RaftdError:
    verdict = judge_rpc(error)
    if verdict.next is Next.GIVE_UP:
        return error_of(verdict, endpoint)
    return Unavailable(verdict.message, endpoint=endpoint)
