"""A flood of etcd's unary calls: many in flight on few connections, as fast as they are answered.

Frames are made once and sent over and over, and of answers only the ends are looked for: the flood
takes little of the machine that it floods.

python -m tests.harsh.unary_flood PORT KIND SECONDS CONNECTIONS IN_FLIGHT begins when a line "go" is
said to it, and prints one JSON object at the end. KIND: put or range.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from struct import pack

from raftd._pb import etcd_pb2 as pb
from tests.harsh.flood import (
    DATA,
    HEADERS,
    PING,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
    opened,
    request_headers,
)

HEAD_BYTES = 9
ACK, END_STREAM, END_HEADERS = 0x1, 0x1, 0x4
GOAWAY = 7
WINDOW = 2**31 - 1
READ_BYTES = 1 << 18
KEYS = 100
PATHS = {"put": b"/etcdserverpb.KV/Put", "range": b"/etcdserverpb.KV/Range"}


def requests(kind: str) -> list[bytes]:
    """Bodies of calls, in gRPC's envelope."""
    made = []
    for number in range(KEYS):
        key = b"flood/%d" % number
        message = (
            pb.PutRequest(key=key, value=b"x" * 64) if kind == "put" else pb.RangeRequest(key=key)
        )
        body = message.SerializeToString()
        made.append(b"\0" + pack(">I", len(body)) + body)
    return made


@dataclass(eq=False)
class Flooder:
    """One connection."""

    where: socket.socket
    path: bytes
    bodies: list[bytes]
    in_flight: int
    ended: Counter[str] = field(default_factory=Counter)
    _stream: int = 1
    _open: int = 0
    _read: bytearray = field(default_factory=bytearray)
    _out: bytearray = field(default_factory=bytearray)

    def begin(self) -> None:
        self._out += frame(SETTINGS, 0, 0, pack(">HI", 4, WINDOW))
        self._out += frame(WINDOW_UPDATE, 0, 0, pack(">I", WINDOW - 65_535))
        self._more()

    def _more(self) -> None:
        while self._open < self.in_flight:
            body = self.bodies[(self._stream // 2) % len(self.bodies)]
            self._out += request_headers(self.path, self._stream)
            self._out += frame(DATA, END_STREAM, self._stream, body)
            self._stream += 2
            self._open += 1
        self.write()

    def write(self) -> None:
        if self._out:
            try:
                del self._out[: self.where.send(self._out)]
            except BlockingIOError:
                return

    @property
    def waits(self) -> bool:
        return bool(self._out)

    def read(self) -> bool:
        """False: the other side has closed."""
        try:
            data = self.where.recv(READ_BYTES)
        except BlockingIOError:
            return True
        except OSError:
            return False
        self._read += data
        at, have = 0, len(self._read)
        while have - at >= HEAD_BYTES:
            size = int.from_bytes(self._read[at : at + 3], "big")
            if have - at < HEAD_BYTES + size:
                break
            kind, flags = self._read[at + 3], self._read[at + 4]
            self._frame(kind, flags, bytes(self._read[at + HEAD_BYTES : at + HEAD_BYTES + size]))
            at += HEAD_BYTES + size
        del self._read[:at]
        self._more()
        return bool(data)

    def _frame(self, kind: int, flags: int, payload: bytes) -> None:
        if kind == SETTINGS and not flags & ACK:
            self._out += frame(SETTINGS, ACK, 0)
        elif kind == PING and not flags & ACK:
            self._out += frame(PING, ACK, 0, payload)
        elif kind == RST_STREAM:
            self._end("reset")
        elif kind == GOAWAY:
            self.ended["goaway"] += 1
        elif kind == HEADERS and flags & END_STREAM:
            self._end("answered")

    def _end(self, how: str) -> None:
        self.ended[how] += 1
        self._open -= 1


def flood(port: int, kind: str, seconds: float, connections: int, in_flight: int) -> Counter[str]:
    path, bodies = PATHS[kind], requests(kind)
    ended: Counter[str] = Counter()
    with selectors.DefaultSelector() as selector:
        flooders = []
        for _ in range(connections):
            to = opened(port)
            to.setblocking(False)
            flooder = Flooder(to, path, bodies, in_flight, ended)
            flooders.append(flooder)
            flooder.begin()
            selector.register(to, selectors.EVENT_READ, flooder)
        until = time.monotonic() + seconds
        while time.monotonic() < until and selector.get_map():
            for key, events in selector.select(0.1):
                flooder = key.data
                if events & selectors.EVENT_READ and not flooder.read():
                    selector.unregister(flooder.where)
                    ended["closed"] += 1
                    continue
                if events & selectors.EVENT_WRITE:
                    flooder.write()
                wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if flooder.waits else 0)
                if wanted != key.events:
                    selector.modify(flooder.where, wanted, flooder)
        for flooder in flooders:
            flooder.where.close()
    return ended


def main() -> int:
    port, kind, seconds, connections, in_flight = sys.argv[1:]
    print("ready", flush=True)
    if sys.stdin.readline() != "go\n":
        return 1
    print("flooding", flush=True)
    ended = flood(int(port), kind, float(seconds), int(connections), int(in_flight))
    print(json.dumps({"kind": kind, **ended}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
