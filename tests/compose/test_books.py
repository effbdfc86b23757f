"""The judge of `make compose-test` must see what it is there to see."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from harness.ports import free_ports
from harness.writers import Book, Found, WrongState

PROBE = Path(__file__).resolve().parents[2] / "config" / "compose" / "probe.py"


def book() -> Book:
    made = Book()
    made.acked = {b"a": b"1", b"b": b"2"}
    made.unknown = {b"u": b"3"}
    return made


def test_what_was_promised_is_there() -> None:
    assert book().check("n1", {b"a": (b"1", 1), b"b": (b"2", 1)}) == 0
    assert book().check("n1", {b"a": (b"1", 1), b"b": (b"2", 1), b"u": (b"3", 1)}) == 1


@pytest.mark.parametrize(
    ("found", "complaint"),
    [
        ({b"a": (b"1", 1)}, "lacks b'b'"),
        ({b"a": (b"1", 1), b"b": (b"x", 1)}, "not as written once"),
        ({b"a": (b"1", 1), b"b": (b"2", 2)}, "not as written once"),
        ({b"a": (b"1", 1), b"b": (b"2", 1), b"u": (b"3", 2)}, "or twice"),
        ({b"a": (b"1", 1), b"b": (b"2", 1), b"n": (b"9", 1)}, "certainly not done"),
    ],
)
def test_every_kind_of_wrong_is_found(found: Found, complaint: str) -> None:
    with pytest.raises(WrongState, match=complaint):
        book().check("n1", found)


def test_silence_is_measured_at_both_ends_too() -> None:
    made = Book()
    made.ack_times = [1.0, 2.0, 2.5, 7.0]
    assert made.silence(0.0, 3.0) == 1.0
    assert made.silence(2.0, 2.5) == 0.5
    assert made.silence(2.2, 6.5) == 4.0, "nothing after 2.5 yet"
    assert made.silence(8.0, 9.0) == 1.0
    assert made.gap(2.2) == (4.5, 7.0)
    assert made.silence(8.0) == float("inf")


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"HTTP/1.0 200 OK\r\n\r\nok\n", 0),
        (b"HTTP/1.0 503 Service Unavailable\r\n\r\nno leader known\n", 1),
        (b"", 1),
    ],
)
def test_the_probe_repeats_what_the_node_says(answer: bytes, code: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                assert connection.recv(1000).startswith(b"GET /readyz HTTP/1.0")
                connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        done = _probe(server.getsockname()[1])
        thread.join(10)
    assert done.returncode == code
    assert answer.rpartition(b"\r\n\r\n")[2] in done.stdout


def test_the_probe_of_nobody_fails_in_one_line() -> None:
    [port] = free_ports(1)
    done = _probe(port)
    assert done.returncode == 1
    assert done.stdout.startswith(b"no answer from 127.0.0.1")
    assert not done.stderr


def _probe(port: int) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-IS", PROBE, "/readyz"],
        capture_output=True,
        timeout=30,
        check=False,
        env={"RAFTD_LISTEN_ADMIN": f"0.0.0.0:{port}"},
    )
