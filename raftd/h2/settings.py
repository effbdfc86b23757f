"""Every limit and every time of this room, for connections, channels and servers."""

from __future__ import annotations

from dataclasses import dataclass, field

from raftd.h2.engine import EngineLimits


@dataclass(frozen=True, slots=True)
class ConnectionSettings:
    """How one connection behaves. Times in seconds, sizes in bytes.

    keepalive_time, keepalive_timeout: a connection on which nothing comes is pinged after the first
    and given up after the second. keepalive_rest: in place of the first while there is no call; one
    that begins is looked after at once. 0: as the first.
    handshake_timeout: for the other side to say its first words in HTTP/2.
    message_max: of one message that arrives; message_send_max: of one that is sent.
    unsent_max: what may wait to be read by the other side; more is the end of the connection, as is
    anything that waits for `stall_timeout` while nothing at all is read.
    frames_at_once, frames_each_second: PING, SETTINGS, RST_STREAM, WINDOW_UPDATE and empty DATA,
    beside two of them for each call or message.
    beside_at_once, beside_each_second: bytes that belong to no message, beside some for each call.
    """

    keepalive_time: float = 10.0
    keepalive_timeout: float = 5.0
    keepalive_rest: float = 0.0
    handshake_timeout: float = 5.0
    message_max: int = 4 << 20
    message_send_max: int = 64 << 20
    unsent_max: int = 64 << 20
    stall_timeout: float = 10.0
    frames_at_once: int = 10_000
    frames_each_second: int = 2_000
    beside_at_once: int = 1 << 20
    beside_each_second: int = 256 << 10
    engine: EngineLimits = field(default_factory=EngineLimits)


@dataclass(frozen=True, slots=True)
class ChannelSettings:
    """Times in seconds, sizes in bytes.

    connect_timeout: for one attempt, with TLS and the first words of HTTP/2.
    backoff_min, backoff_max: between attempts that failed; half as long again each time.
    keepalive_idle: pings also while there is no call.
    held_bytes_max: messages, whole or not, that arrived and wait to be taken.
    """

    connect_timeout: float = 1.0
    backoff_min: float = 0.1
    backoff_max: float = 0.5
    keepalive_idle: bool = True
    held_bytes_max: int = 256 << 20
    connection: ConnectionSettings = field(default_factory=ConnectionSettings)


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """calls_max: at a time on all connections; one more is RESOURCE_EXHAUSTED.

    calls_name: what whoever set calls_max calls it; the refusal says so.
    connections_max: one more is closed before it can say anything.
    held_bytes_max: messages, whole or not, that arrived on all connections and wait to be taken.
    """

    calls_max: int = 8192
    calls_name: str = "calls_max"
    connections_max: int = 65_536
    held_bytes_max: int = 256 << 20
    connection: ConnectionSettings = field(default_factory=ConnectionSettings)
