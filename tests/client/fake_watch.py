"""The fake cluster's watch service: the store's own hub behind a stream that breaks on demand."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import grpc

from raftd._pb import etcd_pb2 as pb
from tests.client.faults import Fault

if TYPE_CHECKING:
    from tests.client.fake_server import FakeNode

METHOD = "/etcdserverpb.Watch/Watch"
LOOK_SECONDS = 0.02


class FakeWatch(grpc.GenericRpcHandler):
    """`node.watch_faults`: what the next answers with events meet, one each."""

    def __init__(self, node: FakeNode) -> None:
        self._node = node

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        if details.method != METHOD or not self._node.can_watch:
            return None
        return grpc.stream_stream_rpc_method_handler(
            self._watch, pb.WatchRequest.FromString, pb.WatchResponse.SerializeToString
        )

    def _watch(
        self, requests: Iterator[pb.WatchRequest], context: grpc.ServicerContext
    ) -> Iterator[pb.WatchResponse]:
        node, cluster = self._node, self._node.cluster
        create = next(requests).create_request
        ready = threading.Event()
        with cluster.lock:
            watcher = cluster.machine.watches.subscribe(
                create.key,
                create.range_end,
                start_revision=create.start_revision,
                on_ready=ready.set,
                no_put=pb.WatchCreateRequest.NOPUT in create.filters,
                no_delete=pb.WatchCreateRequest.NODELETE in create.filters,
                prev_kv=create.prev_kv,
            )
            revision = cluster.machine.revision
        yield pb.WatchResponse(header=pb.ResponseHeader(revision=revision), created=True)
        node.watches.append(create)
        try:
            while context.is_active() and not node.stopping.is_set():
                yield from self._taken(watcher, context)
                ready.wait(LOOK_SECONDS)
                ready.clear()
        finally:
            with cluster.lock:
                watcher.cancel()
        context.abort(grpc.StatusCode.UNAVAILABLE, "the node stops")

    def _taken(self, watcher: Any, context: grpc.ServicerContext) -> Iterator[pb.WatchResponse]:
        node = self._node
        with node.cluster.lock:
            delivery = watcher.take(2, 1 << 20)
        if delivery.compacted:
            yield pb.WatchResponse(canceled=True, compact_revision=delivery.compacted)
        answer = pb.WatchResponse(header=pb.ResponseHeader(revision=delivery.revision))
        for revision, events in delivery.revisions:
            for event in events:
                _fill(answer.events.add(), revision, event)
        if not answer.events:
            return
        fault = node.watch_faults.popleft() if node.watch_faults else None
        if fault is Fault.DROP_BEFORE:
            context.abort(grpc.StatusCode.UNAVAILABLE, "the connection broke")
        if len(answer.events) > 1:  # in parts, as large answers come
            part = pb.WatchResponse()
            part.CopyFrom(answer)
            del part.events[1:]
            part.fragment = True
            yield part
            if fault is Fault.DROP_AFTER:
                context.abort(grpc.StatusCode.UNAVAILABLE, "the connection broke in between")
            del answer.events[0]
        yield answer


def _fill(made: pb.Event, revision: int, event: Any) -> None:
    made.kv.key, made.kv.mod_revision = event.key, revision
    if event.kv is None:
        made.type = pb.Event.DELETE
    else:
        made.kv.value, made.kv.version = event.kv.value, event.kv.version
        made.kv.create_revision = event.kv.create_revision
    if event.previous is not None:
        made.prev_kv.key, made.prev_kv.value = event.key, event.previous.value
