"""Who reads a store while a snapshot is restored on another thread: nothing, and then all of it."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable

import pytest

from raftd._pb import etcd_pb2 as pb
from raftd.machine.kv.store import KvStore
from raftd.machine.kv.watcher import Delivery
from raftd.machine.protocol import MachineError
from raftd.rpc.etcd.header import Headers
from raftd.rpc.etcd.watcher import StreamWatchers
from raftd.wire.kv import encode_put
from tests.rpc.fakes import FakeNode

WAIT = 20.0


def _put(store: KvStore, *keys: bytes) -> None:
    for key in keys:
        store.apply(encode_put(key, b"1"))
        store.on_applied(1)


class _Slow(io.BytesIO):
    """A snapshot, and what happens elsewhere before its first byte is read."""

    def __init__(self, data: bytes, meanwhile: Callable[[], object]) -> None:
        super().__init__(data)
        self._meanwhile: Callable[[], object] = meanwhile

    def read(self, size: int | None = -1) -> bytes:
        meanwhile, self._meanwhile = self._meanwhile, lambda: None
        meanwhile()
        return super().read(size)


@pytest.fixture
def behind() -> KvStore:
    made = KvStore()
    _put(made, b"a", b"b")
    return made


@pytest.fixture
def ahead() -> bytes:
    """A snapshot of it, two revisions later."""
    made = KvStore()
    _put(made, b"a", b"b", b"c", b"d")
    return b"".join(made.capture())


def _found(delivery: Delivery) -> list[tuple[int, bytes, bool]]:
    return [
        (revision, event.key, event.kv is not None)
        for revision, events in delivery.revisions
        for event in events
    ]


def test_a_watcher_that_reads_the_history_waits_for_the_restore(
    behind: KvStore, ahead: bytes
) -> None:
    """The table was empty and the history there: every put was told as a delete."""
    ready: list[int] = []
    watcher = behind.watches.subscribe(b"a", b"z", 2, on_ready=lambda: ready.append(1))
    seen: list[Delivery] = []
    behind.restore(_Slow(ahead, lambda: seen.append(watcher.take())))
    assert seen == [Delivery([], 1, False)], "nothing, and nothing is said to be handed over"
    assert not ready
    behind.on_applied(5)
    assert ready == [1]
    every = [(2, b"a", True), (3, b"b", True), (4, b"c", True), (5, b"d", True)]
    assert _found(watcher.take()) == every


@pytest.mark.parametrize("applied", [False, True], ids=["while it is read", "before it is told"])
def test_no_progress_is_told_that_was_not_made(
    behind: KvStore, ahead: bytes, applied: bool
) -> None:
    """Whoever resumes behind a revision that was reported so would miss what is before it."""
    hub = behind.watches
    stream = StreamWatchers(hub, lambda: hub.revision, Headers(FakeNode("n1")))

    def said(request: pb.WatchRequest) -> list[pb.WatchResponse]:
        stream.on_request(request)
        return list(stream.answers())

    def create(start: int) -> pb.WatchRequest:
        fields = pb.WatchCreateRequest(key=b"a", range_end=b"z", start_revision=start)
        fields.progress_notify = True
        return pb.WatchRequest(create_request=fields)

    ask = pb.WatchRequest(progress_request=pb.WatchProgressRequest())
    told: list[pb.WatchResponse] = []

    def meanwhile() -> None:
        told.extend(said(create(2)))
        told.extend(said(ask))
        stream.progress_is_due()
        told.extend(stream.answers())

    assert [one.created for one in said(create(0))] == [True]
    behind.restore(_Slow(ahead, (lambda: None) if applied else meanwhile))
    if applied:
        told.extend(said(ask))
        stream.progress_is_due()
        told.extend(stream.answers())
    assert not [one for one in told if one.events]
    assert all(one.header.revision <= 3 for one in told)
    assert not [one for one in told if not one.created and one.watch_id == 1]
    if not applied:
        assert not [one for one in told if one.watch_id == -1], "not before all have caught up"
    behind.on_applied(5)
    after = list(stream.answers())
    assert {event.type for one in after for event in one.events} == {pb.Event.PUT}
    if not applied:
        assert after[-1].watch_id == -1
        assert after[-1].header.revision == 5


def test_nobody_takes_a_copy_of_half_a_store(behind: KvStore, ahead: bytes) -> None:
    refused: list[str] = []

    def meanwhile() -> None:
        with pytest.raises(MachineError) as caught:
            behind.capture()
        refused.append(str(caught.value))

    behind.restore(_Slow(ahead, meanwhile))
    assert refused == ["a snapshot is being restored here: wait, or ask another node"]
    assert b"".join(behind.capture()) == ahead


def test_a_restore_waits_for_who_reads(behind: KvStore, ahead: bytes) -> None:
    began = threading.Event()
    restoring = threading.Thread(target=lambda: behind.restore(_Slow(ahead, began.set)))
    with behind.watches.whole.reading():
        restoring.start()
        assert not began.wait(0.05)
        assert behind.record_at(b"a", 2) is not None
    assert began.wait(WAIT)
    restoring.join(WAIT)
    assert behind.revision == 5
