"""Tasks that go on when their caller is cancelled: others wait for what they give back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

_alone: set[asyncio.Future[Any]] = set()  # a loop does not keep its tasks alive


def go_on(work: Awaitable[Any]) -> asyncio.Future[Any]:
    """Begun, and goes on whoever is cancelled. The caller's loop."""
    task = asyncio.ensure_future(work)
    _alone.add(task)
    task.add_done_callback(_alone.discard)
    return task
