"""The admin port under callers that are slow, many or odd: /livez is what supervisors go by."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from raftd.admin import connection, server
from raftd.admin.page.routes import Page
from raftd.admin.server import AdminServer
from raftd.admin.vitals import Vitals
from raftd.names import Names

SECONDS = 5.0
LIVEZ = b"GET /livez HTTP/1.1\r\n\r\n"


@pytest.fixture
def admin() -> Iterator[AdminServer]:
    made = AdminServer("127.0.0.1", 0, Vitals(time.monotonic, beat=time.monotonic()), list)
    made.start()
    yield made
    made.stop()


def call(admin: AdminServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", admin.port), SECONDS)


def rest(one: socket.socket) -> bytes:
    got = b""
    with contextlib.suppress(ConnectionResetError):
        while data := one.recv(65536):
            got += data
    return got


def ask(admin: AdminServer, request: bytes) -> bytes:
    with call(admin) as one:
        one.sendall(request)
        return rest(one)


@pytest.mark.parametrize("said", [b"", b"GET /livez HTTP/1.1\r\nX-"], ids=["silent", "half-said"])
def test_a_crowd_that_says_nothing_does_not_hold_up_livez(
    admin: AdminServer, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    monkeypatch.setattr(connection, "REQUEST_SECONDS", 60.0)  # only room is what sends them away
    with contextlib.ExitStack() as opened:
        crowd = [opened.enter_context(call(admin)) for _ in range(3 * server.CONNECTIONS_MAX)]
        for one in crowd:
            with contextlib.suppress(OSError):  # the oldest have been sent away
                one.sendall(said)
        assert ask(admin, b"GET /livez HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 200 OK\r\n")
        assert len(admin._open) <= server.CONNECTIONS_MAX
        assert rest(crowd[0]) == b"", "the oldest made room"


def test_a_crowd_that_comes_to_a_busy_thread_waits_in_the_kernel(admin: AdminServer) -> None:
    """A first packet that is dropped is sent again after 1 s: a probe would be that late."""
    ask(admin, b"GET /livez HTTP/1.1\r\n\r\n")  # it listens by now
    idle = threading.Event()
    admin._loop.call_soon_threadsafe(idle.wait, SECONDS)
    with contextlib.ExitStack() as opened:
        for _ in range(3 * server.CONNECTIONS_MAX):
            opened.enter_context(socket.create_connection(("127.0.0.1", admin.port), 0.9))
        idle.set()
        assert ask(admin, b"GET /livez HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_crowd_does_not_take_the_files_of_the_log(
    admin: AdminServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The story without it: asyncio accepted all that the kernel held before the first was counted,
    and for that moment the whole process had no descriptor left.
    """
    ask(admin, b"GET /livez HTTP/1.1\r\n\r\n")
    counted: list[int] = []
    admit = admin._admit

    def admitted(one: connection.Connection) -> None:
        counted.append(len(os.listdir("/proc/self/fd")))
        admit(one)

    monkeypatch.setattr(admin, "_admit", admitted)
    idle = threading.Event()
    admin._loop.call_soon_threadsafe(idle.wait, SECONDS)
    with contextlib.ExitStack() as opened:
        for _ in range(3 * server.CONNECTIONS_MAX):
            opened.enter_context(call(admin))
        before = len(os.listdir("/proc/self/fd"))
        idle.set()
        assert ask(admin, b"GET /livez HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 200 OK\r\n")
    assert len(counted) > 3 * server.CONNECTIONS_MAX
    assert max(counted) - before < server.CONNECTIONS_MAX + 32


def test_a_byte_now_and_then_does_not_prolong_it(
    admin: AdminServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "REQUEST_SECONDS", 0.3)
    with call(admin) as one:
        ended = threading.Event()

        def trickle() -> None:
            with contextlib.suppress(OSError):
                while not ended.wait(0.05):
                    one.sendall(b"G")

        thread = threading.Thread(target=trickle)
        thread.start()
        began = time.monotonic()
        assert rest(one) == b""
        assert time.monotonic() - began < SECONDS / 2
        ended.set()
        thread.join()


def test_an_answer_that_nobody_takes_ends(
    admin: AdminServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "ANSWER_SECONDS", 0.3)
    monkeypatch.setitem(
        admin._routes, "/metrics", lambda _: connection.Answer(200, "x" * (32 << 20))
    )
    with call(admin) as one:
        one.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        deadline = time.monotonic() + SECONDS
        while not (seen := len(admin._open)):
            assert time.monotonic() < deadline
        while seen and admin._open:
            assert time.monotonic() < deadline, "still open"
            time.sleep(0.01)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"HEAD /livez HTTP/1.0\n\n", b"200"),
        (b"GET /livez?verbose HTTP/1.1\r\nHost: [::1]\r\n\r\n", b"200"),
        (b"POST /livez HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody", b"405"),
        (b"GET /nothing HTTP/1.1\r\n\r\n", b"404"),
        (b"\x16\x03\x01 hello\r\n\r\n", b"400"),
        (b"GET /livez HTTP/1.1\r\nX: " + b"x" * connection.HEAD_BYTES_MAX, b"431"),
    ],
)
def test_odd_requests_get_one_answer(admin: AdminServer, request_: bytes, status: bytes) -> None:
    answer = ask(admin, request_)
    assert answer.split()[1] == status
    assert (answer.endswith(b"\r\n\r\n")) == request_.startswith(b"HEAD")


