"""A client of the etcd API for tests: our messages on etcd's paths, at etcd and at raftd alike."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import grpc

from raftd._pb import etcd_pb2 as pb
from raftd.rpc.etcd.calls import wire_name

CALL_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Failed:
    """A call that ended with a status."""

    code: str
    text: str


class EtcdClient:
    """In the running loop."""

    def __init__(self, address: str, credentials: grpc.ChannelCredentials | None = None) -> None:
        """credentials: None: without TLS."""
        self.address = address
        if credentials is None:
            self._channel = grpc.aio.insecure_channel(address)
        else:
            self._channel = grpc.aio.secure_channel(address, credentials)

    async def close(self) -> None:
        await self._channel.close()

    def _method(self, service: str, name: str) -> tuple[str, Any, Any]:
        method = pb.DESCRIPTOR.services_by_name[service].methods_by_name[name]
        path = f"/{wire_name(service)}/{name}"
        return path, getattr(pb, method.input_type.name), getattr(pb, method.output_type.name)

    async def call(
        self,
        service: str,
        name: str,
        request: Any,
        metadata: Any = (),
        timeout: float = CALL_SECONDS,
    ) -> Any:
        """The answer, or Failed."""
        path, _, answer = self._method(service, name)
        unary: Any = self._channel.unary_unary(
            path,
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer.FromString,
        )
        try:
            return await unary(request, timeout=timeout, metadata=metadata, wait_for_ready=True)
        except grpc.aio.AioRpcError as error:
            return Failed(error.code().name, error.details() or "")

    def stream(self, service: str, name: str, metadata: Any = ()) -> Any:
        """The call: write(), read(), cancel()."""
        path, _, answer = self._method(service, name)
        return self._channel.stream_stream(
            path,
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer.FromString,
        )(metadata=metadata, wait_for_ready=True)

    async def answers(
        self, service: str, name: str, request: Any, timeout: float = CALL_SECONDS
    ) -> AsyncIterator[Any]:
        """Of a method that takes one request and streams its answers."""
        path, _, answer = self._method(service, name)
        call: Any = self._channel.unary_stream(
            path,
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer.FromString,
        )(request, timeout=timeout)
        async for one in call:
            yield one

    async def renew(self, lease: int) -> Any:
        """One keep-alive on a stream of its own, or Failed."""
        call = self.stream("Lease", "LeaseKeepAlive")
        try:
            await call.write(pb.LeaseKeepAliveRequest(ID=lease))
            answer = await asyncio.wait_for(call.read(), CALL_SECONDS)
            await call.done_writing()
            return answer
        except grpc.aio.AioRpcError as error:
            return Failed(error.code().name, error.details() or "")
        finally:
            call.cancel()
