"""Endpoints as a program names them: host:port of client ports. Any thread, no I/O."""

from __future__ import annotations

import re
from collections.abc import Sequence

from raftd.client.errors import Invalid

ENDPOINTS_MAX = 64
_ENDPOINT = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/,\[\]]+):([0-9]{1,5})")


def parse_endpoints(endpoints: str | Sequence[str]) -> list[str]:
    """["host:port", ...] from a comma-separated string or a sequence, each once, in order.

    Raises Invalid for anything that is not host:port or [IPv6]:port, and for none at all.
    """
    parts = endpoints.split(",") if isinstance(endpoints, str) else list(endpoints)
    found: list[str] = []
    for part in parts:
        if not isinstance(part, str):
            raise Invalid(f"endpoint {part!r}: expected text like '127.0.0.1:7002'")
        endpoint = part.strip()
        if not endpoint:
            continue
        if not is_endpoint(endpoint):
            raise Invalid(f"endpoint {part!r}: expected host:port, as in 127.0.0.1:7002")
        if endpoint not in found:
            found.append(endpoint)
    if not found:
        raise Invalid("no endpoints: name one or more as host:port,host:port")
    if len(found) > ENDPOINTS_MAX:
        raise Invalid(f"{len(found)} endpoints: the limit is {ENDPOINTS_MAX}")
    return found


def parse_endpoint(endpoint: str | None) -> str | None:
    """One endpoint, or None. Raises Invalid."""
    if endpoint is None:
        return None
    (parsed,) = parse_endpoints([endpoint])
    return parsed


def is_endpoint(text: str) -> bool:
    """Whether `parse_endpoints` takes it as one: what a node tells of others may be anything."""
    match = _ENDPOINT.fullmatch(text)
    return match is not None and 0 < int(match.group(2)) < 65536
