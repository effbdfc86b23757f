"""Certificates for nodes of the harness: one authority, one certificate a node, one client's."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path

from harness.nodes import Node
from raftd.tls.certs import Authority
from raftd.tls.files import TlsFiles

CLIENT = "admin"
LIFE = datetime.timedelta(days=365)


def certificates(directory: Path, nodes: Sequence[Node]) -> dict[str, str]:
    """Make them in `directory`. Returns the settings by which a node uses its own (`hand_out`)."""
    now = datetime.datetime.now(datetime.UTC)
    authority = Authority.make(directory, now)
    for node in nodes:
        authority.node(directory, node.id, ["127.0.0.1", "localhost"], now, LIFE)
    authority.client(directory, CLIENT, now, LIFE)
    own = {"cert": "node.crt", "key": "node.key", "ca": str(directory / "ca.crt")}
    return {f"{port}_{end}": file for port in ("peer", "client") for end, file in own.items()}


def hand_out(directory: Path, nodes: Sequence[Node]) -> None:
    """Each node finds its own in its directory, which must be there."""
    for node in nodes:
        for end in ("crt", "key"):
            (node.directory / f"node.{end}").symlink_to(directory / f"{node.id}.{end}")


def client_files(directory: Path) -> TlsFiles:
    """The client's certificate, and whom it trusts."""
    ca, cert, key = (str(directory / name) for name in ("ca.crt", f"{CLIENT}.crt", f"{CLIENT}.key"))
    return TlsFiles("", cert=cert, key=key, ca=ca)
