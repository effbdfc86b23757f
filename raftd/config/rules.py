"""What settings must satisfy together. A rule yields one line that names key and value."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from raftd.config.kinds import (
    COUNT,
    DURATION,
    FLAG,
    PEERS,
    SIZE,
    Peer,
    is_loopback,
    is_wildcard,
    places_of,
    render_duration,
    render_size,
)
from raftd.config.settings import SETTINGS, Config

Problem = tuple[str, str]
"""(the setting at fault, what is wrong and what is expected)"""


_WITHOUT_TLS = {
    "peer": "listen to everything, and speak for a node unless there is a cluster_secret_file",
    "client": "read and write everything",
}

_VALUES: dict[str, tuple[Any, str]] = {
    DURATION.name: (int | float, "seconds, as a number"),
    SIZE.name: (int, "bytes, as a whole number"),
    COUNT.name: (int, "a whole number"),
    FLAG.name: (bool, "True or False"),
}
"""Of a kind: its Python types, and how a program writes one."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""


def mistyped(config: Config) -> Iterator[Problem]:
    """Values that are not of the types that their settings have: `problems` would fail over them.

    Only a program can have mistaken them: what comes from a file, the environment or flags has been
    parsed.
    """
    for row in SETTINGS.values():
        value = getattr(config, row.name)
        if row.kind.name == PEERS.name:
            yield from _mistyped_peers(value)
        if row.kind.name not in _VALUES:
            continue
        types, expected = _VALUES[row.kind.name]
        if not isinstance(value, types) or (types is not bool and isinstance(value, bool)):
            yield row.name, f"{value!r}: expected {expected}"


def _mistyped_peers(peers: object) -> Iterator[Problem]:
    if not isinstance(peers, Mapping):
        yield "peers", f"{peers!r}: expected a dict of ids, and a Peer for each"
        return
    for node, addresses in peers.items():
        if not isinstance(addresses, Peer):
            expected = "expected Peer(peer, client), a host:port for each"
            yield "peers", f"{node}: {addresses!r}: {expected}"
            continue
        for what, address in zip(("peer", "client"), addresses, strict=True):
            if not _is_address(address):
                yield "peers", f"{node}.{what}: {address!r}: expected host:port"


def _is_address(value: object) -> bool:
    """Does it end in a port? What its host may be is judged by `problems`."""
    port = value.rpartition(":")[2] if isinstance(value, str) and ":" in value else ""
    return port.isascii() and port.isdigit()


def problems(config: Config) -> Iterator[Problem]:
    """Everything that makes this configuration unusable."""
    yield from _bounds(config)
    yield from _members(config)
    yield from _timing(config)
    yield from _sizes(config)
    yield from _security(config)


def warnings(config: Config) -> Iterator[Problem]:
    """What works, but perhaps not as meant."""
    count = len(config.peers)
    if count and count % 2 == 0:
        yield (
            "peers",
            f"{count} voters tolerate no more failures than {count - 1}; an odd number is better",
        )
    for port, secured in (("peer", config.peer_cert), ("client", config.client_cert)):
        name = f"listen_{port}"
        address = listen_address(config, name)
        if address and not is_loopback(address) and not secured:
            yield (
                name,
                f"{address} can be reached from other machines, and there is no TLS "
                f"({port}_cert): whoever can connect can {_WITHOUT_TLS[port]}",
            )
    if config.security_migrating:
        yield "security_migrating", "true: peers that prove nothing are taken; end the migration"
    for name in ("peer_tls_optional", "client_tls_optional"):
        if getattr(config, name):
            yield name, "true: plain text is taken beside TLS; end the migration"
    if config.listen_admin and not is_loopback(config.listen_admin):
        yield "listen_admin", f"{config.listen_admin} can be reached from other machines"


def listen_address(config: Config, name: str) -> str:
    """The effective listen address: the setting, or what `peers` says of this node."""
    given: str = getattr(config, name)
    if given or config.id not in config.peers:
        return given
    own = config.peers[config.id]
    return own.peer if name == "listen_peer" else own.client


def page_nodes(config: Config) -> dict[str, str]:
    """Where the HTTP port of each node is, for the page."""
    if config.page_nodes:
        return places_of(config.page_nodes)
    port = config.listen_admin.rpartition(":")[2]
    return {
        node: f"{addresses.peer.rpartition(':')[0]}:{port}"
        for node, addresses in config.peers.items()
    }


def _bounds(config: Config) -> Iterator[Problem]:
    for row in SETTINGS.values():
        value = getattr(config, row.name)
        if row.low is not None and value < row.low:
            yield row.name, _shown(row.name, value, f"at least {_render(row.name, row.low)}")
        if row.high is not None and value > row.high:
            yield row.name, _shown(row.name, value, f"at most {_render(row.name, row.high)}")


