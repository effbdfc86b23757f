"""Are the values of a Config of the types that its settings have? A program may have mistaken them.

What comes from a file, the environment or flags has been parsed, so it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from raftd.config.kinds import COUNT, DURATION, FLAG, PEERS, SIZE, Peer
from raftd.config.rules import Problem
from raftd.config.settings import SETTINGS, Config

_VALUES: dict[str, tuple[Any, str]] = {
    DURATION.name: (int | float, "seconds, as a number"),
    SIZE.name: (int, "bytes, as a whole number"),
    COUNT.name: (int, "a whole number"),
    FLAG.name: (bool, "True or False"),
}
"""Of a kind: its Python types, and how a program writes one."""


def mistyped(config: Config) -> Iterator[Problem]:
    """What `rules.problems` would fail over."""
    for row in SETTINGS.values():
        value = getattr(config, row.name)
        if row.kind.name == PEERS.name:
            yield from _peers(value)
        if row.kind.name not in _VALUES:
            continue
        types, expected = _VALUES[row.kind.name]
        if not isinstance(value, types) or (types is not bool and isinstance(value, bool)):
            yield row.name, f"{value!r}: expected {expected}"


def _peers(peers: object) -> Iterator[Problem]:
    if not isinstance(peers, Mapping):
        yield "peers", f"{peers!r}: expected a dict of ids, and a Peer for each"
        return
    for node, addresses in peers.items():
        if not isinstance(addresses, Peer):
            expected = "expected Peer(peer, client), a host:port for each"
            yield "peers", f"{node}: {addresses!r}: {expected}"
            continue
        for what, address in zip(("peer", "client"), addresses, strict=True):
            port = address.rpartition(":")[2] if ":" in str(address) else ""
            if not (port.isascii() and port.isdigit()):
                yield "peers", f"{node}.{what}: {address!r}: expected host:port"
