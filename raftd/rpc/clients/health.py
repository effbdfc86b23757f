"""grpc.health.v1 on the client port: asks the node each time, so it cannot be stale."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import grpc
from grpc_health.v1 import health_pb2 as pb
from grpc_health.v1 import health_pb2_grpc

from raftd.rpc.clients.gate import Context
from raftd.rpc.plumbing.readers import Readers

POLL_SECONDS = 0.25
WATCHERS_MAX = 64


class HealthService(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    """Network thread only. The empty name and every service of this port share one state."""

    def __init__(self, serving: Callable[[], bool], services: frozenset[str]) -> None:
        self._serving = serving
        self._services = services | {""}
        self._stopping = asyncio.Event()
        self._watchers = Readers(WATCHERS_MAX, "watchers")

    async def Check(
        self, request: pb.HealthCheckRequest, context: Context
    ) -> pb.HealthCheckResponse:
        if request.service not in self._services:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no service {request.service[:80]!r}")
        return pb.HealthCheckResponse(status=self._status(request.service))

    async def Watch(self, request: pb.HealthCheckRequest, context: Context) -> None:
        """A coroutine that writes, not a generator: see Reader.tell."""
        with self._watchers.enter() as watcher:
            said = None
            while not watcher.gone.is_set():
                stopping, status = self._stopping.is_set(), self._status(request.service)
                if status != said:
                    said = status
                    reply = pb.HealthCheckResponse(status=status)
                    if not await watcher.tell(context.write, reply):
                        break
                if stopping:
                    return
                await watcher.first(self._stopping.wait(), asyncio.sleep(POLL_SECONDS))
            await watcher.dismiss(context)

    def _status(self, service: str) -> pb.HealthCheckResponse.ServingStatus:
        kinds = pb.HealthCheckResponse
        if service not in self._services:
            return kinds.SERVICE_UNKNOWN
        serving = not self._stopping.is_set() and self._serving()
        return kinds.SERVING if serving else kinds.NOT_SERVING

    def stop(self) -> None:
        """NOT_SERVING from now on; the watchers are told and end."""
        self._stopping.set()
