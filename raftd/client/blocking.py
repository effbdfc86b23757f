"""The blocking callers' way into the engine: threads wait on bare locks, the loop wakes them.

With 64 threads a bare lock is a third faster than an Event or a Future.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from raftd.client import calls, loops
from raftd.client.calls import Answer, Data
from raftd.client.engine import BULK_BYTES, BULK_COUNT, Engine, LaneName, start
from raftd.client.errors import NotDone, Overloaded, RaftdError
from raftd.client.loops import LoopThread
from raftd.client.parcels import Countdown, Gate, Parcel
from raftd.client.pipeline import Lane
from raftd.client.settings import Settings

FORK_LOOK_SECONDS = 0.001
GRACE_SECONDS = 2.0
"""For how long past its deadline a caller waits for the loop to say how it ended."""


class Callers:
    """The callers of one client, and its engine, which begins with the first call. Any thread."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._clock = settings.clock
        self._gate = Gate(settings.queue_commands_max, settings.queue_bytes_max)
        self._thread: LoopThread | None = None
        self._engine: Engine | None = None
        self._busy: list[None] = []  # one for each call under way; append and pop are atomic
        self._closed = False

    def close(self) -> None:
        """See Client.close."""
        if self._closed:
            return
        self._closed = True
        thread, self._thread = self._thread, None
        engine, self._engine = self._engine, None  # gRPC ends with its last object
        with suppress(TimeoutError, NotDone):
            loops.check()
            if thread is not None and engine is not None:
                thread.call(engine.close(), GRACE_SECONDS)
        loops.forget(self)

    def put_down(self, deadline: float) -> bool:
        """Before a fork: let calls under way end, keep new ones waiting, end the connections.

        A call says that it is there before it looks for the engine: whoever saw the old one counts.
        False: a call is still under way at `deadline` (time.monotonic), and nothing is changed.
        """
        engine, self._engine = self._engine, None
        while self._busy:
            if time.monotonic() >= deadline:
                self._engine = engine
                return False
            time.sleep(FORK_LOOK_SECONDS)
        thread, self._thread = self._thread, None
        if thread is not None and engine is not None and not self._closed:
            with suppress(TimeoutError):
                thread.call(engine.put_down(), GRACE_SECONDS)
        return True

    def reborn(self) -> None:
        """In a forked child: the calls that waited for the fork to be over are the parent's."""
        self._busy.clear()

    @contextmanager
    def _call(self) -> Iterator[Engine]:
        """A call under way, on the engine, which is started if need be.

        Raises WrongProcess, NotDone.
        """
        while True:
            loops.check()
            self._busy.append(None)
            engine = self._engine
            if engine is not None:
                break
            self._busy.pop()
            self.ready()
        try:
            yield engine
        finally:
            self._busy.pop()

    def ready(self) -> Engine:
        """Start the engine if need be; waits while this process forks."""
        loops.check()
        with loops.starting():
            thread = loops.shared_thread(self)
            engine = self._engine
            if engine is None:
                self._thread = thread
                engine = thread.call(start(self._settings, self._gate), GRACE_SECONDS)
                self._engine = engine
        return engine

    def ask(
        self,
        question: Callable[[Engine, float], Coroutine[Any, Any, Answer]],
        timeout: float | None,
    ) -> Answer:
        """Run a question about a node on the engine's loop."""
        seconds = self.seconds(timeout)
        with self._call() as engine:
            thread = self._thread
            if thread is None:
                raise NotDone("this client is closed")
            try:
                return thread.call(question(engine, seconds), seconds + GRACE_SECONDS)
            except TimeoutError:
                raise calls.stalled(changes=False) from None

    def one(self, lane: LaneName, command: bytes, timeout: float | None) -> bytes:
        """One command or query; its answer. Raises the errors of raftd.client.errors."""
        seconds = self.seconds(timeout)
        with self._call() as engine:
            return self._waited(engine, lane, command, seconds)

    def _waited(self, engine: Engine, lane: LaneName, command: bytes, seconds: float) -> bytes:
        lock = threading.Lock()
        lock.acquire()
        size = len(command)
        parcel = Parcel((command,), size, lock.release)
        if not self._gate.enter(1, size):
            deadline = self._clock() + seconds
            self._wait_for_room(1, size, deadline)
            seconds = max(0.0, deadline - self._clock())
        parcel.counted = True
        _put(engine.lane(lane), parcel)
        try:
            in_time = lock.acquire(True, seconds)
        except BaseException:  # an interrupt: nobody waits for this number any more
            _tell(engine, engine.expire, [parcel], "the caller was interrupted")
            raise
        if not in_time:
            _tell(engine, engine.expire, [parcel])
            if not lock.acquire(True, GRACE_SECONDS):
                raise calls.stalled(changes=engine.lane(lane).sessions)
        return calls.answer_of(parcel)

    def many(
        self, commands: Sequence[Data], decode: Callable[[bytes], Answer], timeout: float | None
    ) -> list[Answer]:
        """Many commands in large parcels; answers in order. Raises BulkError if some failed."""
        deadline = self._clock() + self.seconds(timeout)
        if not commands:
            return []
        parcels = calls.cut(commands, BULK_COUNT, BULK_BYTES, _nothing)
        with self._call() as engine:
            self._settled(engine, parcels, deadline)
        return calls.answers_of(parcels, decode)

    def _settled(self, engine: Engine, parcels: list[Parcel], deadline: float) -> None:
        """Returns when all have an answer or an error."""
        lock = threading.Lock()
        lock.acquire()
        wake = Countdown(len(parcels), lock.release)
        for parcel in parcels:
            parcel.wake = wake
        try:
            self._feed(engine, parcels, deadline)
            in_time = lock.acquire(True, max(0.0, deadline - self._clock()))
        except BaseException:
            _tell(engine, engine.expire, parcels, "the caller was interrupted")
            raise
        if not in_time:
            _tell(engine, engine.expire, parcels)
            if not lock.acquire(True, GRACE_SECONDS):
                raise calls.stalled(changes=True)

    def _feed(self, engine: Engine, parcels: list[Parcel], deadline: float) -> None:
        """Into the queue as there is room. What does not get in before the deadline is not done."""
        for number, parcel in enumerate(parcels):
            count = len(parcel.commands)
            if not self._gate.enter(count, parcel.size):
                try:
                    self._wait_for_room(count, parcel.size, deadline)
                except RaftdError as error:
                    _tell(engine, engine.turn_away, parcels[number:], error)
                    return
            parcel.counted = True
            _put(engine.bulk, parcel)

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

    def seconds(self, timeout: float | None) -> float:
        """Raises NotDone if the client is closed, Invalid for a timeout that is none."""
        if self._closed:
            raise NotDone("this client is closed")
        return calls.seconds(timeout, self._settings.timeout)


def _put(lane: Lane, parcel: Parcel) -> None:
    try:
        lane.inbox.put(parcel)
    except RuntimeError:  # the loop has just been closed
        loops.check()
        raise


def _tell(engine: Engine, call: Callable[..., None], *args: object) -> None:
    with suppress(RuntimeError):  # the loop is closed: there is nothing left to settle
        engine.loop.call_soon_threadsafe(call, *args)


def _nothing() -> None:
    """Stands in until the parcels of a bulk call have been counted."""
