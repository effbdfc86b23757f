"""Shared pieces of the client's tests."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from random import Random

import pytest

from raftd.client import Client
from tests.client.fake_server import FakeCluster, Tally

WAIT_SECONDS = 10.0


@pytest.fixture
def cluster() -> Iterator[FakeCluster]:
    """Three nodes with the built-in store."""
    with FakeCluster() as cluster:
        yield cluster


@pytest.fixture
def tally() -> Iterator[FakeCluster]:
    """Three nodes with a machine that remembers what it executed."""
    with FakeCluster(machine=Tally()) as cluster:
        yield cluster


@pytest.fixture
def connect() -> Iterator[Callable[..., Client]]:
    """Makes clients with short attempts; closes them."""
    made: list[Client] = []

    def make(cluster: FakeCluster | list[str], **settings: float) -> Client:
        endpoints = cluster if isinstance(cluster, list) else cluster.endpoints
        # Attempts are short, so that what hangs is given up soon; the call itself has time to be
        # repeated on a machine that is so busy that good attempts are given up, too.
        fast = {"attempt_timeout": 0.12, "timeout": 40.0, **settings}
        client = Client(endpoints, random=Random(7), **fast)  # type: ignore[arg-type]
        made.append(client)
        return client

    yield make
    for client in made:
        client.close()


@pytest.fixture
def beside(cluster: FakeCluster, connect: Callable[..., Client]) -> Client:
    """A blocking client that is there already: the engine of an AsyncClient is then on its loop
    thread, and not on the caller's loop.
    """
    client = connect(cluster)
    client.get("a")
    return client


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Poll, with a deadline that names what did not come."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited {WAIT_SECONDS} s for: {what}"
        time.sleep(0.005)