def test_no_name_server_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """http.server asks for the name of the address that it listens on: ten seconds with a silent
    name server, on the way to the start.
    """

    def never(*_: object, **__: object) -> None:
        raise AssertionError("a name server would be asked")

    for name in ("getfqdn", "gethostbyaddr", "gethostbyname", "getnameinfo", "gethostname"):
        monkeypatch.setattr(socket, name, never)
    made = AdminServer("0.0.0.0", 0, Vitals(time.monotonic, beat=time.monotonic()), list)
    made.start()
    assert b"200 OK" in ask(made, b"GET /livez HTTP/1.1\r\n\r\n")
    made.stop()


def test_a_route_that_fails_is_said_and_the_port_goes_on(
    admin: AdminServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(admin._routes, "/metrics", lambda: 1 // 0)
    assert b"HTTP/1.1 500 " in ask(admin, b"GET /metrics HTTP/1.1\r\n\r\n")
    assert "/metrics failed" in caplog.text
    assert b"200 OK" in ask(admin, b"GET /livez HTTP/1.1\r\n\r\n")


def both(_host: str, port: int, **_: object) -> Sequence[tuple[Any, ...]]:
    return [(0, 0, 0, "", ("::1", port, 0, 0)), (0, 0, 0, "", ("127.0.0.1", port))]


def vitals() -> Vitals:
    return Vitals(time.monotonic, beat=time.monotonic())


def test_it_listens_at_all_addresses_of_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """It listened at the first one only: at localhost, who came to the other one found nobody."""
    monkeypatch.setattr(server, "SHARED", Names(ask=both))
    made = AdminServer("here", 0, vitals(), list)
    made.start()
    try:
        for address in ("::1", "127.0.0.1"):
            with socket.create_connection((address, made.port), SECONDS) as one:
                one.sendall(LIVEZ)
                assert rest(one).startswith(b"HTTP/1.1 200 OK\r\n"), address
    finally:
        made.stop()


@pytest.mark.parametrize("taken", ["::1", "127.0.0.1"])
def test_it_does_not_listen_where_another_process_has_one_of_a_names_addresses(
    monkeypatch: pytest.MonkeyPatch, taken: str
) -> None:
    """Callers of the name would talk to either of them."""
    monkeypatch.setattr(server, "SHARED", Names(ask=both))
    family = socket.AF_INET6 if ":" in taken else socket.AF_INET
    with contextlib.closing(socket.create_server((taken, 0), family=family)) as other:
        port = other.getsockname()[1]
        with pytest.raises(OSError, match="in use") as told:
            AdminServer("here", port, vitals(), list)
        assert taken in str(told.value.filename)


def under(host: str) -> bytes:
    return b"GET /livez HTTP/1.1\r\nHost: %s\r\n\r\n" % host.encode()


@pytest.mark.parametrize("host", ["evil.example", "evil.example:7003", "localhost.evil.example"])
def test_on_loopback_it_is_not_asked_under_a_strangers_name(admin: AdminServer, host: str) -> None:
    """The story: a page at http://evil.example:7003 has its name point to 127.0.0.1 once it is
    loaded, and reads the node's film, which the browser takes for its own.
    """
    answer = ask(admin, under(host))
    assert answer.startswith(b"HTTP/1.1 403 Forbidden\r\n")
    assert b"listen_admin" in answer


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.0.0.1:7003", "[::1]:9", "10.0.0.1:9", "localhost", "LocalHost:1",
     "n1.localhost:7003", ""],
)  # fmt: skip
def test_on_loopback_it_is_asked_under_an_address_or_localhost(
    admin: AdminServer, host: str
) -> None:
    """Also through a tunnel, whose port is another one; the oldest clients send no name at all."""
    assert ask(admin, under(host) if host else LIVEZ).startswith(b"HTTP/1.1 200 OK\r\n")


def test_it_is_asked_under_the_names_that_its_settings_have(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "SHARED", Names(ask=both))
    page = Page("n1", {"n1": "N1.Lab:7003", "n2": "n2.lab:7003"})
    made = AdminServer("here.lab", 0, vitals(), list, page=page)
    made.start()
    try:
        for host, code in (("here.lab:1", b"200"), ("n1.lab", b"200"), ("n2.lab:7003", b"403")):
            assert ask(made, under(host)).startswith(b"HTTP/1.1 " + code), host
    finally:
        made.stop()


def test_where_other_machines_reach_it_any_name_will_do() -> None:
    """Who scrapes it may have a name of his own for this machine, and it keeps nothing back."""
    made = AdminServer("0.0.0.0", 0, vitals(), list)
    made.start()
    try:
        assert ask(made, under("metrics.example")).startswith(b"HTTP/1.1 200 OK\r\n")
    finally:
        made.stop()
