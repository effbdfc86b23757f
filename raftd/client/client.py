"""The blocking client: thread-safe, one background loop for all clients of the process.

Callers hand a parcel to the loop and block on a bare lock: with 64 threads that is a third faster
than an Event or a Future.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from random import Random
from types import TracebackType
from typing import Self

from raftd.client import admin, calls
from raftd.client.admin import Digest, NodeStatus, Question
from raftd.client.blocking import Callers
from raftd.client.calls import Answer, Consistency, Data
from raftd.client.engine import LaneName
from raftd.client.routing import parse_endpoints
from raftd.client.settings import Clock, checked_settings
from raftd.wire import kv


class Client:
    """A client of one cluster. All methods: any thread, as many as you like; blocking.

    endpoints: "host:port,host:port" or a sequence of those: client ports of some or all nodes.
    timeout: seconds, for calls that name none. attempt_timeout: seconds without an answer after
    which another node is tried (the retry is exactly-once). queue_*: what may wait in the client
    before callers are held back. Raises Invalid for wrong settings; does not connect yet.

    Every method raises the errors of raftd.client.errors: NotDone is certain, OutcomeUnknown is
    not.
    """

    def __init__(
        self,
        endpoints: str | Sequence[str],
        *,
        timeout: float = 5.0,
        attempt_timeout: float = 1.0,
        connect_timeout: float = 0.5,
        queue_commands_max: int = 65_536,
        queue_bytes_max: int = 64 << 20,
        clock: Clock = time.monotonic,
        random: Random | None = None,
    ) -> None:
        settings = checked_settings(
            endpoints,
            clock,
            random,
            timeout=timeout,
            attempt_timeout=attempt_timeout,
            connect_timeout=connect_timeout,
            queue_commands_max=queue_commands_max,
            queue_bytes_max=queue_bytes_max,
        )
        self._callers = Callers(settings)

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
        """Ends what still waits (unknown if it was sent), closes the session.

        Takes 0.2 s at most or so.
        """
        self._callers.close()

    # -- any state machine --------------------------------------------------------------------

    def submit(self, command: Data, *, timeout: float | None = None) -> bytes:
        """Replicate and apply one command, exactly once; the state machine's answer."""
        return self._callers.one("small", calls.checked(command), timeout)

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
        lane: LaneName = "stale" if calls.is_stale(consistency) else "queries"
        return self._callers.one(lane, calls.checked(query), timeout)

    def submit_many(self, commands: Iterable[Data], *, timeout: float | None = None) -> list[bytes]:
        """Many commands, each exactly once, in large batches with several in flight; answers in
        order.

        They are applied in order unless an attempt fails meanwhile; other callers' commands get in
        between. Raises BulkError if some failed: its `results` has each one's answer or error.
        """
        return self._callers.many(list(commands), calls.same, timeout)

    # -- the built-in store -------------------------------------------------------------------

    def put(self, key: Data, value: Data, *, timeout: float | None = None) -> kv.PutResult:
        """The result's revision is also the key's new mod_revision."""
        command = calls.encoded(kv.encode_put, calls.data("key", key), calls.data("value", value))
        return calls.decoded(kv.decode_put, self._callers.one("small", command, timeout))

    def put_many(
        self, pairs: Iterable[tuple[Data, Data]], *, timeout: float | None = None
    ) -> list[kv.PutResult]:
        """As `submit_many`; not atomic, for that see `batch`."""
        commands = calls.pairs_of(pairs)
        return self._callers.many(commands, kv.decode_put, timeout)

    def delete(self, key: Data, *, timeout: float | None = None) -> kv.DeleteResult:
        command = calls.encoded(kv.encode_delete, calls.data("key", key))
        return calls.decoded(kv.decode_delete, self._callers.one("small", command, timeout))

    def cas(
        self, key: Data, value: Data | None, expect: kv.Expect, *, timeout: float | None = None
    ) -> kv.CasResult:
        """Put `value` (None: delete) if `expect` holds: kv.expect_value(b"..."), expect_version(3),
        expect_mod_revision(17) or expect_absent(), all of raftd.wire.kv."""
        new = None if value is None else calls.data("value", value)
        command = calls.encoded(kv.encode_cas, calls.data("key", key), new, expect)
        return calls.decoded(kv.decode_cas, self._callers.one("small", command, timeout))

    def batch(
        self, operations: Iterable[tuple[Data, Data | None]], *, timeout: float | None = None
    ) -> kv.BatchResult:
        """Puts (key, value) and deletes (key, None), all or nothing, one revision.

        A key may appear once.
        """
        command = calls.encoded(kv.encode_batch_ops, calls.operations_of(operations))
        return calls.decoded(kv.decode_batch_ops, self._callers.one("small", command, timeout))

    def get(
        self,
        key: Data,
        *,
        consistency: Consistency = "linearizable",
        timeout: float | None = None,
    ) -> kv.GetResult:
        """The result's `kv` is None if there is no such key."""
        query = calls.encoded(kv.encode_get, calls.data("key", key))
        answer = self.query(query, consistency=consistency, timeout=timeout)
        return calls.decoded(kv.decode_get, answer)

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
        query = calls.encoded(
            kv.encode_range, calls.data("prefix", prefix), limit, calls.data("after", after)
        )
        answer = self.query(query, consistency=consistency, timeout=timeout)
        return calls.decoded(kv.decode_range, answer)

    # -- the nodes ----------------------------------------------------------------------------

    def status(self, endpoint: str | None = None, *, timeout: float | None = None) -> NodeStatus:
        """One node's own view; None: the leader's, or that of whoever is tried next."""
        return self._ask(admin.status_at, endpoint, timeout)

    def health(self, endpoint: str | None = None, *, timeout: float | None = None) -> bool:
        """grpc.health.v1: does the node serve?"""
        return self._ask(admin.health_at, endpoint, timeout)

    def digest(self, endpoint: str | None = None, *, timeout: float | None = None) -> Digest:
        """Hash of the node's applied state: compare nodes at equal indexes."""
        return self._ask(admin.digest_at, endpoint, timeout)

    def _ask(
        self, question: Question[Answer], endpoint: str | None, timeout: float | None
    ) -> Answer:
        if endpoint is not None:
            (endpoint,) = parse_endpoints([endpoint])
        return self._callers.ask(lambda engine, left: engine.ask(question, endpoint, left), timeout)
