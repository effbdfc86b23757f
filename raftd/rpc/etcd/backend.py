"""The node as the etcd services use it: writes and reads, whichever member they come to.

All writes of one turn of the loop become one batch. One batch is under way at a time, and what
comes meanwhile is the next one, together with those callers just answered that come again soon: so
many callers cost few messages. A member that does not lead sends its batches to the leader; a
linearizable read asks the leader for its read index only. Both are tried again while it is certain
that nothing was done. Network thread only.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from raftd._pb.raft_pb2 import MemberChange
from raftd.node.outcomes import Answered, Applied, Outcome, Refusal, Refused
from raftd.rpc.clients.gate import Gate
from raftd.rpc.etcd.faults import Code, Fault, comes_back, fault, of_outcome
from raftd.rpc.etcd.reads import Reads, Told
from raftd.rpc.peers.forwarding import Forward, Forwarder
from raftd.wire.batch import BATCH_BYTES_MAX, encode_batch
from raftd.wire.leases import encode_status
from raftd.wire.principal import NOBODY, OWN
from raftd.wire.refusals import NOT_PRIMARY
from raftd.wire.results import (
    ANSWER_TOO_LONG,
    COMMANDS_MAX,
    MACHINE_ERROR,
    OK,
    SESSION_FULL,
    decode_results,
)

REQUEST_SECONDS = 7.0
"""etcd's own patience: 5 s and two election timeouts."""
RETRY_SECONDS = 0.02
GATHER_SECONDS = 0.005
"""A batch waits for callers that were just answered no longer than this, nor than that took."""
WAITING_MAX = 16_384
"""Writes that wait for the batch before theirs."""
WAITING_BYTES_MAX = 32 << 20
CATCH_UP_SECONDS = 1.0
PASSED_OVER_MAX = 1024
"""Writes of others that a batch of one principal looks past."""
HEAD_BYTES = 64
"""Of a batch or of a command in it, generously."""

_NOT_PRIMARY = NOT_PRIMARY.encode()
Refuse = Callable[[bytes], Fault]
Value = TypeVar("Value")


@dataclass(slots=True, eq=False)
class _Write:
    command: bytes
    principal: bytes
    deadline: float
    answer: asyncio.Future[bytes]


