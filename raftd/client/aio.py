"""The asyncio client: the same logic and names as the blocking one, with coroutines as its face."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from types import TracebackType
from typing import Self, TypeVar, Unpack

from raftd.client import nodes
from raftd.client import operations as ops
from raftd.client.answers import Done
from raftd.client.asynchronous import AsyncCallers
from raftd.client.engine import REPORT_SECONDS
from raftd.client.errors import RaftdError
from raftd.client.nodes import Digest, Event, NodeStatus, Question, Transferred
from raftd.client.operations import Consistency, Data, Operation
from raftd.client.routing import parse_endpoint, parse_endpoints
from raftd.client.settings import Options, checked_settings
from raftd.wire import kv

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
        """End what still waits (unknown if it was sent) and close the session."""
        await self._callers.close()

    # -- the built-in store -------------------------------------------------------------------

    async def put(self, key: Data, value: Data, *, timeout: float | None = None) -> kv.PutResult:
        return await self._callers.run(ops.put(key, value), timeout)

    async def put_many(
        self, pairs: Iterable[tuple[Data, Data]], *, timeout: float | None = None
    ) -> list[kv.PutResult]:
        return await self._callers.run_many(ops.put_many(pairs), timeout)

    async def get(
        self,
        key: Data,
        *,
        consistency: Consistency = "linearizable",
        timeout: float | None = None,
    ) -> kv.GetResult:
        return await self._callers.run(ops.get(key, consistency), timeout)

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
        self, operation: Operation[Answer], *, timeout: float | None = None
    ) -> Done[Answer]:
        return await self._callers.execute(operation, timeout)

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

    async def transfer(self, target: str = "", *, timeout: float | None = None) -> Transferred:
        question = nodes.transfer_to(target)
        return await self._callers.ask(
            lambda engine, left: engine.ask_leader(question, left), timeout
        )

    def events(
        self, endpoint: str | None = None, *, from_start: bool = False
    ) -> AsyncIterator[Event]:
        at = parse_endpoint(endpoint)
        return self._callers.iterate(lambda engine: engine.events(at, from_start=from_start))

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
