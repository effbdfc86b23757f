"""One stream's watchers on a hub that does what the test says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from raftd._pb import etcd_pb2 as pb
from raftd.machine.kv.store import KvStore
from raftd.rpc.etcd.header import Headers
from raftd.rpc.etcd.one_watcher import FRAGMENT_BYTES_MAX, WatchLimits
from raftd.rpc.etcd.watcher import StreamWatchers
from raftd.wire.kv import encode_put
from raftd.wire.kv_results import KeyValue
from tests.rpc.fakes import FakeNode


@dataclass(frozen=True)
class Change:
    key: bytes
    kv: KeyValue | None
    previous: KeyValue | None = None


@dataclass(frozen=True)
class Delivery:
    revisions: list[tuple[int, list[Change]]] = field(default_factory=list)
    revision: int = 0
    more: bool = False
    compacted: int = 0
    goes_on: bool = False


@dataclass
class Taken:
    asked: dict[str, Any]
    deliveries: list[Delivery] = field(default_factory=list)
    cancelled: bool = False
    progress: int = 9

    def take(self, events_max: int, bytes_max: int) -> Delivery:
        return self.deliveries.pop(0) if self.deliveries else Delivery(revision=9)

    def cancel(self) -> None:
        self.cancelled = True

    def put(self, *deliveries: Delivery) -> None:
        self.deliveries += deliveries
        self.asked["on_ready"]()


class Hub:
    def __init__(self) -> None:
        self.all: list[Taken] = []
        self.revision = 9

    def __len__(self) -> int:
        return len([taken for taken in self.all if not taken.cancelled])

    def subscribe(self, key: bytes, range_end: bytes = b"", **asked: Any) -> Taken:
        self.all.append(Taken({"key": key, "range_end": range_end, **asked}))
        return self.all[-1]


class Stream:
    """The stream and its hub. The store is at revision 9."""

    def __init__(self, limits: WatchLimits | None = None) -> None:
        self.hub = Hub()
        self.revision = 9
        self.watchers = StreamWatchers(
            self.hub, lambda: self.revision, Headers(FakeNode("n1")), limits=limits
        )

    def create(self, **fields: Any) -> list[pb.WatchResponse]:
        create = pb.WatchCreateRequest(**{"key": b"a", **fields})
        return self.say(pb.WatchRequest(create_request=create))

    def cancel(self, number: int) -> list[pb.WatchResponse]:
        cancel = pb.WatchCancelRequest(watch_id=number)
        return self.say(pb.WatchRequest(cancel_request=cancel))

    def progress(self) -> list[pb.WatchResponse]:
        return self.say(pb.WatchRequest(progress_request=pb.WatchProgressRequest()))

    def say(self, request: pb.WatchRequest) -> list[pb.WatchResponse]:
        self.watchers.on_request(request)
        return self.sent()

    def sent(self) -> list[pb.WatchResponse]:
        return list(self.watchers.answers())


def put(key: bytes, revision: int, value: bytes = b"v") -> Change:
    return Change(key, KeyValue(key, value, revision, revision, 1, 5))


def test_created_comes_first_and_then_what_changed() -> None:
    stream = Stream()
    (created,) = stream.create(
        start_revision=3, prev_kv=True, filters=[pb.WatchCreateRequest.NOPUT]
    )
    assert (created.created, created.watch_id, created.header.revision) == (True, 0, 9)
    (taken,) = stream.hub.all
    asked = taken.asked
    assert (asked["key"], asked["start_revision"], asked["prev_kv"]) == (b"a", 3, True)
    assert (asked["no_put"], asked["no_delete"]) == (True, False)
    before = KeyValue(b"a", b"old", 2, 2, 1, 0)
    taken.put(Delivery([(10, [put(b"a", 10)]), (11, [Change(b"a", None, before)])], 11))
    (answer,) = stream.sent()
    assert answer.header.revision == 11
    made, deleted = answer.events
    assert (made.type, made.kv.value, made.kv.lease) == (pb.Event.PUT, b"v", 5)
    assert not made.HasField("prev_kv")
    assert deleted.kv == pb.KeyValue(key=b"a", mod_revision=11)
    assert (deleted.type, deleted.prev_kv.value) == (pb.Event.DELETE, b"old")


def test_numbers_are_drawn_or_chosen_and_never_used_twice() -> None:
    stream = Stream()
    assert [stream.create()[0].watch_id for _ in range(2)] == [0, 1]
    assert stream.create(watch_id=7)[0].watch_id == 7
    (refused,) = stream.create(watch_id=7)
    assert (refused.watch_id, refused.created, refused.canceled) == (-1, True, True)
    assert refused.cancel_reason == "mvcc: duplicate watch ID provided on the WatchStream"
    assert len(stream.hub.all) == 3


def test_what_cannot_be_watched_is_refused_in_etcds_words() -> None:
    for fields, why in (
        ({"range_end": b"a"}, "mvcc: watcher range is empty"),
        ({"start_revision": -1}, "etcdserver: mvcc: required revision has been compacted"),
    ):
        stream = Stream()
        (refused,) = stream.create(**fields)
        assert (refused.canceled, refused.cancel_reason) == (True, why)
        assert stream.hub.all == []


def test_everything_can_be_watched_and_revision_one_is_the_empty_store() -> None:
    stream = Stream()
    stream.create(key=b"", range_end=b"\0", start_revision=1)
    asked = stream.hub.all[0].asked
    assert (asked["key"], asked["range_end"], asked["start_revision"]) == (b"\0", b"\0", 2)


def test_a_cancelled_watcher_says_nothing_more_and_an_unknown_one_nothing_at_all() -> None:
    stream = Stream()
    stream.create()
    taken = stream.hub.all[0]
    taken.put(Delivery([(10, [put(b"a", 10)])], 10))
    (cancelled,) = stream.cancel(0)
    assert (cancelled.canceled, cancelled.watch_id, taken.cancelled) == (True, 0, True)
    assert stream.cancel(0) == []
    assert stream.cancel(5) == []


def test_a_watcher_whose_place_is_compacted_ends_with_the_revision_that_is_left() -> None:
    stream = Stream()
    stream.create()
    stream.hub.all[0].put(Delivery(revision=3, compacted=6))
    (ended,) = stream.sent()
    assert (ended.canceled, ended.compact_revision, ended.header.revision) == (True, 6, 0)
    assert [answer.canceled for answer in stream.cancel(0)] == [True], "as in etcd, once"
    assert stream.cancel(0) == []


def test_progress_waits_for_every_watcher_of_the_stream() -> None:
    stream = Stream()
    stream.create()
    stream.create()
    late = stream.hub.all[1]
    late.deliveries.append(Delivery([(8, [put(b"a", 8)])], 8, more=True))
    late.deliveries.append(Delivery([(9, [put(b"a", 9)])], 9))
    answers = stream.progress() + stream.sent()
    assert [answer.watch_id for answer in answers] == [1, 1, -1]
    assert answers[-1].header.revision == 9
    assert stream.sent() == []


def test_who_wants_to_hear_of_progress_does_unless_something_was_sent() -> None:
    stream = Stream()
    stream.create(progress_notify=True)
    stream.create(progress_notify=True)
    stream.create()
    stream.hub.all[0].put(Delivery([(9, [put(b"a", 9)])], 9))
    stream.sent()
    stream.watchers.progress_is_due()
    (quiet,) = stream.sent()
    assert (quiet.watch_id, len(quiet.events), quiet.header.revision) == (1, 0, 9)
    stream.watchers.progress_is_due()
    assert [answer.watch_id for answer in stream.sent()] == [0, 1]


def test_nobody_is_told_of_a_revision_before_the_one_that_it_waits_for() -> None:
    """A client goes on behind the revision that it was told last. The story without it: a watcher
    from revision 100 heard of progress at 9, lost its connection, and was shown 10 to 99.
    """
    store = KvStore()
    headers = Headers(FakeNode("n1"))
    watchers = StreamWatchers(store.watches, lambda: store.revision, headers)
    for start in (0, 3, 100):
        create = pb.WatchCreateRequest(key=b"a", start_revision=start, progress_notify=True)
        watchers.on_request(pb.WatchRequest(create_request=create))
    store.apply(encode_put(b"b", b""))
    store.on_applied(1)
    assert len(list(watchers.answers())) == 3, "created"
    watchers.progress_is_due()
    told = [(answer.watch_id, answer.header.revision) for answer in watchers.answers()]
    assert told == [(0, 2), (1, 2)], "the next revision is no future"
    asks = pb.WatchRequest(progress_request=pb.WatchProgressRequest())
    watchers.on_request(asks)
    assert list(watchers.answers()) == []
    watchers.on_request(pb.WatchRequest(cancel_request=pb.WatchCancelRequest(watch_id=2)))
    watchers.on_request(asks)
    told = [(answer.watch_id, answer.header.revision) for answer in watchers.answers()]
    assert told == [(2, 2), (-1, 2)], "cancelled, and the one that was asked for since"


def test_a_large_answer_comes_in_parts_only_for_who_takes_parts() -> None:
    size = FRAGMENT_BYTES_MAX // 2
    events = [put(b"a", 10, b"x" * size) for _ in range(3)]
    for fragment, parts in ((True, [True, True, False]), (False, [False])):
        stream = Stream()
        stream.create(fragment=fragment)
        stream.hub.all[0].put(Delivery([(10, events)], 10))
        answers = stream.sent()
        assert [answer.fragment for answer in answers] == parts
        assert sum(len(answer.events) for answer in answers) == 3


def test_answers_that_wait_are_counted() -> None:
    stream = Stream()
    for _ in range(3):
        create = pb.WatchCreateRequest(key=b"a")
        stream.watchers.on_request(pb.WatchRequest(create_request=create))
    assert stream.watchers.notes == 3
    stream.sent()
    assert stream.watchers.notes == 0
    stream.watchers.close()
    assert all(taken.cancelled for taken in stream.hub.all)


def test_the_hub_is_asked_in_turns() -> None:
    """A watcher with much to take does not hold up the others."""
    stream = Stream()
    stream.create()
    stream.create()
    first, second = stream.hub.all
    first.put(*[Delivery([(n, [put(b"a", n)])], n, more=n < 12) for n in (10, 11, 12)])
    second.put(Delivery([(10, [put(b"a", 10)])], 10))
    assert [answer.watch_id for answer in stream.sent()] == [0, 1, 0, 0]


@pytest.mark.parametrize(
    ("limits", "named"),
    [
        (WatchLimits(stream_watchers_max=2), "on this stream: stream_watchers_max (2) is reached"),
        (WatchLimits(watchers_max=2), "on this member: watchers_max (2) is reached"),
    ],
)
def test_there_is_an_end_to_watchers(limits: WatchLimits, named: str) -> None:
    stream = Stream(limits)
    for _ in range(2):
        assert not stream.create()[0].canceled
    (refused,) = stream.create()
    assert refused.canceled
    assert refused.cancel_reason == f"etcdserver: too many watchers {named}"
