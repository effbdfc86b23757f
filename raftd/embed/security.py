"""From settings to what the ports check: the cluster's secret, TLS among peers, TLS for clients.

Files are read before a port is opened, and again when they change.
"""

from __future__ import annotations

import logging
import os
import stat
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from raftd.config import Config
from raftd.h2.server import HTTP1_FIRST
from raftd.node.health import Ailment
from raftd.rpc.peers.security import SECRET_BYTES_MIN, PeerSecurity
from raftd.rpc.plumbing.ports import h2_available
from raftd.tls.contexts import ALPN, Tls
from raftd.tls.files import TlsFiles, TlsProblem, days_left, valid_until

LOG = logging.getLogger("raftd.security")

SECRET_BYTES_MAX = 4096
DAYS_WARN = 14.0
"""A certificate that ends sooner is a warning each time it is looked at."""


class SecurityProblem(Exception):
    """A file cannot be used. One line: the setting, the file, the reason, the next step.

    later: the files may be right at a later start: others write, mount and renew them. The story
    without it: a certificate ended, the machine was started anew, and when the new one came there
    was no node to take it.
    """

    def __init__(self, line: str, *, later: bool = True) -> None:
        super().__init__(line)
        self.later = later


@dataclass(frozen=True, slots=True)
class Security:
    """What the ports of one node check. Any thread.

    client, admin, gateway: None without TLS for clients, on the HTTP ports; `peers.tls` likewise.
    """

    peers: PeerSecurity
    client: Tls | None
    admin: Tls | None = None
    gateway: Tls | None = None

    def renew(self) -> None:
        """Take files that have changed. Never raises: what is wrong is logged, nothing changes."""
        for tls in (self.peers.tls, self.client, self.admin, self.gateway):
            if tls is None:
                continue
            try:
                if tls.renew():
                    LOG.warning("TLS: new files count from now on: %s", _described(tls))
            except TlsProblem as problem:
                LOG.error("TLS: nothing is changed: %s", problem)

    def ailments(self) -> Iterator[Ailment]:
        """Certificates that nobody accepts any more. Any thread."""
        for port, left in self.days_left(time.time_ns() / 1e9).items():
            if left < 0:
                yield Ailment(
                    f"{port}_cert: the certificate has expired, {_span(-left)} ago: who connects "
                    f"anew refuses it; replace the files of {port}_cert and {port}_key"
                )

    def days_left(self, epoch_seconds: float) -> dict[str, float]:
        """By `peer` and `client`: until the certificate in use expires."""
        ports = {"peer": self.peers.tls, "client": self.client}
        return {
            name: days_left(tls.certificate, epoch_seconds) for name, tls in ports.items() if tls
        }


def _span(days: float) -> str:
    return f"{days:.0f} days" if days >= 2 else f"{days * 1440:.0f} min"


def security_of(config: Config) -> Security:
    """Raises SecurityProblem."""
    try:
        peer = _tls(config, "peer", config.id)
        client = _tls(config, "client", alpn=HTTP1_FIRST if config.client_http else ALPN)
        admin = _admin_tls(config)
        gateway = _gateway_tls(config)
    except TlsProblem as problem:
        raise SecurityProblem(str(problem)) from None
    secret = _secret(config.cluster_secret_file)
    if (config.peer_tls_optional or config.client_tls_optional) and not h2_available():
        name = "peer_tls_optional" if config.peer_tls_optional else "client_tls_optional"
        line = f"{name}: needs the package ngh2, which is not here; pip install it"
        raise SecurityProblem(line, later=False)
    proof = PeerSecurity(secret, config.security_migrating, peer, config.peer_tls_optional)
    return Security(proof, client, admin, gateway)


def _admin_tls(config: Config) -> Tls | None:
    """The HTTP port asks nobody for a certificate: whatever probes a node has none."""
    if not config.admin_tls:
        return None
    return Tls(TlsFiles("client", config.client_cert, config.client_key), alpn=["http/1.1"])


def _gateway_tls(config: Config) -> Tls | None:
    """The gateway asks of its callers what the client port asks of them."""
    if not config.listen_gateway or not config.client_cert:
        return None
    return Tls(_files(config, "client"), alpn=["http/1.1"])


def _files(config: Config, port: str) -> TlsFiles:
    given = {name: getattr(config, f"{port}_{name}") for name in ("cert", "key", "ca", "crl")}
    return TlsFiles(port, **given)


def _tls(config: Config, port: str, node: str = "", alpn: Sequence[str] = ALPN) -> Tls | None:
    if not getattr(config, f"{port}_cert"):
        return None
    tls = Tls(_files(config, port), node, alpn)
    LOG.info("TLS on the %s port: %s", port, _described(tls))
    left = days_left(tls.certificate, time.time_ns() / 1e9)
    if left < DAYS_WARN:
        LOG.warning("%s_cert: expires in %.1f days; renew it", port, left)
    return tls


def _described(tls: Tls) -> str:
    serial = tls.certificate.get("serialNumber", "?")
    return f"certificate {serial}, valid until {valid_until(tls.certificate)} UTC"


def _secret(path: str) -> bytes:
    """White space round it does not count: editors add a line end. Raises SecurityProblem."""
    if not path:
        return b""
    try:
        with open(path, "rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            secret = file.read(SECRET_BYTES_MAX + 1).strip()
    except OSError as error:
        raise SecurityProblem(f"cluster_secret_file: {path}: {error.strerror}") from None
    if mode & 0o027:
        raise SecurityProblem(
            f"cluster_secret_file: {path}: mode {mode:04o} lets others at it; chmod 600 {path}"
        )
    if not SECRET_BYTES_MIN <= len(secret) <= SECRET_BYTES_MAX:
        raise SecurityProblem(
            f"cluster_secret_file: {path}: holds {len(secret)} bytes; expected "
            f"{SECRET_BYTES_MIN} to {SECRET_BYTES_MAX}, as `head -c 32 /dev/urandom | base64` makes"
        )
    return secret
