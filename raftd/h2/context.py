"""What a servicer's method is given: grpc.aio.ServicerContext on a call of ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, NoReturn

import grpc
import grpc.aio

from raftd.h2.headers import Metadata, MetadataLike
from raftd.h2.server_call import ServerCall


class Context(grpc.aio.ServicerContext[Any, Any]):
    """Its loop's thread only. The methods are gRPC's; see there."""

    def __init__(
        self, call: ServerCall, parse: Callable[[bytes], Any], serialize: Callable[[Any], bytes]
    ) -> None:
        self.call = call
        self.parse = parse
        self.serialize = serialize
        self._code = grpc.StatusCode.OK
        self._details = ""
        self._callbacks: list[Callable[[Any], None]] = []
        call.on_gone = self._gone

    async def read(self) -> Any:
        message = await self.call.read()
        if message is not None:
            return self.parse(message)
        if self.call.over:
            raise asyncio.CancelledError  # as gRPC does: the handler of a call that is gone
        return grpc.aio.EOF

    async def requests(self) -> AsyncIterator[Any]:
        """What a handler that iterates is given."""
        while True:
            message = await self.call.read()
            if message is None:
                return
            yield self.parse(message)

    async def write(self, message: Any) -> None:
        """Returns when little of the stream waits to be read by the caller."""
        call = self.call
        if call.over:
            raise asyncio.InvalidStateError("the call is over")
        call.reply(self.serialize(message))
        await call.room()

    async def send_initial_metadata(self, initial_metadata: MetadataLike) -> None:
        self.call.send_headers(initial_metadata)

    async def abort(
        self,
        code: grpc.StatusCode,
        details: str = "",
        trailing_metadata: MetadataLike = (),
    ) -> NoReturn:
        if trailing_metadata:
            self.call.set_trailing(trailing_metadata)
        if code is grpc.StatusCode.OK:
            code, details = grpc.StatusCode.UNKNOWN, "abort() called with StatusCode.OK"
        self.call.finish(code, details)
        raise grpc.aio.AbortError("Locally aborted.")

    async def abort_with_status(self, status: grpc.Status) -> NoReturn:
        await self.abort(status.code, status.details, status.trailing_metadata)

    def finish(self) -> None:
        """The method has returned."""
        self.call.finish(self._code, self._details)

    def _gone(self) -> None:
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback(self)

    def set_trailing_metadata(self, trailing_metadata: MetadataLike) -> None:
        self.call.set_trailing(trailing_metadata)

    def trailing_metadata(self) -> Any:
        return self.call.trailing

    def invocation_metadata(self) -> Metadata:  # type: ignore[override]
        return self.call.metadata

    def set_code(self, code: grpc.StatusCode) -> None:
        self._code = code

    def set_details(self, details: str) -> None:
        self._details = details

    def code(self) -> grpc.StatusCode:
        return self.call.code or self._code

    def details(self) -> str:
        return self.call.details or self._details

    def set_compression(self, compression: grpc.Compression) -> None:
        """Answers are never compressed."""

    def disable_next_message_compression(self) -> None:
        """Answers are never compressed."""

    def peer(self) -> str:
        return self.call.connection.peer

    def peer_identities(self) -> Any:
        return None

    def peer_identity_key(self) -> str | None:
        return None

    def auth_context(self) -> dict[str, Any]:
        return auth_of(self.call.connection.tls)

    def time_remaining(self) -> float:
        """None without a deadline, as gRPC has it."""
        deadline = self.call.deadline
        if deadline is None:
            return None  # type: ignore[return-value]
        return max(0.0, deadline - self.call.loop.time())

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        """Called when the caller has everything, or is gone: until then an answer takes memory."""
        self._callbacks.append(callback)

    def cancelled(self) -> bool:
        return self.call.over and self.call.code is grpc.StatusCode.CANCELLED

    def done(self) -> bool:
        return self.call.over


def auth_of(tls: Any) -> dict[str, Any]:
    """What TLS knows of the other side, in gRPC's words; empty without TLS.

    tls: the transport's ssl_object, or None.
    """
    if tls is None:
        return {}
    names: dict[str, Any] = {"transport_security_type": [b"ssl"]}
    found = tls.getpeercert() or {}
    subject = [field for part in found.get("subject", ()) for field in part]
    common = [str(value).encode() for key, value in subject if key == "commonName"]
    if common:
        names["x509_common_name"] = common
    sans = [str(value).encode() for _, value in found.get("subjectAltName", ())]
    if sans:
        names["x509_subject_alternative_name"] = sans
    return names
