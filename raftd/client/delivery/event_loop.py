"""Which asyncio loop a client lives on, and what a fork or the process's end does to it.

grpc.aio wants one loop a process: with several it works, but reports spurious BlockingIOErrors
(grpc issues 25364, 42357). So all blocking clients of a process share one background thread; an
AsyncClient joins its caller's loop only where that is the process's only one with grpc.aio, and
else uses the thread.

A program that runs grpc.aio on a loop of its own (a server, say) and wants AsyncClient beside it:
nothing to do if that is the loop that it makes the client on.

gRPC does not survive a fork, but a process that has closed all of it may begin anew. So before a
fork the clients are put down, as soon as the calls under way have ended: thread, loop and
connections go, and parent and child begin anew with their next call. Where a call takes too long,
or a client lives on a loop that is not ours, the parent goes on and the child is told at once.
"""

from __future__ import annotations

import asyncio
import atexit
import gc
import os
import sys
import threading
import time
from collections.abc import Coroutine
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from typing import Any, Protocol, TypeVar

from raftd.client.errors import NotDone, WrongProcess
from raftd.h2.client_connection import cut_all

Result = TypeVar("Result")

STOP_SECONDS = 2.0
CALLS_END_SECONDS = 1.0
"""A fork waits so long for calls under way in other threads; new ones wait for the fork."""
GRPC_END_SECONDS = 1.0
GRPC_LOOK_SECONDS = 0.002
COLLECT_AT_LOOKS = frozenset({10, 50, 150, 300})
"""Threads that waited leave gRPC's objects in cycles of their own, after the first look."""
GRPC_THREADS = frozenset({"event_engine", "grpc_global_tim", "lifeguard"})
"""As the kernel shows the names of gRPC's own threads."""

FORKED = (
    "this process was forked while its parent used a raftd client, and gRPC does not survive that: "
    "make and use the client in the child only, or start children by spawn"
)
ENDED = "the process ends, and its raftd clients have been stopped"
GEVENT = (
    "gevent has patched `threading`, and the raftd client needs a thread that really runs: call it "
    "in a process of its own, or patch with monkey.patch_all(thread=False)"
)


class Tenant(Protocol):
    """A blocking client on the process's loop thread."""

    def put_down(self, deadline: float) -> bool:
        """Close its connections once nothing is under way. False: at `deadline` something was."""
        ...

    def reborn(self) -> None:
        """It is in a forked child now, without the parent's other threads."""
        ...

    def resume(self) -> None:
        """The fork is over, and this is the parent."""
        ...


class LoopThread:
    """An asyncio loop (uvloop if installed) that runs on a daemon thread of its own."""

    def __init__(self) -> None:
        self.loop = _new_loop()
        self._calls: set[Future[Any]] = set()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="raftd-client", daemon=True)
        self._thread.start()

    def call(self, coroutine: Coroutine[Any, Any, Result], timeout: float | None) -> Result:
        """Run it there; any other thread.

        Raises TimeoutError after `timeout` seconds, and cancels it. None: waits for ever.
        CancelledError: the thread was stopped.
        """
        try:
            future = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        except RuntimeError:  # the loop is closed
            coroutine.close()
            raise CancelledError from None
        self._calls.add(future)
        try:
            if self._stopped:
                future.cancel()
            return future.result(timeout)
        except BaseException:
            future.cancel()
            raise
        finally:
            self._calls.discard(future)

    def stop(self) -> None:
        """Any other thread. Tasks that are left are cancelled first, so that nothing is said of
        them when the interpreter ends.
        """
        if self._thread.is_alive():
            with suppress(TimeoutError):
                self.call(_cancel_others(), STOP_SECONDS)
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join(STOP_SECONDS)
        self._stopped = True
        for future in list(self._calls):  # their coroutines never began
            future.cancel()
        if not self._thread.is_alive():
            self.loop.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await cut_all()


def resolve(future: asyncio.Future[None]) -> None:
    """The caller may have gone (cancelled) before its answer came."""
    if not future.done():
        future.set_result(None)