def _members(config: Config) -> Iterator[Problem]:
    for name in ("id", "data_dir", "peers"):
        if not getattr(config, name):
            yield name, f"is missing; expected {SETTINGS[name].why}"
    if config.id and config.peers and config.id not in config.peers:
        known = ", ".join(config.peers)
        yield (
            "id",
            f"{config.id!r} is not among peers ({known}){did_you_mean(config.id, config.peers)}",
        )
    seen: dict[str, str] = {}
    for node, addresses in config.peers.items():
        for what, address in zip(("peer", "client"), addresses):
            where = f"{node}.{what}"
            if is_wildcard(address):
                yield (
                    "peers",
                    f"{where}: {address!r} is no address that others can reach; "
                    f"expected one that is, and this one in listen_{what}",
                )
            elif address in seen:
                yield (
                    "peers",
                    f"{where}: {address!r} is also {seen[address]}; expected every address once",
                )
            seen.setdefault(address, where)
    listen: dict[str, str] = {}
    for name in ("listen_peer", "listen_client", "listen_admin", "listen_gateway"):
        of_peers = name in ("listen_peer", "listen_client")
        address = listen_address(config, name) if of_peers else getattr(config, name)
        chosen = address and not address.endswith(":0")  # 0: a free port, of the system's choice
        if chosen and address in listen:
            yield name, f"{address!r} is also {listen[address]}; expected different ports"
        listen[address] = name
    if config.page and not config.listen_admin:
        yield "page", "true: expected listen_admin to be set, as that port serves it"
    if config.page and config.admin_tls:
        yield "page", "true: expected admin_tls: false, as the nodes ask each other without TLS"
    if config.advertise_gateway and not config.listen_gateway:
        yield "advertise_gateway", "there is no gateway; expected listen_gateway to be set, too"


def _timing(config: Config) -> Iterator[Problem]:
    least = 5 * config.heartbeat_interval
    if config.election_timeout_min < least:
        yield (
            "election_timeout_min",
            _shown(
                "election_timeout_min",
                config.election_timeout_min,
                f"at least 5 x heartbeat_interval = {render_duration(least)}",
            ),
        )
    yield from _ordered(config, "election_timeout_min", "election_timeout_max", 1.2)
    yield from _ordered(config, "candidate_retry_min", "candidate_retry_max", 1.2)
    yield from _ordered(config, "disk_stall_refuse", "disk_stall_step_down", 1.0)


def _sizes(config: Config) -> Iterator[Problem]:
    yield from _ordered(config, "batch_bytes_max", "window_bytes_max", 1.0)
    need = config.snapshot_bytes + config.keep_bytes
    if config.log_memory_limit < need:
        yield (
            "log_memory_limit",
            _shown(
                "log_memory_limit",
                config.log_memory_limit,
                f"at least snapshot_bytes + keep_bytes = {render_size(need)}, or commands are "
                "refused before a snapshot makes room",
            ),
        )
    pinned = config.pin_bytes_max + config.snapshot_bytes
    if need <= config.log_memory_limit < pinned:
        yield (
            "log_memory_limit",
            _shown(
                "log_memory_limit",
                config.log_memory_limit,
                f"at least pin_bytes_max + snapshot_bytes = {render_size(pinned)}, or one follower "
                "that receives a snapshot keeps the log so long that commands are refused",
            ),
        )


def _security(config: Config) -> Iterator[Problem]:
    for port in ("peer", "client"):
        cert, key = f"{port}_cert", f"{port}_key"
        given = {name for name in (cert, key) if getattr(config, name)}
        for name in {cert, key} - given if given else ():
            yield name, f"is missing; expected a file, as {next(iter(given))} is set"
        for name in (f"{port}_ca", f"{port}_crl"):
            if getattr(config, name) and not given:
                yield name, f"is set without {cert}: expected both, or neither"
        if getattr(config, f"{port}_tls_optional") and not given:
            yield f"{port}_tls_optional", f"true: expected a {cert} to migrate to"
    if config.peer_cert and not config.peer_ca:
        yield "peer_ca", "is missing; expected a file, as nodes check each other's certificates"
    if config.client_cert_auth and not config.client_ca:
        yield "client_cert_auth", "true: expected a client_ca that signs the certificates"
    if config.client_crl and not config.client_ca:
        yield "client_crl", "is set without client_ca: expected both, or neither"
    if config.admin_tls and not config.client_cert:
        yield "admin_tls", "true: expected a client_cert to serve it with"
    if config.security_migrating and not config.cluster_secret_file:
        yield "security_migrating", "true: expected a cluster_secret_file to migrate to"


def _ordered(config: Config, low: str, high: str, factor: float) -> Iterator[Problem]:
    least = getattr(config, low) * factor
    if getattr(config, high) < least - 1e-12:
        times = "" if factor == 1.0 else f"{factor:g} x "
        yield (
            high,
            _shown(high, getattr(config, high), f"at least {times}{low} = {_render(high, least)}"),
        )


def _render(name: str, value: float) -> str:
    kind = SETTINGS[name].kind
    return kind.render(value if kind.name == "duration" else int(value))


def _shown(name: str, value: float, expected: str) -> str:
    return f"{_render(name, value)!r}: expected {expected}"
