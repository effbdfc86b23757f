"""The blocking client: thread-safe, one background loop for all clients of the process.

Callers hand a parcel to the loop and block on a bare lock: with 64 threads that is a third faster
than an Event or a Future.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from random import Random
from types import TracebackType
from typing import Self

from raftd.client import admin, calls
from raftd.client.admin import Digest, NodeStatus, Question
from raftd.client.calls import Answer, Consistency, Data
from raftd.client.engine import BULK_BYTES, BULK_COUNT, Engine, start
from raftd.client.errors import NotDone, Overloaded, RaftdError
from raftd.client.loops import LoopThread, shared_thread
from raftd.client.parcels import Countdown, Gate, Parcel
from raftd.client.pipeline import Lane
from raftd.client.routing import parse_endpoints
from raftd.client.settings import Clock, checked_settings
from raftd.wire import kv

GRACE_SECONDS = 2.0
"""For how long past its deadline a caller waits for the loop to say how it ended."""


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
        self._timeout = timeout
        self._clock = clock
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
        self._gate = Gate(queue_commands_max, queue_bytes_max)
        self._thread: LoopThread = shared_thread()
        self._engine: Engine = self._thread.call(start(settings, self._gate), GRACE_SECONDS)
        self._closed = False

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
        if self._closed:
            return
        self._closed = True
        with suppress(TimeoutError):
            self._thread.call(self._engine.close(), GRACE_SECONDS)

    # -- any state machine --------------------------------------------------------------------

    def submit(self, command: Data, *, timeout: float | None = None) -> bytes:
        """Replicate and apply one command, exactly once; the state machine's answer."""
        return self._one(self._engine.small, calls.checked(command), timeout)

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
        lane = self._engine.stale if calls.is_stale(consistency) else self._engine.queries
        return self._one(lane, calls.checked(query), timeout)

    def submit_many(self, commands: Iterable[Data], *, timeout: float | None = None) -> list[bytes]:
        """Many commands, each exactly once, in large batches with several in flight; answers in
        order.

        They are applied in order unless an attempt fails meanwhile; other callers' commands get in
        between. Raises BulkError if some failed: its `results` has each one's answer or error.
        """
        return self._many(list(commands), calls.same, timeout)

    # -- the built-in store -------------------------------------------------------------------

    def put(self, key: Data, value: Data, *, timeout: float | None = None) -> kv.PutResult:
        """The result's revision is also the key's new mod_revision."""
        command = calls.encoded(kv.encode_put, calls.data("key", key), calls.data("value", value))
        return calls.decoded(kv.decode_put, self._one(self._engine.small, command, timeout))

    def put_many(
        self, pairs: Iterable[tuple[Data, Data]], *, timeout: float | None = None
    ) -> list[kv.PutResult]:
        """As `submit_many`; not atomic, for that see `batch`."""
        commands = calls.pairs_of(pairs)
        return self._many(commands, kv.decode_put, timeout)

    def delete(self, key: Data, *, timeout: float | None = None) -> kv.DeleteResult:
        command = calls.encoded(kv.encode_delete, calls.data("key", key))
        return calls.decoded(kv.decode_delete, self._one(self._engine.small, command, timeout))

    def cas(
        self, key: Data, value: Data | None, expect: kv.Expect, *, timeout: float | None = None
    ) -> kv.CasResult:
        """Put `value` (None: delete) if `expect` holds: kv.expect_value(b"..."), expect_version(3),
        expect_mod_revision(17) or expect_absent(), all of raftd.wire.kv."""
        new = None if value is None else calls.data("value", value)
        command = calls.encoded(kv.encode_cas, calls.data("key", key), new, expect)
        return calls.decoded(kv.decode_cas, self._one(self._engine.small, command, timeout))

    def batch(
        self, operations: Iterable[tuple[Data, Data | None]], *, timeout: float | None = None
    ) -> kv.BatchResult:
        """Puts (key, value) and deletes (key, None), all or nothing, one revision.

        A key may appear once.
        """
        command = calls.encoded(kv.encode_batch_ops, calls.operations_of(operations))
        return calls.decoded(kv.decode_batch_ops, self._one(self._engine.small, command, timeout))

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
        seconds = self._seconds(timeout)
        if endpoint is not None:
            (endpoint,) = parse_endpoints([endpoint])
        coroutine = self._engine.ask(question, endpoint, seconds)
        try:
            return self._thread.call(coroutine, seconds + GRACE_SECONDS)
        except TimeoutError:
            raise calls.stalled(()) from None

    # -- the blocking part --------------------------------------------------------------------

    def _one(self, lane: Lane, command: bytes, timeout: float | None) -> bytes:
        seconds = self._seconds(timeout)
        lock = threading.Lock()
        lock.acquire()
        size = len(command)
        parcel = Parcel((command,), size, lock.release)
        if not self._gate.enter(1, size):
            deadline = self._clock() + seconds
            self._wait_for_room(1, size, deadline)
            seconds = max(0.0, deadline - self._clock())
        parcel.counted = True
        lane.inbox.put(parcel)
        try:
            in_time = lock.acquire(True, seconds)
        except BaseException:  # an interrupt: nobody waits for this number any more
            self._end([parcel], "the caller was interrupted")
            raise
        if not in_time:
            self._end([parcel])
            if not lock.acquire(True, GRACE_SECONDS):
                raise calls.stalled([parcel])
        return calls.answer_of(parcel)

    def _many(
        self, commands: Sequence[Data], decode: Callable[[bytes], Answer], timeout: float | None
    ) -> list[Answer]:
        if not commands:
            return []
        deadline = self._clock() + self._seconds(timeout)
        lock = threading.Lock()
        lock.acquire()
        parcels = calls.cut(commands, BULK_COUNT, BULK_BYTES, _nothing)
        wake = Countdown(len(parcels), lock.release)
        for parcel in parcels:
            parcel.wake = wake
        try:
            self._feed(parcels, deadline)
            in_time = lock.acquire(True, max(0.0, deadline - self._clock()))
        except BaseException:
            self._end(parcels, "the caller was interrupted")
            raise
        if not in_time:
            self._end(parcels)
            if not lock.acquire(True, GRACE_SECONDS):
                raise calls.stalled(parcels)
        return calls.answers_of(parcels, decode)

    def _feed(self, parcels: list[Parcel], deadline: float) -> None:
        """Into the queue as there is room. What does not get in before the deadline is not done."""
        lane = self._engine.bulk
        for number, parcel in enumerate(parcels):
            count = len(parcel.commands)
            if not self._gate.enter(count, parcel.size):
                try:
                    self._wait_for_room(count, parcel.size, deadline)
                except RaftdError as error:
                    self._engine.loop.call_soon_threadsafe(
                        self._engine.turn_away, parcels[number:], error
                    )
                    return
            parcel.counted = True
            lane.inbox.put(parcel)

    def _wait_for_room(self, commands: int, size: int, deadline: float) -> None:
        """Back-pressure. Raises Overloaded at the deadline."""
        while True:
            room = threading.Lock()
            room.acquire()
            if self._gate.enter(commands, size, room.release):
                return
            if not room.acquire(True, max(0.0, deadline - self._clock())):
                self._gate.forget(room.release)
                raise Overloaded(
                    "the client's own queue stayed full until the deadline; send slower"
                )

    def _end(self, parcels: list[Parcel], why: str = "the deadline has passed") -> None:
        self._engine.loop.call_soon_threadsafe(self._engine.expire, parcels, why)

    def _seconds(self, timeout: float | None) -> float:
        if self._closed:
            raise NotDone("this client is closed")
        return calls.seconds(timeout, self._timeout)


def _nothing() -> None:
    """Stands in until the parcels of a bulk call have been counted."""
