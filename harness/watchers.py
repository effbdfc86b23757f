"""Many watchers on few streams, as clients of etcd have them: each counts what it is told."""

from __future__ import annotations

import asyncio

from grpc import aio

from raftd._pb import etcd_pb2 as pb
from raftd.wire.spans import prefix_end

METHOD = "/etcdserverpb.Watch/Watch"
END = b"~end"
"""The key whose first event ends a stream, once all its watchers were told everything."""


class Told:
    """What the watchers of one process were told: events by watcher, and what was wrong."""

    def __init__(self) -> None:
        self.events: dict[str, int] = {}
        self.seen: dict[str, int] = {}
        self.wrong: list[str] = []


async def stream(
    endpoint: str,
    names: list[str],
    spans: dict[str, bytes],
    told: Told,
    ready: asyncio.Future[None],
    reads: asyncio.Event,
) -> None:
    """One connection with some watchers, and one of the key that ends all. reads: once all watch,
    nothing more is read until it is set.
    """
    async with aio.insecure_channel(
        endpoint, options=[("grpc.use_local_subchannel_pool", 1)]
    ) as channel:
        method: aio.StreamStreamMultiCallable[pb.WatchRequest, pb.WatchResponse]
        method = channel.stream_stream(
            METHOD, pb.WatchRequest.SerializeToString, pb.WatchResponse.FromString
        )
        call = method()
        for name in names:
            create = pb.WatchCreateRequest(key=spans[name], range_end=prefix_end(spans[name]))
            await call.write(pb.WatchRequest(create_request=create))
        await call.write(pb.WatchRequest(create_request=pb.WatchCreateRequest(key=END)))
        by_id: dict[int, str] = {}
        while True:
            answer = await call.read()
            if not isinstance(answer, pb.WatchResponse):
                told.wrong.append("a stream ended")
                if not ready.done():
                    ready.set_result(None)
                return
            if answer.created:
                by_id[answer.watch_id] = [*names, ""][len(by_id)]
                if len(by_id) > len(names):
                    ready.set_result(None)
                    await reads.wait()
                continue
            if answer.watch_id < 0:  # all of the stream were told everything
                call.cancel()
                return
            if answer.canceled:
                told.wrong.append(
                    f"{by_id[answer.watch_id]}: cancelled at {answer.compact_revision}"
                )
            name = by_id[answer.watch_id]
            if name:
                _count(told, name, answer)
            else:
                await call.write(pb.WatchRequest(progress_request=pb.WatchProgressRequest()))


def _count(told: Told, name: str, answer: pb.WatchResponse) -> None:
    last = told.seen.get(name, 0)
    for event in answer.events:
        if event.kv.mod_revision <= last:
            told.wrong.append(f"{name}: revision {event.kv.mod_revision} after {last}")
        last = event.kv.mod_revision
    told.seen[name] = last
    told.events[name] = told.events.get(name, 0) + len(answer.events)
