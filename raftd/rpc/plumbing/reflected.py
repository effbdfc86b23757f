"""What server reflection may tell: our own messages, and those of gRPC's own services."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from google.protobuf import descriptor_pool

from raftd._pb.pool import POOL

Found = TypeVar("Found")


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
