"""The proxy does what the faults say that it does."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.ports import free_ports
from harness.proxy import Delay, Edge, Proxies

SECONDS = 5.0


class Echo:
    """Sends back what it gets, on any number of connections."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._echo, args=(connection,), daemon=True).start()

    @staticmethod
    def _echo(connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(65536):
                    connection.sendall(data)
            except OSError:
                return


@pytest.fixture
def edge() -> Iterator[Edge]:
    echo, proxies = Echo(), Proxies(seed=1)
    yield proxies.add("a", "b", echo.port)
    proxies.close()
    echo.listener.close()


def _call(edge: Edge) -> socket.socket:
    made = socket.create_connection(("127.0.0.1", edge.port), SECONDS)
    made.settimeout(SECONDS)
    return made


def _ask(connection: socket.socket, data: bytes) -> bytes:
    """What comes back, up to as much as was sent."""
    connection.sendall(data)
    got = b""
    while len(got) < len(data):
        part = connection.recv(65536)
        if not part:
            break
        got += part
    return got


def test_all_comes_through_in_order(edge: Edge) -> None:
    data = bytes(range(256)) * 20_000
    with _call(edge) as connection:
        assert _ask(connection, b"first") == b"first"
        threading.Thread(target=connection.sendall, args=(data,), daemon=True).start()
        got = b""
        while len(got) < len(data):
            got += connection.recv(1 << 20)
        assert got == data


def test_blocked_holds_back_and_opened_delivers(edge: Edge) -> None:
    with _call(edge) as connection, _call(edge) as other:
        assert _ask(connection, b"before") == b"before"
        edge.block()
        _until(lambda: edge.blocked)
        connection.sendall(b"held")
        connection.settimeout(0.3)
        with pytest.raises(TimeoutError):
            connection.recv(10)
        with _call(edge) as late:  # connects, as far as it can tell, and hears nothing
            late.sendall(b"late")
            edge.open()
            assert late.recv(10) == b"late"
        connection.settimeout(SECONDS)
        assert connection.recv(10) == b"held"
        assert _ask(other, b"too") == b"too"


def test_what_was_held_back_can_be_lost(edge: Edge) -> None:
    with _call(edge) as connection:
        assert _ask(connection, b"before") == b"before"
        edge.block()
        _until(lambda: edge.blocked)
        connection.sendall(b"held")
        edge.open(cut=True)
        assert _ended(connection)
    with _call(edge) as connection:
        assert _ask(connection, b"new") == b"new"


def test_delay_keeps_the_order(edge: Edge) -> None:
    with _call(edge) as connection:
        edge.slow(Delay(0.1, 0.09))
        _until(lambda: edge.delay.seconds > 0)
        began = time.monotonic()
        words = [b"%03d" % number for number in range(50)]
        for word in words:
            connection.sendall(word)
        got = b""
        while len(got) < 150:
            got += connection.recv(1000)
        assert got == b"".join(words)
        assert time.monotonic() - began > 0.02


def test_a_narrow_edge_is_shared_and_carries_no_more_than_it_may(edge: Edge) -> None:
    edge.narrow(1e6)
    _until(lambda: edge.rate_bytes > 0)
    data = [bytes([number]) * 50_000 for number in range(4)]
    began = time.monotonic()
    with ThreadPoolExecutor(4) as pool, contextlib.ExitStack() as opened:
        connections = [opened.enter_context(_call(edge)) for _ in data]
        assert list(pool.map(_ask, connections, data)) == data
    assert time.monotonic() - began > 0.2
    assert edge.carried_bytes == 400_000, "there and back"


def test_cut_in_the_middle_of_a_message(edge: Edge) -> None:
    with _call(edge) as connection:
        assert _ask(connection, b"before") == b"before"
        edge.cut(after_bytes=4)
        _until(lambda: edge.cut_after is not None)
        connection.sendall(b"0123456789")
        assert _ended(connection)
    with _call(edge) as connection:
        assert _ask(connection, b"after") == b"after"


def test_swallowed_says_nothing_and_new_connections_work(edge: Edge) -> None:
    with _call(edge) as connection:
        assert _ask(connection, b"before") == b"before"
        edge.swallow()
        _until(lambda: edge.swallowed == 1)
        connection.sendall(b"lost")
        connection.settimeout(0.2)
        with pytest.raises(TimeoutError):
            connection.recv(10)
        assert edge.swallowed_bytes == 4
        with _call(edge) as new:
            assert _ask(new, b"new") == b"new"


def test_nobody_at_the_other_end() -> None:
    [port] = free_ports(1)
    proxies = Proxies(seed=1)
    try:
        with _call(proxies.add("a", "b", port)) as connection:
            assert _ended(connection)
    finally:
        proxies.close()


def _ended(connection: socket.socket) -> bool:
    try:
        while connection.recv(1000):
            pass
    except ConnectionError:
        return True
    return True


def _until(condition: object) -> None:
    deadline = time.monotonic() + SECONDS
    assert callable(condition)
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)
