"""What the fake cluster is to its machine: a clock, timers, a log to propose to."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from raftd.core.effects import Event
from raftd.core.events import EventKind
from raftd.core.types import NodeId, Role
from raftd.wire import batch

if TYPE_CHECKING:
    from tests.client.fake_server import FakeCluster


class FakeHost:
    """As much of raftd.machine.protocol.NodeHandle as the store uses."""

    def __init__(self, cluster: FakeCluster) -> None:
        self._cluster = cluster
        self._stopped = False

    def now(self) -> float:
        return time.monotonic()

    def call_later(self, seconds: float, call: Callable[[], None]) -> None:
        timer = threading.Timer(seconds, self._locked, (call,))
        timer.daemon = True
        timer.start()

    def _locked(self, call: Callable[[], None]) -> None:
        with self._cluster.lock:
            if not self._stopped:
                call()

    def propose(self, command: bytes, term: int) -> None:
        payload = batch.encode_batch(b"", 0, [(0, command)])
        threading.Thread(target=self._cluster.apply, args=(payload,), daemon=True).start()

    def stop(self) -> None:
        self._stopped = True


def leads(term: int) -> Event:
    """What a machine hears when its node becomes the leader."""
    return Event(EventKind.ROLE, term, Role.LEADER, NodeId("n1"), "")
