"""Kinds of values: how each is written, read and explained.

Every source (flag, environment, YAML) hands over text; a kind turns it into a value or raises
ValueError whose message says what was expected. Pure functions, any thread.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

_NUMBER = r"([0-9]{1,18}(?:\.[0-9]{1,18})?)"
"""Longer ones would be infinite as a float, and are no size or duration of anything."""
_DURATION = re.compile(_NUMBER + r"\s*(ms|us|s|m|h)")
_SIZE = re.compile(_NUMBER + r"\s*(B|KiB|MiB|GiB|KB|kB|MB|GB)?")
_NODE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?|\[[0-9A-Fa-f:.%a-z]+\]")
_MACHINE = re.compile(r"kv|[A-Za-z_][\w.]*:[A-Za-z_]\w*")

_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_BYTES = {
    "B": 1,
    "KiB": 1 << 10,
    "MiB": 1 << 20,
    "GiB": 1 << 30,
    "KB": 10**3,
    "kB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
}

WILDCARD_HOSTS = frozenset({"0.0.0.0", "[::]", "*"})


class Peer(NamedTuple):
    """Where others reach a node: `host:port` of its peer port and of its client port."""

    peer: str
    client: str


@dataclass(frozen=True, slots=True)
class Kind:
    """name: for the table of settings; expected: ends the sentence "expected ..."."""

    name: str
    expected: str
    parse: Callable[[str], Any]
    render: Callable[[Any], str] = str


def parse_duration(text: str) -> float:
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        if text.strip() == "0":
            return 0.0
        raise ValueError("expected a duration with its unit, such as 150ms, 10s or 2m")
    return round(float(match[1]) * _SECONDS[match[2]], 9)


def render_duration(seconds: float) -> str:
    """Exact to the nanosecond, as `parse_duration` is."""
    if seconds == 0:
        return "0s"
    for unit in ("h", "m", "s"):
        amount = seconds / _SECONDS[unit]
        if amount >= 1 and abs(amount - round(amount, 1)) < 1e-9:
            return f"{_decimal(amount, 1)}{unit}"
    if seconds >= 1e-3:
        return f"{_decimal(seconds * 1e3, 6)}ms"
    return f"{_decimal(seconds * 1e6, 3)}us"


def _decimal(amount: float, places: int) -> str:
    """Never with an exponent: it could not be read back."""
    return f"{amount:.{places}f}".rstrip("0").rstrip(".")


def parse_size(text: str) -> int:
    match = _SIZE.fullmatch(text.strip().replace("_", ""))
    if match is None:
        raise ValueError("expected a size such as 1.5MiB, 64KiB or a number of bytes")
    return round(float(match[1]) * _BYTES[match[2] or "B"])


def render_size(size_bytes: int) -> str:
    for unit in ("GiB", "MiB", "KiB"):
        amount = size_bytes / _BYTES[unit]
        if amount >= 1 and amount == round(amount, 2):
            return f"{_decimal(amount, 2)}{unit}"
    return f"{size_bytes}B"


def parse_count(text: str) -> int:
    try:
        value = int(text.strip().replace("_", ""))
    except ValueError:
        raise ValueError("expected a whole number") from None
    if value < 0:
        raise ValueError("expected a whole number, 0 or more")
    return value


def parse_flag(text: str) -> bool:
    lowered = text.strip().lower()
    if lowered in ("true", "yes", "on", "1"):
        return True
    if lowered in ("false", "no", "off", "0"):
        return False
    raise ValueError("expected true or false")


def render_flag(value: bool) -> str:
    return "true" if value else "false"


def parse_node_id(text: str) -> str:
    if not _NODE_ID.fullmatch(text):
        raise ValueError(
            "expected a node id: 1 to 64 letters, digits, '_', '.' or '-', a letter or digit first"
        )
    return text


def parse_address(text: str) -> str:
    host, colon, port = text.strip().rpartition(":")
    if not colon or not _HOST.fullmatch(host) or not port.isascii() or not port.isdigit():
        raise ValueError("expected host:port, such as 127.0.0.1:7001 or [::1]:7001")
    if not 0 < int(port) < 65536:
        raise ValueError("expected a port from 1 to 65535")
    return f"{host}:{int(port)}"


def parse_listen(text: str) -> str:
    """As an address; empty where that means "derive it" or "off"."""
    return parse_address(text) if text.strip() else ""


def parse_addresses(text: str) -> str:
    """Some addresses, joined by commas; empty: none."""
    return ",".join(parse_address(part) for part in text.split(",") if part.strip())


def parse_machine(text: str) -> str:
    if not _MACHINE.fullmatch(text.strip()):
        raise ValueError("expected kv, or module:Class of your own state machine")
    return text.strip()


def parse_peers(text: str) -> dict[str, Peer]:
    """The one-line form of flags and the environment: `a=host:7001/host:7002,b=...`."""
    peers: dict[str, Peer] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        node, equals, addresses = item.partition("=")
        peer, slash, client = addresses.partition("/")
        if not equals or not slash:
            raise ValueError("expected id=peer_host:port/client_host:port, separated by commas")
        parse_node_id(node)
        if node in peers:
            raise ValueError(f"expected every id once; {node} is there twice")
        peers[node] = Peer(parse_address(peer), parse_address(client))
    return peers


def parse_places(text: str) -> str:
    """`a=host:7003,b=host:7003`, checked and kept as text; see `places_of`."""
    return ",".join(f"{node}={address}" for node, address in places_of(text).items())


def places_of(text: str) -> dict[str, str]:
    """Raises ValueError."""
    places: dict[str, str] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        node, equals, address = item.partition("=")
        if not equals:
            raise ValueError("expected id=host:port, separated by commas")
        if node in places:
            raise ValueError(f"expected every id once; {node} is there twice")
        places[parse_node_id(node)] = parse_address(address)
    return places


def render_peers(peers: dict[str, Peer]) -> str:
    return ",".join(f"{node}={peer.peer}/{peer.client}" for node, peer in peers.items())


def choice(*options: str) -> Kind:
    """One of a few words."""
    expected = "expected one of " + ", ".join(options)

    def parse(text: str) -> str:
        word = text.strip().lower()
        if word not in options:
            raise ValueError(expected)
        return word

    return Kind("word", expected, parse)


def is_loopback(address: str) -> bool:
    host = address.rpartition(":")[0].strip("[]")
    return host == "localhost" or host == "::1" or host.startswith("127.")


def is_wildcard(address: str) -> bool:
    return address.rpartition(":")[0] in WILDCARD_HOSTS


TEXT = Kind("text", "expected text", str)
PATH = Kind("path", "expected a path", str)
DURATION = Kind("duration", "expected a duration such as 150ms", parse_duration, render_duration)
SIZE = Kind("size", "expected a size such as 1.5MiB", parse_size, render_size)
COUNT = Kind("count", "expected a whole number", parse_count)
FLAG = Kind("true or false", "expected true or false", parse_flag, render_flag)
NODE_ID = Kind("node id", "expected a node id", parse_node_id)
LISTEN = Kind("host:port", "expected host:port", parse_listen)
ADDRESSES = Kind("host:port,...", "expected host:port,host:port", parse_addresses)
PLACES = Kind("id=host:port,...", "expected id=host:port, separated by commas", parse_places)
MACHINE = Kind("kv or module:Class", "expected kv or module:Class", parse_machine)
PEERS = Kind("map", "expected id: {peer: host:port, client: host:port}", parse_peers, render_peers)
