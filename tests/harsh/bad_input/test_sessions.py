"""Who does not know a session's id cannot close it, poison it, or find out that it is there."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from itertools import cycle, islice

import grpc
import pytest

from harness.cluster import channel
from raftd._pb import client_pb2 as pb
from raftd._pb import client_pb2_grpc
from raftd.wire import batch, kv, session_id
from tests.harsh.bad_input.conftest import Live, failure

pytestmark = pytest.mark.cluster

FAR = 2**61
GUESSES = 800
INDEXES_MAX = 200
"""A stranger knows the index that opened the session, or tries those around it."""


@pytest.fixture
def commands(live: Live) -> Iterator[client_pb2_grpc.CommandsStub]:
    with channel(live.leader) as to:
        yield client_pb2_grpc.CommandsStub(to)


def _guesses(newest: int) -> list[bytes]:
    """By index, with random bytes of the stranger's own, and the ids of version 1 as they were."""
    indexes = range(max(1, newest - INDEXES_MAX), newest + 1)
    tried = islice(cycle(indexes), GUESSES)
    return [session_id.with_index(session_id.draw(), index) for index in tried]


def _attack(guesses: list[bytes]) -> list[bytes]:
    """Frames as a stream takes them: far floors, numbers of the owner's, and closings."""
    frames: list[bytes] = []
    for guess in guesses:
        frames.append(batch.encode_batch(guess, FAR, [(FAR + 1, kv.encode_put(b"poison", b""))]))
        frames.append(batch.encode_batch(guess, 0, [(1, kv.encode_put(b"poison", b""))]))
        frames.append(batch.encode_close(guess))
    old = [batch.HEADER_1.pack(1, batch.CLOSE, 0, session_id.opened_at(one), 0) for one in guesses]
    return frames + old


def test_a_stranger_closes_and_poisons_nothing(
    live: Live, commands: client_pb2_grpc.CommandsStub
) -> None:
    live.put(b"owner/before", b"yes")
    mine = live.client._callers.ready().context.session.id
    newest = commands.Submit(pb.SubmitRequest(command=kv.encode_put(b"now", b"")), timeout=5).index
    over = threading.Event()
    slow: list[float] = []

    def write() -> None:
        while not over.is_set():
            begun = time.monotonic()
            live.client.put(b"owner/during", b"yes")
            slow.append(time.monotonic() - begun)

    owner = threading.Thread(target=write)
    owner.start()
    try:
        frames = _attack(_guesses(newest))
        requests = (pb.PipelineRequest(number=n, batch=one) for n, one in enumerate(frames))
        replies = list(commands.Pipeline(requests, timeout=60))
    finally:
        over.set()
        owner.join()
    statuses = [status for reply in replies for status, _ in _results(reply)]
    assert len(replies) == len(frames)
    assert {reply.failure.code for reply in replies if reply.HasField("failure")} == {pb.INVALID}
    assert set(statuses) == {batch.SESSION_EXPIRED, batch.OK}, "OK: a closing says nothing"
    assert live.client.get(b"poison").kv is None
    assert live.client._callers.ready().context.session.id == mine, (
        "the owner had to open another session"
    )
    live.put(b"owner/after", b"yes")
    slow.sort()
    live.check()
    print(
        f"\n{len(frames)} frames against a session: {len(slow)} puts of its owner, 0 failed, "
        f"p50 {slow[len(slow) // 2] * 1e3:.0f} ms, p99 {slow[-len(slow) // 100] * 1e3:.0f} ms, "
        f"term {live.term} as before"
    )


def _results(reply: pb.PipelineReply) -> list[tuple[int, bytes]]:
    return [] if reply.HasField("failure") else batch.decode_results(reply.results)


def test_the_owners_own_mistakes_are_refused(commands: client_pb2_grpc.CommandsStub) -> None:
    """A floor that nobody sent, a session that is named by its number alone, a short nonce."""
    nonce = session_id.draw()
    request = pb.OpenSessionRequest(nonce=nonce)
    first, again = (commands.OpenSession(request, timeout=5).session for _ in range(2))
    assert first == again
    assert first[:16] == nonce

    def submit(place: pb.Session) -> grpc.StatusCode:
        command = kv.encode_put(b"mistakes", b"")
        try:
            commands.Submit(pb.SubmitRequest(session=place, command=command), timeout=5)
        except grpc.RpcError as error:
            return failure(error)[0]
        return grpc.StatusCode.OK

    assert submit(pb.Session(id=first, seq=1)) is grpc.StatusCode.OK
    assert submit(pb.Session(id=first, seq=2, floor=FAR)) is grpc.StatusCode.OUT_OF_RANGE
    assert submit(pb.Session(id=first, seq=2, floor=1)) is grpc.StatusCode.OK
    for place in (pb.Session(seq=1), pb.Session(id=first[16:], seq=1), pb.Session(floor=1)):
        assert submit(place) is grpc.StatusCode.INVALID_ARGUMENT
