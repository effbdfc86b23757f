"""Which asyncio loop a client lives on.

grpc.aio wants one loop a process: with several it works, but reports spurious BlockingIOErrors
(grpc issues 25364, 42357). So all blocking clients of a process share one background thread; an
AsyncClient joins its caller's loop only where that is the process's only one with grpc.aio, and
else uses the thread.

A program that runs grpc.aio on a loop of its own (a server, say) and wants AsyncClient beside it:
nothing to do if that is the loop that it makes the client on.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")

START_SECONDS = 10.0
STOP_SECONDS = 2.0


class LoopThread:
    """An asyncio loop (uvloop if installed) that runs on a daemon thread of its own."""

    def __init__(self) -> None:
        self.loop = _new_loop()
        self.pid = os.getpid()
        self._thread = threading.Thread(target=self._run, name="raftd-client", daemon=True)
        self._thread.start()

    def call(self, coroutine: Coroutine[Any, Any, Result], timeout: float) -> Result:
        """Run it there; any other thread.

        Raises TimeoutError after `timeout` seconds, and cancels it.
        """
        future = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        try:
            return future.result(timeout)
        except BaseException:
            future.cancel()
            raise

    def stop(self) -> None:
        """At the end of the process."""
        if self.pid == os.getpid() and self._thread.is_alive():
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join(STOP_SECONDS)
            if not self._thread.is_alive():
                self.loop.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()


class Rider:
    """Brings answers from the thread's loop to another loop, many with one wake-up."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._settled: deque[asyncio.Future[None]] = deque()
        self._woken = False

    def waker(self, future: asyncio.Future[None]) -> Callable[[], None]:
        """What a parcel calls, on the thread's loop."""

        def wake() -> None:
            self._settled.append(future)
            if not self._woken:
                self._woken = True
                try:
                    self._loop.call_soon_threadsafe(self._deliver)
                except RuntimeError:  # the caller's loop is closed: nobody waits any more
                    self._settled.clear()

        return wake

    def _deliver(self) -> None:
        self._woken = False  # first: an answer that comes now must wake us again
        while self._settled:
            resolve(self._settled.popleft())


def resolve(future: asyncio.Future[None]) -> None:
    """The caller may have gone (cancelled) before its answer came."""
    if not future.done():
        future.set_result(None)


class _Registry:
    """Who has grpc.aio in this process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.thread: LoopThread | None = None
        self.guest: asyncio.AbstractEventLoop | None = None
        self.guests = 0


_registry = _Registry()


def shared_thread() -> LoopThread:
    """The process's loop thread, started when first needed. Any thread.

    Raises RuntimeError in a forked child: gRPC does not survive a fork.
    """
    with _registry.lock:
        thread = _registry.thread
        if thread is None:
            thread = _registry.thread = LoopThread()
            atexit.register(thread.stop)
        if thread.pid != os.getpid():
            raise RuntimeError(
                "this process was forked from one with a raftd client: use spawn, not fork"
            )
        return thread


def join(loop: asyncio.AbstractEventLoop) -> bool:
    """May grpc.aio run on this loop? If so it is counted, until `leave`."""
    with _registry.lock:
        taken = _registry.guest is not None and _registry.guest is not loop
        if _registry.thread is not None or (taken and _registry.guests):
            return False
        _registry.guest = loop
        _registry.guests += 1
        return True


def leave() -> None:
    """The opposite of a `join` that was granted."""
    with _registry.lock:
        _registry.guests -= 1
        if not _registry.guests:
            _registry.guest = None


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:  # optional; a put costs a quarter more without it
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
