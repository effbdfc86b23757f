"""A program that speaks just enough HTTP/2 to be a nuisance: frames by hand, as fast as they go.

python -m tests.harsh.flood PORT KIND SECONDS CONNECTIONS prints one JSON object at the end. KIND is
one of KINDS.
"""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import threading
import time
from collections.abc import Callable
from struct import pack

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE = 0, 1, 2, 3, 4, 6, 8
BURST_BYTES = 1 << 16
CONNECT_PAUSE_SECONDS = 0.05


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return pack(">I", len(payload))[1:] + bytes((kind, flags)) + pack(">I", stream) + payload


def text(value: bytes) -> bytes:
    """A literal without Huffman coding (RFC 7541, 5.2); shorter than 127 bytes."""
    return bytes((len(value),)) + value


def request_headers(path: bytes, stream: int, *, end: bool = False) -> bytes:
    """The head of a gRPC call, with literal header fields only."""
    fields = (
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", path),
        (b":authority", b"raftd"),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
    )
    block = b"".join(b"\x00" + text(name) + text(value) for name, value in fields)
    return frame(HEADERS, 0x5 if end else 0x4, stream, block)


def opened(port: int, *more: bytes) -> socket.socket:
    """A connection that has said what every HTTP/2 client says first."""
    to = socket.create_connection(("127.0.0.1", port), 5)
    to.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    to.sendall(PREFACE + frame(SETTINGS, 0, 0) + b"".join(more))
    return to


def many(one: bytes) -> Callable[[int], bytes]:
    """The same frame over and over."""
    burst = one * (BURST_BYTES // len(one))
    return lambda _number: burst


def resets(number: int) -> bytes:
    """Calls that are opened and cancelled at once."""
    first = 2 * number * 100 + 1
    parts = []
    for stream in range(first, first + 200, 2):
        parts.append(request_headers(b"/raftd.client.v1.Commands/Pipeline", stream))
        parts.append(frame(RST_STREAM, 0, stream, pack(">I", 8)))
    return b"".join(parts)


CALL = request_headers(b"/raftd.client.v1.Commands/Pipeline", 1)
KINDS: dict[str, tuple[bytes, Callable[[int], bytes]]] = {
    "ping": (b"", many(frame(PING, 0, 0, b"raftdraf"))),
    "ping-unread": (b"", many(frame(PING, 0, 0, b"raftdraf"))),
    "window": (b"", many(frame(WINDOW_UPDATE, 0, 0, pack(">I", 1)))),
    "settings": (b"", many(frame(SETTINGS, 0, 0, pack(">HI", 4, 65_535)))),
    "priority": (b"", many(frame(PRIORITY, 0, 1, pack(">IB", 0, 16)))),
    "empty-data": (CALL, many(frame(DATA, 0, 1))),
    "reset": (b"", resets),
}


class Flood:
    """One connection after another, each flooded until the other side closes it."""

    def __init__(self, port: int, kind: str, until: float) -> None:
        self.port, self.kind, self.until = port, kind, until
        self.bytes = self.connections = self.closed = 0

    def run(self) -> None:
        first, burst = KINDS[self.kind]
        while time.monotonic() < self.until:
            self.connections += 1
            with contextlib.suppress(OSError), opened(self.port, first) as to:
                self._one(to, burst)
            self.closed += time.monotonic() < self.until
            time.sleep(CONNECT_PAUSE_SECONDS)

    def _one(self, to: socket.socket, burst: Callable[[int], bytes]) -> None:
        if self.kind != "ping-unread":
            threading.Thread(target=_swallow, args=(to,), daemon=True).start()
        to.settimeout(0.2)
        number = 0
        while time.monotonic() < self.until:
            rest = memoryview(burst(number))
            number += 1
            while rest and time.monotonic() < self.until:
                try:
                    sent = to.send(rest)
                except TimeoutError:
                    continue
                self.bytes += sent
                rest = rest[sent:]


def _swallow(to: socket.socket) -> None:
    """Read until the end: who stops reading is closed for another reason."""
    with contextlib.suppress(OSError):
        while True:
            try:
                if not to.recv(1 << 16):
                    to.shutdown(socket.SHUT_RDWR)
                    return
            except TimeoutError:
                continue


def main() -> int:
    port, kind, seconds, count = int(sys.argv[1]), sys.argv[2], float(sys.argv[3]), int(sys.argv[4])
    floods = [Flood(port, kind, time.monotonic() + seconds) for _ in range(count)]
    threads = [threading.Thread(target=flood.run) for flood in floods]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = {
        name: sum(getattr(flood, name) for flood in floods)
        for name in ("bytes", "connections", "closed")
    }
    print(json.dumps({"kind": kind, **found}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
