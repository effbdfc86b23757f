"""The name of a node in its certificate: `<id>.node.raftd`, a DNS name among the alternative names.

Nodes check each other by this name and not by host: a certificate that was stolen is one node and
not all, and a node that moves to another address keeps its certificate. Clients check by host name
or address, as everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

SUFFIX = ".node.raftd"


def node_name(node_id: str) -> str:
    """The DNS name that the certificate of this node has to hold."""
    return node_id + SUFFIX


def node_ids(certificate: dict[str, Any]) -> list[str]:
    """The nodes that a certificate (as `ssl.SSLSocket.getpeercert` gives it) speaks for."""
    names = [str(value) for kind, value in certificate.get("subjectAltName", ()) if kind == "DNS"]
    return speaks_for(names)


def speaks_for(dns_names: Iterable[str]) -> list[str]:
    return [name.removesuffix(SUFFIX) for name in dns_names if name.endswith(SUFFIX)]


def common_name(certificate: dict[str, Any]) -> str:
    """The CN of the subject, which is the user's name; empty without one."""
    for relative in certificate.get("subject", ()):
        for kind, value in relative:
            if kind == "commonName":
                return str(value)
    return ""
