"""Messages in a body: a flag, a length of four bytes, the bytes; perhaps compressed by gzip."""

from __future__ import annotations

import zlib

import grpc

HEAD_BYTES = 5
GZIP_WINDOW_BITS = 31
"""zlib's way to say: a gzip header and trailer, and nothing else."""

IDENTITY, GZIP = b"identity", b"gzip"
ACCEPTED = b"identity,gzip"


class BadMessage(Exception):
    """What arrived is no message that may be taken: a status and one line."""

    def __init__(self, code: grpc.StatusCode, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


def framed(message: bytes) -> bytes:
    return b"\0" + len(message).to_bytes(4, "big") + message


class Unframer:
    """Cuts a body into messages. `bytes_max`: of one message, compressed or not."""

    __slots__ = ("_buffer", "_bytes_max", "_encoding", "bad")

    def __init__(self, bytes_max: int, encoding: bytes = IDENTITY) -> None:
        self._bytes_max = bytes_max
        self._encoding = encoding
        self._buffer = bytearray()
        self.bad: BadMessage | None = None
        """Set by `feed` when something arrived that is no message: the stream is of no use then."""

    @property
    def pending(self) -> int:
        """Bytes held for a message that is not whole yet."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that `data` completes, up to the first that may not be taken (`bad`)."""
        messages: list[bytes] = []
        try:
            buffer = self._buffer
            if buffer:
                buffer += data
                if len(buffer) < HEAD_BYTES or len(buffer) < HEAD_BYTES + self._length(buffer, 0):
                    return messages
                data = bytes(buffer)
                self._buffer = bytearray()
            at, size = 0, len(data)
            while size - at >= HEAD_BYTES:
                end = at + HEAD_BYTES + self._length(data, at)
                if end > size:
                    break
                message = data[at + HEAD_BYTES : end]
                messages.append(self._plain(data[at], message) if data[at] else message)
                at = end
            if at < size:
                self._buffer += data[at:]
        except BadMessage as bad:
            self.bad = bad
        return messages

    def _length(self, data: bytes | bytearray, at: int) -> int:
        length = int.from_bytes(data[at + 1 : at + HEAD_BYTES], "big")
        if length > self._bytes_max:
            raise self._too_large(length)
        return length

    def _too_large(self, size_bytes: int) -> BadMessage:
        return BadMessage(
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            f"Received message larger than max ({size_bytes} vs. {self._bytes_max})",
        )

    def _plain(self, flag: int, message: bytes) -> bytes:
        """Inflated, and never to more than is allowed: ten bytes may say a gigabyte."""
        if flag != 1 or self._encoding != GZIP:
            text = f"a message with compression flag {flag} and grpc-encoding {self._encoding!r}"
            raise BadMessage(grpc.StatusCode.INTERNAL, text)
        inflate = zlib.decompressobj(GZIP_WINDOW_BITS)
        try:
            plain = inflate.decompress(message, self._bytes_max + 1)
        except zlib.error as error:
            raise BadMessage(grpc.StatusCode.INTERNAL, f"gzip: {error}") from None
        if len(plain) > self._bytes_max:
            raise self._too_large(len(plain))
        if not inflate.eof:
            raise BadMessage(grpc.StatusCode.INTERNAL, "gzip: the message is cut off")
        return plain
