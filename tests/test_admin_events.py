"""/events of the HTTP port: every reader has its pace, and none of them holds up anybody else."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from raftd.admin import connection, event_stream, server
from raftd.admin.server import AdminServer
from raftd.admin.vitals import Vitals
from raftd.core.effects import Event
from raftd.core.events import EventKind
from raftd.core.types import Role
from raftd.node.events import EventRing
from tests.node.alone import Clock

SECONDS = 10.0


class Port:
    """The HTTP port of a node that has only its events."""

    def __init__(self) -> None:
        self.ring = EventRing(Clock())
        self.vitals = Vitals(time.monotonic, beat=time.monotonic(), read_events=self.ring.read)
        self.admin = AdminServer("127.0.0.1", 0, self.vitals, list)
        self.admin.start()
        self._readers: list[Reader] = []

    def close(self) -> None:
        for reader in self._readers:
            reader.close()
        self.admin.stop()

    def happen(self, count: int, size_bytes: int = 1) -> None:
        for number in range(count):
            text = f"{number} " + "x" * size_bytes
            self.ring.add(Event(EventKind.ROLE, number, Role.LEADER, "n1", text, f"n{number}"))

    def ask(self, line: str, header: str = "") -> Reader:
        """Closed with the port, if not before."""
        self._readers.append(Reader(self.admin.port, f"GET {line} HTTP/1.1\r\n{header}\r\n"))
        return self._readers[-1]

    def until(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + SECONDS
        while not condition():
            assert time.monotonic() < deadline, "it never came true"
            time.sleep(0.005)


class Reader:
    def __init__(self, port: int, request: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), SECONDS)
        self.socket.sendall(request.encode())
        self._file = self.socket.makefile("rb")
        self.status = int(self._line().split()[1])
        self.headers = {}
        while line := self._line():
            key, _, value = line.partition(": ")
            self.headers[key] = value

    def _line(self) -> str:
        line = self._file.readline()
        assert line, "the connection has ended"
        return line.decode().rstrip("\r\n")

    def event(self) -> dict[str, object]:
        """The next one, comments left out."""
        fields: dict[str, str] = {}
        while True:
            line = self._line()
            if line and not line.startswith(":"):
                key, _, value = line.partition(": ")
                fields[key] = value
            elif "data" in fields:
                data: dict[str, object] = json.loads(fields["data"])
                assert fields["id"] == str(data["number"])
                assert fields["event"] == data["kind"]
                return data

    def rest(self) -> bytes:
        with contextlib.suppress(ConnectionResetError):
            return self._file.read()
        return b""

    def close(self) -> None:
        self._file.close()
        self.socket.close()


@pytest.fixture
def port() -> Iterator[Port]:
    made = Port()
    yield made
    made.close()


def test_a_reader_sees_what_happens_and_comes_back_where_it_was(port: Port) -> None:
    port.happen(3)
    new = port.ask("/events")
    assert (new.status, new.headers["Content-Type"]) == (200, "text/event-stream")
    assert "Content-Length" not in new.headers
    port.until(lambda: port.ring._readers)
    port.ring.add(Event(EventKind.LEADER, 9, Role.FOLLOWER, None, "gone", None))
    seen = new.event()
    assert (seen["number"], seen["kind"], seen["term"], seen["leader"]) == (4, "leader", 9, None)
    assert seen["level"] == "news"
    new.close()
    for line, header, first in (
        ("/events?after=0", "", 1),
        ("/events?after=2", "", 3),
        ("/events", "Last-Event-ID: 3\r\n", 4),
        ("/events?after=99", "", 1),  # of an earlier life of the node
    ):
        again = port.ask(line, header)
        assert again.event()["number"] == first, line
        again.close()
    port.until(lambda: not port.ring._readers)


def test_what_is_no_number_and_a_node_that_starts(port: Port) -> None:
    assert port.ask("/events?after=x").status == 400
    assert port.ask("/events", "last-event-id: -1\r\n").status == 400
    port.vitals.read_events = None
    refused = port.ask("/events")
    assert (refused.status, refused.rest()) == (503, b"starting: there are no events yet\n")
    assert port.ask("/nothing").status == 404


def test_readers_have_a_limit_and_outlive_a_crowd(
    port: Port, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "STREAMS_MAX", 2)
    readers = [port.ask("/events"), port.ask("/events")]
    refused = port.ask("/events")
    assert (refused.status, b"2 readers of events" in refused.rest()) == (503, True)
    crowd = [
        socket.create_connection(("127.0.0.1", port.admin.port), SECONDS)
        for _ in range(2 * server.CONNECTIONS_MAX)
    ]
    assert port.ask("/livez").status == 200
    port.happen(1)
    assert [reader.event()["number"] for reader in readers] == [1, 1]
    readers[0].close()
    port.until(lambda: len(port.ring._readers) == 1)
    assert port.ask("/events").status == 200
    for one in crowd:
        one.close()


def test_a_reader_that_takes_nothing_is_cut_and_costs_little(
    port: Port, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "ANSWER_SECONDS", 0.5)
    port.ask("/events")  # and never read
    quick = port.ask("/events")
    port.until(lambda: len(port.ring._readers) == 2)
    [held, _] = list(port.admin._open)
    transport = held._transport
    assert transport is not None
    number = 0
    deadline = time.monotonic() + SECONDS
    while len(port.ring._readers) == 2:
        assert time.monotonic() < deadline, "it was not cut"
        port.happen(20, 50_000)
        for _ in range(20):
            number += 1
            assert quick.event()["number"] == number, "the other one missed nothing"
        waiting = transport.get_write_buffer_size()
        assert waiting <= connection.UNREAD_BYTES_MAX + 100_000, "the rest waits in the ring"
    assert port.ask("/livez").status == 200
