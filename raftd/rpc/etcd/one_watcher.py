"""One watcher of a stream: may it be, what may its caller read, what is it told.

Network thread only.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from raftd._pb import etcd_pb2 as pb
from raftd.rpc.clients.callers import EVERYBODY, Callers
from raftd.rpc.etcd.hub import Change, Delivery, Taken
from raftd.rpc.etcd.translate import key_value
from raftd.wire.principal import NOBODY
from raftd.wire.refusals import PERMISSION_DENIED

_STATUSES = {PERMISSION_DENIED: "PermissionDenied"}
FRAGMENT_BYTES_MAX = 1_572_864

EMPTY_RANGE = "mvcc: watcher range is empty"
DUPLICATE = "mvcc: duplicate watch ID provided on the WatchStream"
LONG_BYTES_MAX = 31 << 20
"""Of one answer: its connection is cut where more than 32 MiB wait to be read."""
TOO_LONG = (
    f"etcdserver: the events of one revision have more than {LONG_BYTES_MAX} bytes: watch with"
    " `fragment`"
)
COMPACTED = "etcdserver: mvcc: required revision has been compacted"


@dataclass(frozen=True, slots=True)
class WatchLimits:
    """Watchers of one stream; of all streams, and of the recipes that wait: about a kilobyte each.

    Named as the settings are.
    """

    stream_watchers_max: int = 10_000
    watchers_max: int = 100_000

    def refusal(self, of_member: int, of_stream: int) -> str:
        """Why there is no room for one more; empty if there is."""
        if of_member >= (most := self.watchers_max):
            return f"etcdserver: too many watchers on this member: watchers_max ({most}) is reached"
        if of_stream >= (most := self.stream_watchers_max):
            return (
                "etcdserver: too many watchers on this stream: "
                f"stream_watchers_max ({most}) is reached"
            )
        return ""


@dataclass(slots=True, eq=False)
class Watcher:
    """One of them. keys: key and range_end. quiet: nothing was sent since progress was last due.

    rests: it has not been told everything, and there is nothing to take until a snapshot is
    restored. allowed: the revision of the rights by which it may read. goes_on: a fragment of a
    revision was sent, and the last one was not.
    """

    number: int
    taken: Taken
    progress: bool
    fragment: bool
    keys: tuple[bytes, bytes]
    allowed: int
    quiet: bool = True
    rests: bool = False
    goes_on: bool = False


class WatchRights:
    def __init__(self, callers: Callers = EVERYBODY, principal: bytes = NOBODY) -> None:
        self._callers = callers
        self._principal = principal
        self._seen = callers.revision

    def refusal(self, key: bytes, range_end: bytes) -> str:
        """Why these keys may not be watched, in the words of Go's clients; empty if they may."""
        why = self._callers.may_read(self._principal, key, range_end)
        if not why:
            return ""
        return f"rpc error: code = {_STATUSES.get(why, 'InvalidArgument')} desc = etcdserver: {why}"

    @property
    def revision(self) -> int:
        """It moves when somebody's rights may have changed."""
        return self._callers.revision

    def moved(self) -> bool:
        """Since the last look: may it be that what was allowed is not any more?"""
        seen, self._seen = self._seen, self._callers.revision
        return seen != self._seen


LOOKS = 128
"""Watchers of a stream that are looked at in a step."""


def swept(watchers: dict[int, Watcher], look: Callable[[Watcher], object]) -> Iterator[None]:
    """`look` at all that there are at the beginning and still are when it is their turn."""
    every = iter(list(watchers.values()))
    while some := list(islice(every, LOOKS)):
        for watcher in some:
            if watchers.get(watcher.number) is watcher:
                look(watcher)
        yield


def never(request: pb.WatchCreateRequest, key: bytes, end: bytes) -> str:
    """Why nobody can watch this; empty if somebody can."""
    if request.start_revision < 0:
        return COMPACTED
    if end not in (b"", b"\0") and key >= end:
        return EMPTY_RANGE
    return ""


@dataclass(slots=True)
class InParts:
    """A message of which one repeated field is long. head: all the rest. parts: messages of the
    same kind as bytes, each with some of the field: one after the other they are the message.
    """

    head: Any
    field: str
    parts: Sequence[bytes]

    def ByteSize(self) -> int:
        return int(self.head.ByteSize()) + sum(map(len, self.parts))

    def SerializeToString(self) -> bytes:
        return b"".join((self.head.SerializeToString(), *self.parts))


class LongEvents:
    """The events of one revision, as they come."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.bytes = 0

    def add(self, revisions: Sequence[tuple[int, Sequence[Change]]]) -> None:
        some = pb.WatchResponse()
        for revision, events in revisions:
            for event in events:
                fill(some.events.add(), revision, event)
        if some.events:
            self.parts.append(some.SerializeToString())
            self.bytes += len(self.parts[-1])

    def all(
        self, delivery: Delivery, following: Callable[[], Delivery | None]
    ) -> Generator[None, None, Delivery | None]:
        """Add what is delivered until the revision is over, or it is too much. Returns the last
        delivery; None: there is none any more.
        """
        while True:
            self.add(delivery.revisions)
            if not delivery.goes_on or self.bytes > LONG_BYTES_MAX:
                return delivery
            yield
            then = following()
            if then is None:
                return None
            delivery = then

    def answer(self, head: pb.WatchResponse) -> InParts:
        return InParts(head, "events", self.parts)


def filled(
    answer: pb.WatchResponse, revisions: Sequence[tuple[int, Sequence[Change]]], fragment: bool
) -> Iterator[pb.WatchResponse]:
    """Put events into `answer`. fragment: when it gets too large, send what there is before."""
    size = 0
    for revision, events in revisions:
        for event in events:
            made = fill(answer.events.add(), revision, event)
            if fragment and (size := size + made.ByteSize()) > FRAGMENT_BYTES_MAX:
                yield from _cut(answer)
                size = answer.ByteSize()


def _cut(answer: pb.WatchResponse) -> Iterator[pb.WatchResponse]:
    """All but the last event, which stays in `answer`; nothing if that is the only one."""
    if len(answer.events) <= 1:
        return
    last = pb.Event()
    last.CopyFrom(answer.events[-1])
    part = pb.WatchResponse()
    part.CopyFrom(answer)
    del part.events[-1]
    part.fragment = True
    del answer.events[:]
    answer.events.append(last)
    yield part


def fill(made: pb.Event, revision: int, event: Change) -> pb.Event:
    if event.kv is None:
        made.type = pb.Event.DELETE
        made.kv.key = event.key
        made.kv.mod_revision = revision
    else:
        made.kv.CopyFrom(key_value(event.kv))
    if event.previous is not None:
        made.prev_kv.CopyFrom(key_value(event.previous))
    return made
