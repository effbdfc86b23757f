"""A client that begins while its loop thread does not get to work."""

from __future__ import annotations

import asyncio
import gc
import threading

import pytest

from raftd.client import NotDone
from raftd.client.delivery.calls import Backpressure
from raftd.client.delivery.event_loop import LoopThread
from raftd.client.faces.starting import engine_on
from raftd.client.settings import Settings


def test_a_stalled_thread_is_named_and_makes_no_engine_for_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The story without it: a bare TimeoutError, and asyncio complains of tasks that were lost."""
    thread, busy, free = LoopThread(), threading.Event(), threading.Event()
    try:
        thread.loop.call_soon_threadsafe(busy.set)
        thread.loop.call_soon_threadsafe(free.wait, 30)
        assert busy.wait(30)
        with pytest.raises(NotDone, match="loop is stalled"):
            engine_on(thread, Settings(("127.0.0.1:1",)), Backpressure(1, 1), seconds=0.01)
        free.set()
        thread.call(asyncio.sleep(0.01), 30)
        gc.collect()
        assert "destroyed" not in caplog.text
    finally:
        free.set()
        thread.stop()
