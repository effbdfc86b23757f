"""grpc.health.v1 on the client port: asks the node each time, so it cannot be stale."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import grpc
from grpc_health.v1 import health_pb2 as pb
from grpc_health.v1 import health_pb2_grpc

from raftd.rpc.gate import Context

POLL_SECONDS = 0.25
WATCHERS_MAX = 64


class HealthService(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    """Network thread only. The empty name and every service of this port share one state."""

    def __init__(self, serving: Callable[[], bool], services: frozenset[str]) -> None:
        self._serving = serving
        self._services = services | {""}
        self._stopping = asyncio.Event()
        self._watchers = 0

    async def Check(
        self, request: pb.HealthCheckRequest, context: Context
    ) -> pb.HealthCheckResponse:
        if request.service not in self._services:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no service {request.service[:80]!r}")
        return pb.HealthCheckResponse(status=self._status(request.service))

    async def Watch(
        self, request: pb.HealthCheckRequest, context: Context
    ) -> AsyncIterator[pb.HealthCheckResponse]:
        if self._watchers >= WATCHERS_MAX:
            await context.abort(
                grpc.StatusCode.RESOURCE_EXHAUSTED, f"{WATCHERS_MAX} watchers are there already"
            )
        self._watchers += 1
        try:
            said = None
            while True:
                stopping, status = self._stopping.is_set(), self._status(request.service)
                if status != said:
                    said = status
                    yield pb.HealthCheckResponse(status=status)
                if stopping:
                    return
                try:
                    await asyncio.wait_for(self._stopping.wait(), POLL_SECONDS)
                except TimeoutError:
                    continue
        finally:
            self._watchers -= 1

    def _status(self, service: str) -> pb.HealthCheckResponse.ServingStatus:
        kinds = pb.HealthCheckResponse
        if service not in self._services:
            return kinds.SERVICE_UNKNOWN
        serving = not self._stopping.is_set() and self._serving()
        return kinds.SERVING if serving else kinds.NOT_SERVING

    def stop(self) -> None:
        """NOT_SERVING from now on; the watchers are told and end."""
        self._stopping.set()
