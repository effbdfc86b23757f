"""Callers of a stream that goes on for ever: bounded, and nobody keeps a place by not reading."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import grpc

from raftd.rpc.plumbing.streams import ENDINGS

Result = TypeVar("Result")


class Readers:
    """Network thread only. One more than `limit`: the oldest goes, so that the newest, perhaps an
    operator in need, always gets in.
    """

    def __init__(self, limit: int, what: str) -> None:
        self._limit = limit
        self._what = what
        self._all: dict[Reader, None] = {}

    def enter(self) -> Reader:
        if len(self._all) >= self._limit:
            oldest = next(iter(self._all))
            del self._all[oldest]
            oldest.gone.set()
        reader = Reader(self)
        self._all[reader] = None
        return reader

    def leave(self, reader: Reader) -> None:
        self._all.pop(reader, None)

    @property
    def full(self) -> str:
        return f"{self._limit} {self._what} at a time: another one took this place"

    def __len__(self) -> int:
        return len(self._all)


class Reader:
    """One caller. `with` leaves at the end."""

    def __init__(self, readers: Readers) -> None:
        self.gone = asyncio.Event()
        self._readers = readers

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self._readers.leave(self)

    async def first(self, *waits: Awaitable[object]) -> list[asyncio.Future[Any]]:
        """Until one of `waits` has ended or this reader has to go; the others are cancelled."""
        futures = [asyncio.ensure_future(wait) for wait in waits]
        evicted = asyncio.ensure_future(self.gone.wait())
        try:
            await asyncio.wait((*futures, evicted), return_when=asyncio.FIRST_COMPLETED)
            return [future for future in futures if future.done()]
        finally:
            for future in (*futures, evicted):
                future.add_done_callback(_heard)
                future.cancel()

    async def tell(self, write: Callable[[Any], Awaitable[None]], message: object) -> bool:
        """False: the caller is gone, or has to go. Left to gRPC, the first would be a stack trace
        in the log.
        """
        done = await self.first(write(message))
        if not done:
            return False
        try:
            done[0].result()
        except (*ENDINGS, asyncio.CancelledError):
            return False
        return True

    async def dismiss(self, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        """At the end: who was sent away is told why."""
        if self.gone.is_set():
            with contextlib.suppress(*ENDINGS):
                await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, self._readers.full)


def _heard(future: asyncio.Future[Any]) -> None:
    """How it ended; what nobody hears of would stop the node."""
    if not future.cancelled():
        future.exception()


class CallerGone(logging.Filter):
    """For gRPC's own log: an answer that could not be written because its caller has gone is no
    error. Our own streams never leave it to gRPC; those of its reflection service do.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        kind = record.exc_info[0] if record.exc_info else None
        return kind is None or kind.__name__ != "ExecuteBatchError"


def keep_callers_out_of_the_log() -> None:
    """Harmless when called again."""
    logger = logging.getLogger("grpc._cython.cygrpc")
    if not any(isinstance(known, CallerGone) for known in logger.filters):
        logger.addFilter(CallerGone())
