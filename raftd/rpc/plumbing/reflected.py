"""What server reflection may tell: our own messages, and those of gRPC's own services."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, TypeVar

from google.protobuf import descriptor_pool
from grpc import StatusCode
from grpc_reflection.v1alpha import reflection_pb2 as pb
from grpc_reflection.v1alpha import reflection_pb2_grpc

from raftd._pb.pool import POOL
from raftd.rpc.plumbing.later import Later, NotLoaded

Found = TypeVar("Found")


def _load() -> Any:
    from grpc_reflection.v1alpha import reflection

    return reflection


# gRPC's service brings descriptors of descriptors: a start does not wait for it.
_REFLECTION = Later("server reflection", _load)


class Reflection(reflection_pb2_grpc.ServerReflectionServicer):  # type: ignore[misc]
    """gRPC's own service, which is made when somebody asks. Network thread only."""

    def __init__(self, services: Iterable[str]) -> None:
        """services: beside itself."""
        own = pb.DESCRIPTOR.services_by_name["ServerReflection"].full_name
        self._names = (*sorted(services), own)
        self._servicer: Any = None

    async def ServerReflectionInfo(self, requests: Any, context: Any) -> AsyncIterator[Any]:
        if self._servicer is None:
            try:
                made = await _REFLECTION.get()
            except NotLoaded as error:
                await context.abort(StatusCode.UNAVAILABLE, str(error))
                raise
            self._servicer = made.aio.ReflectionServicer(self._names, pool=ReflectedPool())
        async for reply in self._servicer.ServerReflectionInfo(requests, context):
            yield reply


class ReflectedPool:
    """Looks into our pool of descriptors, then into the process's. Any thread.

    It has the methods of a DescriptorPool that grpc_reflection calls; each raises KeyError.
    """

    def __init__(self) -> None:
        self._pools: tuple[Any, ...] = (POOL, descriptor_pool.Default())

    def FindFileByName(self, name: str) -> Any:
        return self._first(lambda pool: pool.FindFileByName(name))

    def FindFileContainingSymbol(self, name: str) -> Any:
        return self._first(lambda pool: pool.FindFileContainingSymbol(name))

    def FindMessageTypeByName(self, name: str) -> Any:
        return self._first(lambda pool: pool.FindMessageTypeByName(name))

    def FindExtensionByNumber(self, message: Any, number: int) -> Any:
        return self._first(lambda pool: pool.FindExtensionByNumber(message, number))

    def FindAllExtensions(self, message: Any) -> Any:
        return self._first(lambda pool: pool.FindAllExtensions(message))

    def _first(self, find: Callable[[Any], Found]) -> Found:
        own, default = self._pools
        try:
            return find(own)
        except KeyError:
            return find(default)
