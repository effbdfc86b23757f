"""Certificates of a test: one authority and what it signed."""

from __future__ import annotations

import datetime
from pathlib import Path

from raftd.tls.certs import Authority
from raftd.tls.files import TlsFiles

DAY = datetime.timedelta(days=1)


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def authority(directory: Path) -> Authority:
    return Authority.make(directory, now())


def node_files(
    directory: Path,
    node: str,
    *,
    signed_by: Authority | None = None,
    life: datetime.timedelta = DAY,
) -> TlsFiles:
    """Of a node, mutual TLS. signed_by: another authority than the one in the directory."""
    signer = signed_by or Authority.load(directory)
    signer.node(directory, node, ["127.0.0.1", "localhost"], now(), life)
    return files_of(directory, node)


def files_of(directory: Path, name: str, prefix: str = "peer") -> TlsFiles:
    return TlsFiles(
        prefix,
        cert=str(directory / f"{name}.crt"),
        key=str(directory / f"{name}.key"),
        ca=str(directory / "ca.crt"),
    )
