"""How a connection sees its streams, so that neither file needs the other, and its other end."""

from __future__ import annotations

from typing import Any, Protocol

from raftd.h2.engine import Headers


class OnConnection(Protocol):
    """A stream, as its connection sees it."""

    @property
    def id(self) -> int: ...

    def headers(self, headers: Headers, end: bool) -> None: ...

    def trailers(self, headers: Headers) -> None: ...

    def received(self, data: bytes, end: bool) -> None: ...

    def writable(self) -> None: ...

    def reset_by_peer(self, code: int) -> None: ...

    def refused(self, why: str) -> None: ...

    def closed(self, code: int) -> None: ...

    def lost(self, why: str) -> None: ...


def peer_name(transport: Any) -> str:
    """The other end as gRPC writes it: ipv4:1.2.3.4:5, ipv6:[::1]:5, unix:path."""
    where = transport.get_extra_info("peername")
    if isinstance(where, tuple) and len(where) >= 2:
        host = str(where[0])
        return f"ipv6:[{host}]:{where[1]}" if ":" in host else f"ipv4:{host}:{where[1]}"
    return f"unix:{where}" if isinstance(where, str) and where else "unix:"
