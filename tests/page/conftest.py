"""The page without a cluster behind it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from raftd.admin.page.routes import Page
from raftd.admin.server import AdminServer
from raftd.admin.vitals import Vitals
from raftd.node.film_records import Record
from raftd.node.ring import Ring


@pytest.fixture
def port() -> Iterator[int]:
    ring: Ring[Record] = Ring(1)
    vitals = Vitals(time.monotonic, beat=time.monotonic(), read_film=ring.read)
    admin = AdminServer("127.0.0.1", 0, vitals, list, None, Page("n1", {}))
    admin.start()
    yield admin.port
    admin.stop()
