"""The other end of a connection in gRPC's words."""

from __future__ import annotations

from typing import Any


def peer_name(transport: Any) -> str:
    """The other end as gRPC writes it: ipv4:1.2.3.4:5, ipv6:[::1]:5, unix:path."""
    where = transport.get_extra_info("peername")
    if isinstance(where, tuple) and len(where) >= 2:
        host = str(where[0])
        return f"ipv6:[{host}]:{where[1]}" if ":" in host else f"ipv4:{host}:{where[1]}"
    return f"unix:{where}" if isinstance(where, str) and where else "unix:"
