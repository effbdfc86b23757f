"""The blocking client. Thread-safe; one background loop serves all clients of the process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Self, TypeVar, Unpack

from raftd.client import nodes
from raftd.client import operations as ops
from raftd.client.answers import Done
from raftd.client.blocking import BlockingCallers
from raftd.client.engine import REPORT_SECONDS
from raftd.client.errors import RaftdError
from raftd.client.nodes import Digest, Event, NodeStatus, Question, Transferred
from raftd.client.operations import Consistency, Data, Operation
from raftd.client.routing import parse_endpoint, parse_endpoints
from raftd.client.settings import Options, checked_settings
from raftd.wire import kv

Answer = TypeVar("Answer")


class Client:
    """A client of one cluster. All methods: any thread, as many as you like; blocking.

    endpoints: "host:port,host:port" or a sequence of those: client ports of some or all nodes.
    options: see `raftd.client.settings.Settings`; `timeout` is in seconds, for calls that name
    none. Raises Invalid for wrong settings; does not connect yet.

    Every method raises the errors of raftd.client.errors: NotDone is certain, OutcomeUnknown is
    not. Keys and values are bytes, or text that stands for its UTF-8 bytes.
    """

    def __init__(self, endpoints: str | Sequence[str], **options: Unpack[Options]) -> None:
        settings = checked_settings(endpoints, options)
        self.endpoints = settings.endpoints
        self._callers = BlockingCallers(settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End what still waits (unknown if it was sent) and close the session, within 0.2 s."""
        self._callers.close()

    # -- the built-in store -------------------------------------------------------------------

    def put(self, key: Data, value: Data, *, timeout: float | None = None) -> kv.PutResult:
        """The result's revision is also the key's new mod_revision."""
        return self._callers.run(ops.put(key, value), timeout)

    def put_many(
        self, pairs: Iterable[tuple[Data, Data]], *, timeout: float | None = None
    ) -> list[kv.PutResult]:
        """As `submit_many`; not atomic, for that see `batch`."""
        return self._callers.run_many(ops.put_many(pairs), timeout)

    def get(
        self,
        key: Data,
        *,
        consistency: Consistency = "linearizable",
        timeout: float | None = None,
    ) -> kv.GetResult:
        """The result's `kv` is None if there is no such key."""
        return self._callers.run(ops.get(key, consistency), timeout)

    def range(
        self,
        prefix: Data = b"",
        *,
        limit: int = 0,
        after: Data = b"",
        consistency: Consistency = "linearizable",
        timeout: float | None = None,
    ) -> kv.RangeResult:
        """One page of the keys with this prefix, in byte order. more: ask again with after = the
        last key.

        limit 0: as many as the nodes allow in a page. Pages are read one by one, each at its own
        revision.
        """
        return self._callers.run(ops.page(prefix, limit, after, consistency), timeout)

    def delete(self, key: Data, *, timeout: float | None = None) -> kv.DeleteResult:
        """The result is falsy if there was no such key."""
        return self._callers.run(ops.delete(key), timeout)

    def cas(
        self, key: Data, value: Data | None, expect: kv.Expect, *, timeout: float | None = None
    ) -> kv.CasResult:
        """Put `value` (None: delete) if `expect` holds: kv.expect_value(b"..."), expect_version(3),
        expect_mod_revision(17) or expect_absent(), all of raftd.wire.kv."""
        return self._callers.run(ops.cas(key, value, expect), timeout)

    def batch(
        self, operations: Iterable[tuple[Data, Data | None]], *, timeout: float | None = None
    ) -> kv.BatchResult:
        """Puts (key, value) and deletes (key, None), all or nothing, one revision.

        A key may appear once.
        """
        return self._callers.run(ops.atomic_batch(operations), timeout)

    # -- any state machine --------------------------------------------------------------------

    def submit(self, command: Data, *, timeout: float | None = None) -> bytes:
        """Replicate and apply one command, exactly once; the state machine's answer."""
        return self._callers.run(ops.submit(command), timeout)

    def query(
        self,
        query: Data,
        *,
        consistency: Consistency = "linearizable",
        timeout: float | None = None,
    ) -> bytes:
        """Ask the state machine something that changes nothing.

        stale: any node answers from its own state, however old that is.
        """
        return self._callers.run(ops.query(query, consistency), timeout)

    def submit_many(self, commands: Iterable[Data], *, timeout: float | None = None) -> list[bytes]:
        """Many commands, each exactly once, in large batches with several in flight; answers in
        order.

        They are applied in order unless an attempt fails meanwhile; other callers' commands get in
        between. Raises BulkError if some failed: its `results` has each one's answer or error.
        """
        return self._callers.run_many(ops.submit_many(commands), timeout)

    def execute(
        self, operation: Operation[Answer], *, timeout: float | None = None
    ) -> Done[Answer]:
        """Run an operation of raftd.client.operations: its answer, and its place in the log."""
        return self._callers.execute(operation, timeout)

    # -- the nodes ----------------------------------------------------------------------------

    def status(self, endpoint: str | None = None, *, timeout: float | None = None) -> NodeStatus:
        """One node's own view; None: the leader's, or that of whoever is tried next."""
        return self._ask(nodes.status_at, endpoint, timeout)

    def health(self, endpoint: str | None = None, *, timeout: float | None = None) -> bool:
        """grpc.health.v1: does the node serve?"""
        return self._ask(nodes.health_at, endpoint, timeout)

    def digest(self, endpoint: str | None = None, *, timeout: float | None = None) -> Digest:
        """Hash of the node's applied state: compare nodes at equal indexes."""
        return self._ask(nodes.digest_at, endpoint, timeout)

    def snapshot(self, endpoint: str | None = None, *, timeout: float | None = None) -> int:
        """Let a node take a snapshot now; its index, once it is durable."""
        return self._ask(nodes.snapshot_at, endpoint, timeout)

    def transfer(self, target: str = "", *, timeout: float | None = None) -> Transferred:
        """Hand leadership to the node with the id `target`; "": to the best follower."""
        question = nodes.transfer_to(target)
        return self._callers.ask(lambda engine, left: engine.ask_leader(question, left), timeout)

    def events(self, endpoint: str | None = None, *, from_start: bool = False) -> Iterator[Event]:
        """One node's events as they happen; from_start: first those that it remembers.

        Ends with Unavailable when the node does.
        """
        at = parse_endpoint(endpoint)
        return self._callers.iterate(lambda engine: engine.events(at, from_start=from_start))

    def ask_each(
        self,
        question: Question[Answer],
        endpoints: Sequence[str] | None = None,
        *,
        timeout: float = REPORT_SECONDS,
    ) -> dict[str, Answer | RaftdError]:
        """A question of raftd.client.nodes, to all endpoints at once: each one's answer or error.

        endpoints: None for those of this client.
        """
        asked = self.endpoints if endpoints is None else parse_endpoints(endpoints)
        return self._callers.ask(
            lambda engine, left: engine.ask_each(question, asked, left), timeout
        )

    def _ask(
        self, question: Question[Answer], endpoint: str | None, timeout: float | None
    ) -> Answer:
        at = parse_endpoint(endpoint)
        return self._callers.ask(lambda engine, left: engine.ask(question, at, left), timeout)