class Backend:
    """Made in the running loop."""

    def __init__(self, gate: Gate, forwarder: Forwarder, refused: Refuse) -> None:
        """refused: the store's own refusal (the bytes of a MachineError) as etcd's error."""
        self._gate = gate
        self._forwarder = forwarder
        self._refused = refused
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[_Write] = deque()
        self._bytes = 0
        self._enough = 0
        self._gathered: asyncio.Future[None] | None = None
        most = gate.limits.queries_max
        self._reads = Reads(partial(gate.query, stale=False), most)
        self._stale = Reads(partial(gate.query, stale=True), most)
        self.told = Told(lambda: gate.node.state().applied_index, self._reads)
        self._sender: asyncio.Task[None] | None = None
        self._closed = False

    async def write(self, command: bytes, principal: bytes = NOBODY) -> bytes:
        """The answer to one command of wire. principal: as in wire.principal. Raises Fault."""
        if self._closed:
            raise fault("stopped")
        if len(self._waiting) >= WAITING_MAX or self._bytes + len(command) > WAITING_BYTES_MAX:
            raise fault("too_many_requests")
        deadline = self._loop.time() + REQUEST_SECONDS
        write = _Write(command, principal, deadline, self._loop.create_future())
        self._waiting.append(write)
        self._bytes += len(command)
        if self._gathered is not None and len(self._waiting) >= self._enough:
            _settle(self._gathered, None)
        if self._sender is None:
            self._sender = self._loop.create_task(self._send_all())
        return await write.answer

    async def read(self, query: bytes, serializable: bool, principal: bytes = NOBODY) -> bytes:
        """The answer to one query of wire; serializable: from this member's own state, which has
        what was answered here. Raises Fault.
        """
        if serializable:
            await self.told.seen()
        deadline = self._loop.time() + REQUEST_SECONDS
        while True:
            outcome = await self._ask(query, serializable, principal, deadline)
            if isinstance(outcome, Answered):
                status, answer = outcome.results[0]
                return self._checked(status, answer)
            if not comes_back(outcome):
                raise of_outcome(outcome)
            await self.pause(deadline)

    async def ask_leader(self, query: bytes, principal: bytes = NOBODY) -> bytes:
        """The answer to a query that only the leader's store can give. Raises Fault."""
        deadline = self._loop.time() + REQUEST_SECONDS
        what = Forward(queries=(query,), principal=principal)
        while True:
            outcome = await self._at_leader(
                what, lambda: self._ask(query, False, principal, deadline)
            )
            if isinstance(outcome, Answered):
                status, answer = outcome.results[0]
                if status != MACHINE_ERROR or not answer.startswith(_NOT_PRIMARY):
                    return self._checked(status, answer)
            elif isinstance(outcome, Refused) and not comes_back(outcome):
                raise of_outcome(outcome)
            await self.pause(deadline)

    async def _at_leader(self, what: Forward, here: Callable[[], Awaitable[Outcome]]) -> Outcome:
        """here: the same where this member leads."""
        leader = self._gate.node.state().leader
        if leader == self._gate.node.identity.node:
            return await here()
        if leader is None:
            return Refused(Refusal.NOT_LEADER, "no leader is known")
        return await self._forwarder.forward(leader, what)

    async def change(self, wanted: MemberChange, principal: bytes) -> Outcome:
        """What the leader that is known now makes of a change of the members."""
        what = Forward(principal=principal, change=wanted)
        return await self._at_leader(what, lambda: self._gate.change(wanted, principal))

    async def catch_up(self) -> None:
        """Until this member has applied all that was answered before, wherever that was, or a
        moment, where there is nobody to ask.
        """
        with suppress(Fault, TimeoutError):
            async with asyncio.timeout(CATCH_UP_SECONDS):
                await self.read(encode_status(), False, OWN)

    async def _ask(
        self, query: bytes, serializable: bool, principal: bytes, deadline: float
    ) -> Outcome:
        reads = self._stale if serializable else self._reads
        try:
            return await reads.add(query, principal, deadline)
        except TimeoutError:
            raise fault("timeout") from None

    async def pause(self, deadline: float) -> None:
        """Before the next attempt. Raises Fault once there is no time for one."""
        if self._closed:
            raise fault("stopped")
        if self._loop.time() + RETRY_SECONDS >= deadline:
            raise fault("timeout")
        await asyncio.sleep(RETRY_SECONDS)

    def _checked(self, status: int, answer: bytes) -> bytes:
        if status == OK:
            return answer
        if status == MACHINE_ERROR:
            raise self._refused(answer)
        if status == ANSWER_TOO_LONG:  # with etcd's text it would be called not done
            raise Fault(Code.DATA_LOSS, f"etcdserver: {answer.decode('utf-8', 'replace')}")
        raise fault("request_too_large")

    # --- the sender -----------------------------------------------------------------------------

    async def _send_all(self) -> None:
        try:
            while self._waiting:
                writes = self._take()
                if not writes:
                    return  # all callers have gone
                batch = encode_batch(b"", 0, [(0, write.command) for write in writes])
                began = self._loop.time()
                outcome = await self._send(batch, writes[0].principal)
                if comes_back(outcome) and not self._closed:
                    self._put_back(writes)
                    await asyncio.sleep(RETRY_SECONDS)
                else:
                    self._answer(writes, outcome)
                    await self._gather(writes, self._loop.time() - began)
        finally:
            self._sender = None

    async def _gather(self, answered: Sequence[_Write], took: float) -> None:
        """Wait until three quarters of the callers that are known are here: those just answered,
        and those that wait. One caller alone waits for nobody, nor does who is next for callers of
        another principal: they could not be in its batch.
        """
        if self._waiting and self._waiting[0].principal != answered[0].principal:
            return
        known = len(answered) + len(self._waiting)
        self._enough = known - known // 4
        if known == 1 or len(self._waiting) >= self._enough:
            return
        self._gathered = self._loop.create_future()
        timer = self._loop.call_later(min(took, GATHER_SECONDS), _settle, self._gathered, None)
        try:
            await self._gathered
        finally:
            timer.cancel()
            self._gathered = None

    def _take(self) -> list[_Write]:
        """The next batch, without what is no longer waited for; empty if nothing else waits.

        A batch is of one principal. Whoever else waits is passed over, a bounded number of times,
        and comes first in the next one; among one principal's writes the order stays.
        """
        writes: list[_Write] = []
        others: list[_Write] = []
        size = HEAD_BYTES
        while self._waiting and len(writes) < COMMANDS_MAX and len(others) < PASSED_OVER_MAX:
            write = self._waiting.popleft()
            if write.answer.done():
                self._bytes -= len(write.command)
                continue
            if writes and write.principal != writes[0].principal:
                others.append(write)
                continue
            more = len(write.command) + HEAD_BYTES
            if writes and size + more > BATCH_BYTES_MAX:
                self._waiting.appendleft(write)
                break
            size += more
            self._bytes -= len(write.command)
            writes.append(write)
        self._waiting.extendleft(reversed(others))
        return writes

    def _put_back(self, writes: Sequence[_Write]) -> None:
        now = self._loop.time()
        for write in reversed(writes):
            if write.deadline <= now:
                _fail(write.answer, fault("timeout"))
            elif not write.answer.done():
                self._waiting.appendleft(write)
                self._bytes += len(write.command)

    async def _send(self, batch: bytes, principal: bytes) -> Outcome:
        waiting: asyncio.Future[Outcome] = self._loop.create_future()
        self._gate.submit(batch, lambda outcome: _settle(waiting, outcome), principal)
        outcome = await waiting
        if not isinstance(outcome, Refused) or outcome.refusal is not Refusal.NOT_LEADER:
            return outcome
        if outcome.leader:
            outcome = await self._forwarder.forward(
                outcome.leader, Forward(batch, principal=principal)
            )
            self.told.note(outcome)
        return outcome

    def _answer(self, writes: Sequence[_Write], outcome: Outcome) -> None:
        if not isinstance(outcome, Applied):
            for write in writes:
                _fail(write.answer, of_outcome(outcome))
            return
        results = decode_results(outcome.results)
        left = [
            write
            for write, (status, _) in zip(writes, results, strict=True)
            if status == SESSION_FULL
        ]
        for write, (status, answer) in zip(writes, results, strict=True):
            if status == SESSION_FULL:
                continue
            try:
                answer = self._checked(status, answer)
            except Fault as error:
                _fail(write.answer, error)
            else:
                _settle(write.answer, answer)
        self._left_over(left)

    def _left_over(self, writes: Sequence[_Write]) -> None:
        """Not done, as the answers before left no room for theirs: in the next batch, then."""
        if not self._closed:
            self._put_back(writes)
            return
        for write in writes:
            _fail(write.answer, fault("stopped"))

    def close(self) -> None:
        """Whoever still waits for a batch is told that the member stops."""
        self._closed = True
        self.told.close()
        for write in self._waiting:
            _fail(write.answer, fault("stopped"))
        self._waiting.clear()
        self._bytes = 0


def _settle(waiting: asyncio.Future[Value], value: Value) -> None:
    if not waiting.done():  # the caller may have gone
        waiting.set_result(value)


def _fail(waiting: asyncio.Future[bytes], error: Fault) -> None:
    if not waiting.done():
        waiting.set_exception(error)
