"""The asyncio client: the same logic and names as the blocking one, with coroutines as its face."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from types import TracebackType
from typing import Self, TypeVar, Unpack

from raftd.client import operations as ops
from raftd.client.delivery import nodes
from raftd.client.delivery.answers import Done
from raftd.client.delivery.engine import REPORT_SECONDS, to_leader
from raftd.client.delivery.nodes import (
    Digest,
    Event,
    MemberChanged,
    NodeStatus,
    Question,
    Transferred,
)
from raftd.client.endpoints import parse_endpoint, parse_endpoints
from raftd.client.errors import RaftdError
from raftd.client.faces.aio_held import AsyncElection, AsyncLease, AsyncLock, AsyncQueue
from raftd.client.faces.asynchronous import AsyncCallers
from raftd.client.faces.streams import AsyncWatch
from raftd.client.operations import Consistency, Data, Operation, data
from raftd.client.recipes.leases import OnLost
from raftd.client.recipes.locks import LOCK_TTL_S
from raftd.client.recipes.watch import Watcher, span
from raftd.client.settings import Options, checked_settings
from raftd.client.txn import operation as txn_operation
from raftd.wire import kv
from raftd.wire.backup import Head
from raftd.wire.leases import CompactResult
from raftd.wire.txn_answers import TxnResult
from raftd.wire.txn_types import Compare, Op, Txn

Answer = TypeVar("Answer")


class AsyncClient:
    """A client of one cluster for the tasks of one asyncio loop.

    Methods, options and errors are those of `Client`; see there.

    Made anywhere, it starts with `async with` or the first call, on the loop that runs then, and
    stays there. Cancelling a call ends the wait, not the command: its outcome is unknown then.
    """

    def __init__(self, endpoints: str | Sequence[str], **options: Unpack[Options]) -> None:
        settings = checked_settings(endpoints, options)
        self.endpoints = settings.endpoints
        self._clock = settings.clock
        self._callers = AsyncCallers(settings)

    async def __aenter__(self) -> Self:
        await self._callers.ready()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """As Client.close. It goes on if the caller is cancelled meanwhile."""
        await self._callers.close()

    # -- the built-in store -------------------------------------------------------------------

    async def put(
        self, key: Data, value: Data, *, lease: int = 0, timeout: float | None = None
    ) -> kv.PutResult:
        return await self._callers.run(ops.put(key, value, lease), timeout)

    async def put_many(
        self, pairs: Iterable[tuple[Data, Data]], *, timeout: float | None = None
    ) -> list[kv.PutResult]:
        return await self._callers.run_many(ops.put_many(pairs), timeout)

    async def get(
        self,
        key: Data,
        *,
        revision: int = 0,
        consistency: Consistency = "linearizable",
        timeout: float | None = None,
    ) -> kv.GetResult:
        return await self._callers.run(ops.get(key, consistency, revision), timeout)

    async def range(
        self,
        prefix: Data = b"",
        *,
        limit: int = 0,
        after: Data = b"",
        consistency: Consistency = "linearizable",
        timeout: float | None = None,
    ) -> kv.RangeResult:
        return await self._callers.run(ops.page(prefix, limit, after, consistency), timeout)

    async def delete(self, key: Data, *, timeout: float | None = None) -> kv.DeleteResult:
        return await self._callers.run(ops.delete(key), timeout)

    async def cas(
        self, key: Data, value: Data | None, expect: kv.Expect, *, timeout: float | None = None
    ) -> kv.CasResult:
        return await self._callers.run(ops.cas(key, value, expect), timeout)

    async def batch(
        self, operations: Iterable[tuple[Data, Data | None]], *, timeout: float | None = None
    ) -> kv.BatchResult:
        return await self._callers.run(ops.atomic_batch(operations), timeout)

    async def txn(
        self,
        *,
        when: Iterable[Compare] = (),
        then: Iterable[Op] = (),
        otherwise: Iterable[Op] = (),
        timeout: float | None = None,
    ) -> TxnResult:
        transaction = Txn(tuple(when), tuple(then), tuple(otherwise))
        return await self._callers.run(txn_operation(transaction), timeout)

    def watch(
        self,
        key: Data | None = None,
        *,
        prefix: Data | None = None,
        start_revision: int = 0,
        previous: bool = False,
    ) -> AsyncWatch:
        watcher = Watcher(span(key, prefix), start_revision, previous=previous)
        return AsyncWatch(self._callers, watcher)

    async def compact(self, revision: int, *, timeout: float | None = None) -> CompactResult:
        return await self._callers.run(ops.compact(revision), timeout)

    # -- what is held for a while -------------------------------------------------------------

    def lease(
        self, ttl_s: int, *, on_lost: OnLost | None = None, timeout: float | None = None
    ) -> AsyncLease:
        return AsyncLease(self._callers, self._clock, ttl_s, timeout, on_lost)

    def lock(
        self,
        name: Data,
        ttl_s: int = LOCK_TTL_S,
        *,
        timeout: float | None = None,
        on_lost: OnLost | None = None,
    ) -> AsyncLock:
        queue = AsyncQueue(self._callers, self._clock, data("name", name), ttl_s, on_lost)
        return AsyncLock(queue, timeout)

    def election(
        self, name: Data, ttl_s: int = LOCK_TTL_S, *, on_lost: OnLost | None = None
    ) -> AsyncElection:
        queue = AsyncQueue(self._callers, self._clock, data("name", name), ttl_s, on_lost)
        return AsyncElection(queue)

    # -- any state machine --------------------------------------------------------------------

    async def submit(self, command: Data, *, timeout: float | None = None) -> bytes:
        return await self._callers.run(ops.submit(command), timeout)

    async def query(
        self,
        query: Data,
        *,
        consistency: Consistency = "linearizable",
        timeout: float | None = None,
    ) -> bytes:
        return await self._callers.run(ops.query(query, consistency), timeout)

    async def submit_many(
        self, commands: Iterable[Data], *, timeout: float | None = None
    ) -> list[bytes]:
        return await self._callers.run_many(ops.submit_many(commands), timeout)

    async def execute(
        self, operation: Operation[Answer], *, session: bool = True, timeout: float | None = None
    ) -> Done[Answer]:
        return await self._callers.execute(operation, timeout, session)

    # -- the nodes ----------------------------------------------------------------------------

    async def status(
        self, endpoint: str | None = None, *, timeout: float | None = None
    ) -> NodeStatus:
        return await self._ask(nodes.status_at, endpoint, timeout)

    async def health(self, endpoint: str | None = None, *, timeout: float | None = None) -> bool:
        return await self._ask(nodes.health_at, endpoint, timeout)

    async def digest(self, endpoint: str | None = None, *, timeout: float | None = None) -> Digest:
        return await self._ask(nodes.digest_at, endpoint, timeout)

    async def snapshot(self, endpoint: str | None = None, *, timeout: float | None = None) -> int:
        return await self._ask(nodes.snapshot_at, endpoint, timeout)

    async def change_member(
        self,
        action: str,
        node_id: str,
        peer_address: str = "",
        client_address: str = "",
        *,
        by: str = "",
        force: bool = False,
        timeout: float | None = None,
    ) -> MemberChanged:
        question = nodes.change_member_to(action, node_id, peer_address, client_address, by, force)
        return await self._callers.ask(to_leader(question), timeout)

    async def transfer(self, target: str = "", *, timeout: float | None = None) -> Transferred:
        question = nodes.transfer_to(target)
        return await self._callers.ask(to_leader(question), timeout)

    def events(
        self, endpoint: str | None = None, *, from_start: bool = False
    ) -> AsyncIterator[Event]:
        at = parse_endpoint(endpoint)
        return self._callers.iterate(lambda engine: engine.events(at, from_start=from_start))

    def backup(
        self, endpoint: str | None = None, *, timeout: float | None = None
    ) -> AsyncIterator[Head | bytes]:
        at, seconds = parse_endpoint(endpoint), self._callers.seconds(timeout)
        return self._callers.iterate(lambda engine: engine.backup(at, seconds))

    async def ask_each(
        self,
        question: Question[Answer],
        endpoints: Sequence[str] | None = None,
        *,
        timeout: float = REPORT_SECONDS,
    ) -> dict[str, Answer | RaftdError]:
        asked = self.endpoints if endpoints is None else parse_endpoints(endpoints)
        return await self._callers.ask(
            lambda engine, left: engine.ask_each(question, asked, left), timeout
        )

    async def _ask(
        self, question: Question[Answer], endpoint: str | None, timeout: float | None
    ) -> Answer:
        at = parse_endpoint(endpoint)
        return await self._callers.ask(lambda engine, left: engine.ask(question, at, left), timeout)
