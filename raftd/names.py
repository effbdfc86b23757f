"""Host names, looked up by the system on threads of our own; gRPC is given numbers only.

gRPC's own look-up asks name servers itself: a name from /etc/hosts waits there for a name server
that does not answer, for a minute and more, and only a switch in the environment changes that. The
environment belongs to the program that imports the client. What the system's resolver says takes
/etc/hosts, nsswitch.conf and the rest into account, as every other program on the machine does.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

NOWHERE = "ipv4:127.0.0.1:0"
"""Where a channel goes while its name is unknown: every call fails at once."""

LOOKUPS_MAX = 128
"""Names asked for at a time, each on a thread: a silent name server holds one for half a minute."""

KNOWN_MAX = 1024

OVERTAKE_SECONDS = 2.0
"""A look-up may hang for half a minute though the name server is back: who asks again after so long
starts another."""

OVERTAKERS_MAX = 4

Ask = Callable[..., Sequence[tuple[Any, ...]]]


class NameUnknown(OSError):
    """A host name has no address, as far as the system can tell. One line."""


class _Running:
    """One name, and those who wait for it."""

    def __init__(self) -> None:
        self.future: Future[str] = Future()
        self.future.set_running_or_notify_cancel()
        self.threads = 0
        self.settled = False
        self.newest = 0.0


class Names:
    """Look-ups under way and the last answers. Any thread."""

    def __init__(
        self, ask: Ask = socket.getaddrinfo, now: Callable[[], float] = time.monotonic
    ) -> None:
        """ask: what `socket.getaddrinfo` is. now: a monotonic clock, seconds."""
        self._ask = ask
        self._now = now
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[str, _Running] = {}
        self._known: dict[str, str] = {}

    def known(self, address: str) -> str | None:
        """The last answer: a gRPC target for `host:port`. A number is its own, always known."""
        return address if is_literal(address) else self._known.get(address)

    def look_up(self, address: str) -> Future[str]:
        """Ask the system now. The same future for all who ask while a look-up is under way.

        It fails with NameUnknown, and cannot be cancelled: its thread goes on by itself.
        """
        if is_literal(address):
            return _settled(address)
        with self._lock:
            running = self._running.get(address)
            if running is not None:
                young = self._now() - running.newest < OVERTAKE_SECONDS
                if young or running.threads >= OVERTAKERS_MAX:
                    return running.future
            elif len(self._running) >= LOOKUPS_MAX:
                text = f"{address}: {LOOKUPS_MAX} look-ups of names are under way already"
                return _settled(NameUnknown(text))
            else:
                running = self._running[address] = _Running()
            running.threads += 1
            running.newest = self._now()
        threading.Thread(
            target=self._run, args=(address, running), name="raftd-names", daemon=True
        ).start()
        return running.future

    def _run(self, address: str, running: _Running) -> None:
        host, _, port = address.rpartition(":")
        found: str | NameUnknown
        try:
            places = self._ask(host, int(port), type=socket.SOCK_STREAM)
            found = target_of([entry[4] for entry in places])
        except (OSError, ValueError, OverflowError) as error:  # ValueError: not even a name
            why = getattr(error, "strerror", None) or str(error)
            found = NameUnknown(f"{address}: the name has no address: {why}")
        with self._lock:
            running.threads -= 1
            if running.settled or (running.threads and isinstance(found, NameUnknown)):
                return  # another one was, or may be, luckier
            running.settled = True
            if isinstance(found, str):
                if len(self._known) >= KNOWN_MAX:
                    self._known.clear()
                self._known[address] = found
            if self._running.get(address) is running:
                del self._running[address]
        _settle(running.future, found)


def _settle(future: Future[str], found: str | NameUnknown) -> None:
    if isinstance(found, str):
        future.set_result(found)
    else:
        future.set_exception(found)


def _settled(found: str | NameUnknown) -> Future[str]:
    future: Future[str] = Future()
    _settle(future, found)
    return future


def target_of(places: Sequence[tuple[Any, ...]]) -> str:
    """A gRPC target for socket addresses, tried in their order. Raises ValueError if none.

    A target has one family, so with both every IPv4 address is written as an IPv6 one.
    """
    hosts = list(dict.fromkeys((str(place[0]), int(place[1])) for place in places))
    if not hosts:
        raise ValueError("no address")
    if not any(":" in host for host, _ in hosts):
        return "ipv4:" + ",".join(f"{host}:{port}" for host, port in hosts)
    mapped = ((host if ":" in host else f"::ffff:{host}", port) for host, port in hosts)
    return "ipv6:" + ",".join(f"[{host}]:{port}" for host, port in mapped)


def numbers_of(target: str) -> list[str]:
    """The `host:port`s in a target of `target_of`; a `host:port` is itself."""
    scheme, _, rest = target.partition(":")
    if scheme not in ("ipv4", "ipv6"):
        return [target]
    parts = (part.rpartition(":") for part in rest.split(","))
    return [
        f"{host.strip('[]').removeprefix('::ffff:')}:{port}" if "." in host else f"{host}:{port}"
        for host, _, port in parts
    ]


def is_literal(address: str) -> bool:
    """Whether the host of `host:port` is a number, which no look-up can change."""
    host = address.rpartition(":")[0].strip("[]").partition("%")[0]
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


SHARED = Names()
"""This process's."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=SHARED._reset)  # a child has none of its parent's threads
