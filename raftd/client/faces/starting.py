"""How an engine comes to be on the loop thread, for callers on other threads."""

from __future__ import annotations

import asyncio
import threading

from raftd.client.delivery import answers
from raftd.client.delivery.calls import Backpressure
from raftd.client.delivery.engine import Engine, make_engine
from raftd.client.delivery.event_loop import LoopThread
from raftd.client.settings import Settings

GRACE_SECONDS = 2.0
"""For how long a caller waits for the loop thread to do what takes it no time, and past its own
deadline to hear how it ended.
"""


def engine_on(
    thread: LoopThread, settings: Settings, room: Backpressure, seconds: float = GRACE_SECONDS
) -> Engine:
    """A new engine. Any other thread. Raises NotDone if the loop does not answer within `seconds`.

    The story without `given_up`: the thread comes back, makes it, and nobody ever closes it.
    """
    given_up = threading.Event()

    async def make() -> Engine:
        if given_up.is_set():
            raise asyncio.CancelledError
        return await make_engine(settings, room)

    try:
        return thread.call(make(), seconds)
    except TimeoutError:
        given_up.set()
        raise answers.stalled(changes=False) from None
