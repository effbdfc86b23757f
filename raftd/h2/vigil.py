"""Whether the other end of a connection is there, and reads; and what it is called."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Protocol

from raftd.beat import EARLY_SECONDS, beat_after
from raftd.h2.engine import Engine
from raftd.h2.settings import ConnectionSettings

CHECK_SHARE = 8
"""Connections are looked at so many times within the shortest time of their settings."""

REST_SECONDS = 1.0
"""A server with few connections on which nothing is due looks as seldom as that."""
FEW = 64


def pause_before_look(vigils: Sequence[Vigil], settings: ConnectionSettings, now: float) -> float:
    """Seconds until something is due on one of these; none: the shortest that makes sense."""
    least = min(settings.keepalive_time, settings.keepalive_timeout) / CHECK_SHARE
    due = min((vigil.due() for vigil in vigils), default=now)
    # On a beat: the pings of all idle connections, and most of their answers, are one wake each.
    return beat_after(now, max(least, min(due - now, settings.keepalive_time)))


def pause_of_server(vigils: Collection[Vigil], settings: ConnectionSettings, now: float) -> float:
    """Seconds until a server looks again at those who have connected.

    Others may connect meanwhile, or stop reading: it is once within the shortest time at least. It
    is more often while something waits to be read, and with many, of whom one is always due.
    """
    times = settings.keepalive_time, settings.keepalive_timeout
    shortest = min(*times, settings.handshake_timeout, settings.stall_timeout)
    often = shortest / CHECK_SHARE
    if len(vigils) > FEW or any(vigil.waits for vigil in vigils):
        return often
    due = min((vigil.due() for vigil in vigils), default=now + REST_SECONDS)
    return max(often, min(due - now, shortest, REST_SECONDS))


class Watched(Protocol):
    """What is asked of a connection."""

    settings: ConnectionSettings
    engine: Engine

    @property
    def streams(self) -> Collection[int]:
        """The calls that are open."""

    @property
    def settled(self) -> bool: ...

    @property
    def unsent(self) -> int: ...

    def flush_soon(self) -> None: ...


class Vigil:
    """One connection's. `look` is called several times within the shortest of the times set."""

    __slots__ = ("_connection", "_gone", "_made", "_moved", "given", "heard", "pinged")

    def __init__(self, connection: Watched, now: float) -> None:
        self._connection = connection
        self._made = self._moved = now
        self._gone = 0
        self.heard = now
        """When something came last."""
        self.pinged = 0.0
        """When the ping that is not answered yet was sent; 0: none is."""
        self.given = 0
        """Bytes of messages that the engine was given to send; pings are no sign of reading."""

    def leave(self) -> None:
        """The connection is over; nobody looks any more."""
        del self._connection

    def look(self, now: float) -> str:
        """Why the connection is to be given up, in one line; empty: it is well."""
        connection, settings = self._connection, self._connection.settings
        if not connection.settled:
            if now - self._made > settings.handshake_timeout:
                return f"no word of HTTP/2 within {settings.handshake_timeout:g} s"
            return ""
        if self.heard >= self.pinged:
            self.pinged = 0.0  # answered, if one was sent
        if self.pinged:
            if now - self.pinged >= settings.keepalive_timeout:
                return f"nothing came for {now - self.heard:.1f} s, nor an answer to a ping"
        elif now - self.heard >= self._patience() - EARLY_SECONDS:
            self.pinged = now
            connection.engine.ping()
            connection.flush_soon()
        return self._look_at_reader(now)

    def _patience(self) -> float:
        """Seconds of silence before a ping."""
        settings = self._connection.settings
        if self._connection.streams:
            return settings.keepalive_time
        return max(settings.keepalive_time, settings.keepalive_rest)

    @property
    def waits(self) -> bool:
        """Whether there is something to be read by the other side."""
        return bool(self._connection.unsent)

    def due(self) -> float:
        """When there is something to look at, if nothing comes meanwhile; on the loop's clock."""
        settings = self._connection.settings
        if not self._connection.settled:
            return self._made + settings.handshake_timeout
        if self.pinged > self.heard:
            return self.pinged + settings.keepalive_timeout
        return self.heard + self._patience()

    def _look_at_reader(self, now: float) -> str:
        settings, unsent = self._connection.settings, self._connection.unsent
        gone = self.given - self._connection.engine.queued_all()
        if not unsent or gone != self._gone:
            self._gone, self._moved = gone, now
        if unsent > settings.unsent_max:
            return f"{unsent} bytes that it does not read (limit {settings.unsent_max})"
        if now - self._moved > settings.stall_timeout:
            return f"{unsent} bytes of answers, none read for {now - self._moved:.0f} s"
        return ""

    def rest(self, now: float) -> None:
        """Silence is no sign of anything now: there is no call, and pings come only with calls."""
        self.heard = now
        self.pinged = 0.0


def peer_name(transport: Any) -> str:
    """The other end as gRPC writes it: ipv4:1.2.3.4:5, ipv6:[::1]:5, unix:path."""
    where = transport.get_extra_info("peername")
    if isinstance(where, tuple) and len(where) >= 2:
        host = str(where[0])
        return f"ipv6:[{host}]:{where[1]}" if ":" in host else f"ipv4:{host}:{where[1]}"
    return f"unix:{where}" if isinstance(where, str) and where else "unix:"
