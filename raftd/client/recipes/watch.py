"""Watching keys: every change, once, in order, through any fault. The part on the client's loop.

A `Watcher` reads one stream of a node's watch service. When that breaks it goes to another node and
asks for what comes after the last revision that it handed over whole: nothing is lost, nothing
comes twice. A node that has lost its leader ends the stream, so that a watcher does not sit with a
node that hears nothing any more.

What is not read stays at the node, which keeps a bounded amount and reads the rest again from the
store's history: a slow watcher costs nobody anything.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

from grpc import aio

from raftd._pb import client_pb2
from raftd._pb import etcd_pb2 as pb
from raftd.client.delivery.policy import AttemptFailed, Next, Verdict, error_of, judge_rpc
from raftd.client.delivery.transport import task_is_cancelled
from raftd.client.errors import Compacted, Invalid
from raftd.client.operations import Data, data
from raftd.client.recipes.feed import ReadingFeed
from raftd.wire.kv_results import KeyValue
from raftd.wire.refusals import DENIALS, OLD_REVISION, USER_EMPTY, refusal_of
from raftd.wire.spans import prefix_end

if TYPE_CHECKING:
    from raftd.client.delivery.engine import Engine

METHOD = "/etcdserverpb.Watch/Watch"
WITH_LEADER = (("hasleader", "true"),)
"""The node ends the stream when it has had no leader for a while."""
REVISION_MAX = (1 << 63) - 1
WatchCall = aio.StreamStreamCall[pb.WatchRequest, pb.WatchResponse]


class WatchEvent(NamedTuple):
    """One change of one key. Its truth value is True for a put, False for a delete.

    value: empty after a delete. revision: of the change; all events of one revision are of one
    transaction. previous: the key before, if it was asked for and there was one.
    """

    key: bytes
    value: bytes
    revision: int
    deleted: bool
    version: int
    create_revision: int
    lease: int
    previous: KeyValue | None

    def __bool__(self) -> bool:
        return not self.deleted


class Span(NamedTuple):
    """The keys that are watched, as the etcd v3 API names them."""

    key: bytes
    range_end: bytes


def span(key: Data | None, prefix: Data | None) -> Span:
    """One of the two. Raises Invalid."""
    if (key is None) == (prefix is None):
        raise Invalid("watch: give a key, or prefix=, one of them")
    if key is not None and not key:
        raise Invalid('watch: the key is empty; prefix="" is for all keys')
    if key is not None:
        return Span(data("key", key), b"")
    start = data("prefix", prefix or b"")
    return Span(start or b"\0", prefix_end(start))


class Watcher(ReadingFeed[WatchEvent]):
    """A `Feed` of the changes of some keys.

    Raises Compacted when what comes next is gone, Invalid for what no node takes.
    """

    def __init__(
        self,
        span: Span,
        start_revision: int,
        *,
        puts: bool = True,
        deletes: bool = True,
        previous: bool = False,
    ) -> None:
        """start_revision 0: from now on. puts, deletes: which events are wanted.

        Raises Invalid.
        """
        super().__init__()
        self._next = _checked_start(start_revision)
        """To be asked for next. What was read and not taken yet lies before it."""
        self._handed = max(0, start_revision - 1)
        self._span = span
        self._filters = [
            *([] if puts else [pb.WatchCreateRequest.NOPUT]),
            *([] if deletes else [pb.WatchCreateRequest.NODELETE]),
        ]
        self._previous = previous
        self._call: WatchCall | None = None
        self._begun = asyncio.Event()
        """`_next` is known, or the reading has ended."""
        self._parts: list[WatchEvent] = []
        self._misses = 0
        self._address = ""
        self.trouble = ""
        """Why the last node could not be asked, with its address."""

    @property
    def revision(self) -> int:
        """Everything up to it has been handed over; 0: not known before the first answer."""
        return self._handed

    async def begin(self, engine: Engine) -> None:
        """Return when a node has said from which revision on. Raises as `take`.

        The story without it: a program watches, reads, and waits for what comes after; what came
        between its reading and its waiting is never told.
        """
        if self._next:
            return
        self._begun = asyncio.Event()
        reading = self._read_through(engine)
        reading.add_done_callback(lambda _: self._begun.set())
        await self._begun.wait()
        if not self._next:
            self._result_of(reading)

    def _hand_over(self, items: list[WatchEvent]) -> None:
        self._handed = self._next - 1

    def _rewind(self) -> None:
        self._hang_up()
        if self._next:
            self._next = self._handed + 1

    def _hang_up(self) -> None:
        call, self._call = self._call, None
        self._parts = []
        if call is not None:
            call.cancel()

    # -- through any fault --------------------------------------------------------------------

    async def _read(self, engine: Engine) -> list[WatchEvent]:
        """Until there are events; goes from node to node as need be."""
        while True:
            try:
                call = self._call or await self._begin(engine)
                answer = await call.read()
                if isinstance(answer, pb.WatchResponse):
                    events = self._events(answer)
                    if events:
                        return events
                    continue
            except AttemptFailed as failed:
                verdict = failed.verdict
            except aio.AioRpcError as error:
                verdict = judge_rpc(error)
            except asyncio.InvalidStateError:
                verdict = None
            except asyncio.CancelledError:  # our own, or the connection's that was replaced
                if task_is_cancelled():
                    raise
                verdict = None
            else:
                verdict = None
            if verdict is not None and engine.context.transport.logged_out(verdict.code):
                verdict = None
            elif verdict is not None and verdict.code == client_pb2.UNAUTHENTICATED:
                verdict = verdict._replace(next=Next.GIVE_UP)
            if verdict is not None and verdict.next is Next.GIVE_UP:
                self._hang_up()
                raise error_of(verdict, self._address)
            if verdict is not None:
                self.trouble = f"{self._address}: {verdict.message}"
            await self._move_on(engine)

    async def _begin(self, engine: Engine) -> WatchCall:
        context = engine.context
        self._address = self._address or context.router.target()
        node = await context.transport.reach(self._address, context.connect_timeout)
        method: aio.StreamStreamMultiCallable[pb.WatchRequest, pb.WatchResponse]
        method = node.channel.stream_stream(
            METHOD, pb.WatchRequest.SerializeToString, pb.WatchResponse.FromString
        )
        call = self._call = method(metadata=WITH_LEADER)
        create = pb.WatchCreateRequest(
            key=self._span.key,
            range_end=self._span.range_end,
            start_revision=self._next,
            filters=self._filters,
            prev_kv=self._previous,
            progress_notify=True,
            fragment=True,
        )
        await call.write(pb.WatchRequest(create_request=create))
        return call

    async def _move_on(self, engine: Engine) -> None:
        """To another node; after a round over all of them with a pause that grows."""
        router = engine.context.router
        self._hang_up()
        self._address = router.other(self._address)
        self._misses += 1
        if self._misses >= len(router.endpoints):
            await asyncio.sleep(router.backoff(self._misses - len(router.endpoints)))

    def _events(self, answer: pb.WatchResponse) -> list[WatchEvent]:
        """What an answer brings; none for the first, a progress report or a part of a large one."""
        self._misses = 0
        if answer.canceled:
            self._hang_up()
            if answer.compact_revision:
                raise Compacted(
                    f"revision {self._next} is compacted, {answer.compact_revision} is the "
                    "oldest that is left: read again, and watch from there",
                    oldest=answer.compact_revision,
                )
            raise AttemptFailed(_cancelled(answer.cancel_reason))
        self._parts += [_event(event) for event in answer.events]
        if answer.fragment:
            return []
        events, self._parts = self._parts, []
        if events:
            self._next = events[-1].revision + 1
        elif not answer.created or not self._next:  # a progress report, or where "from now" is
            self._next = max(self._next, answer.header.revision + 1)
            self._handed = self._next - 1
            self._begun.set()
        return events


def _checked_start(revision: int) -> int:
    given: Any = revision
    if isinstance(given, int) and 0 <= given <= REVISION_MAX:
        return given
    raise Invalid(f"start_revision {given!r}: expected a revision, or 0 for from now on")


def _cancelled(reason: str) -> Verdict:
    """Who somebody is may be said anew, with a new token; what they may do not."""
    text = reason or "the node cancelled the watch"
    words = refusal_of(text.rpartition("etcdserver: ")[2])
    if words in (USER_EMPTY, OLD_REVISION):
        return Verdict(Next.GIVE_UP, True, text, code=client_pb2.UNAUTHENTICATED)
    code = client_pb2.PERMISSION_DENIED if words in DENIALS else client_pb2.INVALID
    return Verdict(Next.GIVE_UP, True, text, code=code)


def _event(event: pb.Event) -> WatchEvent:
    kv = event.kv
    previous = _pair(event.prev_kv) if event.HasField("prev_kv") else None
    return WatchEvent(
        kv.key, kv.value, kv.mod_revision, event.type == pb.Event.DELETE, kv.version,
        kv.create_revision, kv.lease, previous,
    )  # fmt: skip


def _pair(kv: pb.KeyValue) -> KeyValue:
    return KeyValue(kv.key, kv.value, kv.create_revision, kv.mod_revision, kv.version, kv.lease)
