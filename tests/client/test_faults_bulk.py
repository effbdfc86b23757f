"""Several frames in flight: what befalls one of them says nothing about the others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import cast

import pytest

from raftd.client import BulkError, Client, NotDone, OutcomeUnknown, SessionExpired
from raftd.client.delivery.answers import BULK_COUNT
from raftd.client.delivery.calls import PendingCall
from raftd.client.delivery.context import Context
from raftd.client.delivery.policy import judge_rpc
from raftd.client.delivery.stream import Flight
from raftd.client.delivery.stream_kinds import CommandStream
from tests.client.fake_server import FakeCluster, Wordy
from tests.client.faults import Fault

import grpc  # isort: skip
from grpc import aio  # isort: skip

Connect = Callable[..., Client]

COMMANDS = [b"%d" % number for number in range(2 * BULK_COUNT)]
FIRST, SECOND = slice(0, BULK_COUNT), slice(BULK_COUNT, None)


def one_is_refused_and_the_next_hangs(tally: FakeCluster, connect: Connect) -> Client:
    """The first frame is certainly not done; the second is done, and its answer never comes."""
    client = connect(tally, attempt_timeout=0.5)
    client.submit(b"warm")
    node = tally.nodes["n1"]
    node.faults.extend([Fault.OVERLOADED, Fault.HANG_AFTER])
    frames = node.frames

    def wait() -> None:
        """Both frames are on their way before the first answer."""
        if node.frames == frames + 1:
            time.sleep(0.05)

    node.delay = wait
    return client


def test_a_refused_frame_does_not_make_its_neighbours_certain(
    tally: FakeCluster, connect: Connect
) -> None:
    client = one_is_refused_and_the_next_hangs(tally, connect)
    tally.nodes["n1"].faults.extend([Fault.OVERLOADED] * 1000)
    with pytest.raises(BulkError) as caught:
        client.submit_many(COMMANDS, timeout=1.6)
    assert tally.executed()[1:] == COMMANDS[SECOND]
    results = caught.value.results
    # Refused again and again: the deadline may come while one more attempt is under way.
    assert all(isinstance(result, NotDone | OutcomeUnknown) for result in results[FIRST])
    assert all(isinstance(result, OutcomeUnknown) for result in results[SECOND])


def test_a_neighbour_of_a_refused_frame_is_not_done_twice(
    tally: FakeCluster, connect: Connect
) -> None:
    """In a new session nothing would tell the second attempt from the first."""
    client = one_is_refused_and_the_next_hangs(tally, connect)
    node = tally.nodes["n1"]
    frames, wait = node.frames, node.delay

    def slow_then_forgetful() -> None:
        assert wait is not None
        wait()
        if node.frames == frames + 3:
            tally.expire_sessions()

    node.delay = slow_then_forgetful
    with pytest.raises(BulkError) as caught:
        client.submit_many(COMMANDS)
    executed = tally.executed()
    assert len(executed) == len(set(executed)), "done twice"
    assert all(isinstance(result, SessionExpired) for result in caught.value.results[SECOND])


def test_a_stream_that_was_refused_leaves_what_was_written_unknown() -> None:
    """As a proxy does when a token has run out: what it let through before may be done, though
    nothing was answered yet. Only a stream that got no connection proves that nothing left.
    """
    empty = aio.Metadata()
    denied = aio.AioRpcError(grpc.StatusCode.UNAUTHENTICATED, empty, empty, "the token ran out")
    gone = aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, empty, empty, "failed to connect to all")
    loop = asyncio.new_event_loop()
    for ending, replies, unknown in (
        (denied, 0, True),
        (denied, 1, True),
        (gone, 0, False),
        (gone, 1, True),
    ):
        stream = CommandStream(cast("Context", SimpleNamespace(loop=loop)), depth=8, count_max=9)
        call = PendingCall((b"x",), 1, lambda: None)
        stream.flights[1] = Flight([call], 0.0)
        stream._replies = replies
        stream._lost(judge_rpc(ending))
        assert call.unknown is unknown
    loop.close()


def test_what_was_answered_before_the_deadline_is_not_called_undone(connect: Connect) -> None:
    """SESSION_FULL splits a frame: what got in is done and answered, whatever befalls the rest."""
    with FakeCluster(machine=Wordy()) as cluster:
        client = connect(cluster, attempt_timeout=30.0)
        node = cluster.nodes["n1"]
        commands = [b"%03d" % number for number in range(BULK_COUNT)]
        frames = node.frames
        node.delay = lambda: node.faults.extend(
            [Fault.OVERLOADED] if node.frames > frames + 1 else []
        )
        with pytest.raises(BulkError) as caught:
            client.submit_many(commands, timeout=3.0)
        executed = cluster.executed()
        assert 0 < len(executed) < len(commands)
        for command, result in zip(commands, caught.value.results, strict=True):
            assert isinstance(result, bytes) == (command in executed), command
        client.close()
