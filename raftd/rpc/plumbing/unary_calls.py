"""A unary call whose end is told to a callback, on either transport. Network thread only."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from raftd.h2.calls import AioCall

Told = Callable[[Any, BaseException | None], None]
"""(answer, None), or (None, error); CancelledError if this side cancelled the call."""

_WAITING: set[asyncio.Task[None]] = set()
"""The loop itself keeps tasks weakly only."""


def settle(call: Any, told: Told) -> None:
    """`told` is called once; on raftd/h2 without a task, which costs as much as the call itself.

    call: of a stub's unary method. Nobody may await it beside.
    """
    if isinstance(call, AioCall):
        call.settle(told)
        return
    task = asyncio.ensure_future(_awaited(call, told))
    _WAITING.add(task)
    task.add_done_callback(_WAITING.discard)


async def _awaited(call: Any, told: Told) -> None:
    try:
        answer = await call
    except (Exception, asyncio.CancelledError) as error:
        told(None, error)
        if not call.done():
            raise
    else:
        told(answer, None)