class _Registry:
    """Who has grpc.aio in this process. One a process: a forked child gets a new one."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.starting = threading.Lock()
        self.thread: LoopThread | None = None
        self.guest: asyncio.AbstractEventLoop | None = None
        self.guests = 0
        self.tenants: set[Tenant] = set()  # until they are closed: their engines live as long
        self.riders = 0
        self.grpc_lives = False  # at the last fork, although all clients were put down
        self.gone: type[NotDone] | None = None
        self.why = ""


_registry = _Registry()


def starting() -> threading.Lock:
    """Held while a client begins. A child has one of its own: another thread of the parent may hold
    the parent's at the moment of the fork.
    """
    return _registry.starting


def check() -> None:
    """Raises WrongProcess or NotDone where no client can work: at once, never by a time-out.

    A daemon thread at the end of the process waits instead: it dies with it, and should not print
    an error that nobody can do anything about.
    """
    if _registry.gone is None:
        return
    if _registry.why is ENDED and threading.current_thread().daemon:
        threading.Event().wait()
    raise _registry.gone(_registry.why)


def shared_thread(tenant: Tenant | None = None) -> LoopThread:
    """The process's loop thread, started when first needed. Any thread.

    tenant: who is to be put down before a fork; None: a client on a loop of its own, which cannot
    be. Raises WrongProcess in a forked child or under gevent.
    """
    check()
    _refuse_gevent()
    with _registry.lock:
        if _registry.thread is None:
            _registry.thread = LoopThread()
        if tenant is None:
            _registry.riders += 1
        else:
            _registry.tenants.add(tenant)
        return _registry.thread


def forget(tenant: Tenant) -> None:
    """It is closed."""
    with _registry.lock:
        _registry.tenants.discard(tenant)


def join(loop: asyncio.AbstractEventLoop) -> bool:
    """May grpc.aio run on this loop? If so it is counted, until `leave`. Raises as `check`."""
    check()
    with _registry.lock:
        taken = _registry.guest is not None and _registry.guest is not loop
        if _registry.thread is not None or (taken and _registry.guests):
            return False
        _registry.guest = loop
        _registry.guests += 1
        return True


def leave(*, rider: bool) -> None:
    """The opposite of a `join` that was granted or, for a rider, of a `shared_thread`."""
    with _registry.lock:
        if rider:
            _registry.riders -= 1
            return
        _registry.guests -= 1
        if not _registry.guests:
            _registry.guest = None


def _refuse_gevent() -> None:
    monkey = sys.modules.get("gevent.monkey")
    if monkey is not None and monkey.is_module_patched("threading"):
        raise WrongProcess(GEVENT)


# -- forks -------------------------------------------------------------------------------------


def _before_fork() -> None:
    """In the thread that forks. Holds the locks until the fork is over, so that nobody begins.

    `starting` too: a client that had just found the thread would begin on it while it is stopped.
    """
    registry = _registry
    registry.starting.acquire()
    registry.lock.acquire()
    thread = registry.thread
    if thread is None or registry.riders:
        return
    tenants = list(registry.tenants)
    deadline = time.monotonic() + CALLS_END_SECONDS
    if all(tenant.put_down(deadline) for tenant in tenants):
        thread.stop()
        registry.thread = None
        del thread, tenants
        gc.collect()  # gRPC ends with its last object, and some of those are in cycles
        registry.grpc_lives = not _wait_for_grpc_to_end()


def _wait_for_grpc_to_end() -> bool:
    """It ends on a thread of its own. False: the program uses gRPC beside us, so it does not."""
    for look in range(int(GRPC_END_SECONDS / GRPC_LOOK_SECONDS)):
        if not _has_grpc_threads():
            return True
        if look in COLLECT_AT_LOOKS:
            gc.collect()
        time.sleep(GRPC_LOOK_SECONDS)
    return not _has_grpc_threads()


def _has_grpc_threads() -> bool:
    try:
        tasks = os.listdir("/proc/self/task")
    except OSError:  # not Linux: what took 4 ms there has had 50 here
        time.sleep(0.05)
        return False
    for task in tasks:
        with suppress(OSError), open(f"/proc/self/task/{task}/comm", encoding="ascii") as comm:
            if comm.read().strip() in GRPC_THREADS:
                return True
    return False


def _after_in_parent() -> None:
    tenants = list(_registry.tenants)
    _registry.lock.release()
    _registry.starting.release()
    for tenant in tenants:
        tenant.resume()


def _after_in_child() -> None:
    global _registry
    before, _registry = _registry, _Registry()
    for tenant in before.tenants:
        tenant.reborn()
    if before.gone is not None:
        _registry.gone, _registry.why = before.gone, before.why
    elif before.thread is not None or before.guests or before.grpc_lives:
        _registry.gone, _registry.why = WrongProcess, FORKED


def _at_exit() -> None:
    """Registered when this module is imported, so that handlers that a program registers later run
    before it and may still use their clients.
    """
    _registry.gone, _registry.why = NotDone, ENDED
    if _registry.thread is not None:
        _registry.thread.stop()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_in_parent, after_in_child=_after_in_child
    )
atexit.register(_at_exit)


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:  # optional; a put costs a quarter more without it
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
