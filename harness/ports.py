"""Ports for nodes of tests, demos and benchmarks: free now, and given to nobody else meanwhile."""

from __future__ import annotations

import os
import random
import socket
from collections import deque

RANGE = (12_000, 30_000)
"""Below what operating systems hand out to outgoing connections: a restarted node must find its
port free."""

PER_NODE = 100
"""From a node's first port to that of the next, in a cluster whose first port alone is chosen."""

_given: deque[int] = deque(maxlen=1000)


def free_ports(count: int) -> list[int]:
    """Ports that are free now and that nobody is given by accident.

    Those given a moment ago look free until their node has started, so they are remembered; and
    workers of one test run draw from ports of their own.
    """
    found: list[int] = []
    while len(found) < count:
        port = _drawn()
        if _may_be_had(port):
            found.append(port)
            _given.append(port)
    return found


def room_for_nodes(count: int) -> int:
    """A first port for `count` nodes whose other ports follow from it (three each).

    The story without it: the first was free, the sixth belonged to a connection of the test run
    beside it.
    """
    while True:
        first = _drawn(PER_NODE * count)
        all_of_them = [first + PER_NODE * node + port for node in range(count) for port in range(3)]
        if all(map(_may_be_had, all_of_them)):
            _given.extend(all_of_them)
            return first


def _drawn(room: int = 1) -> int:
    """From this worker's part of the range, with `room` of it from there on."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    first, end = RANGE
    part = (end - first) // workers
    start = first + part * (worker % workers)
    return _draw.randrange(start, start + part - room)


_draw = random.Random()  # each process its own: two runs at once should not meet


def _may_be_had(port: int) -> bool:
    if port in _given:
        return False
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
