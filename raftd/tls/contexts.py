"""What TLS files become: `ssl` contexts for our own transport, credentials for gRPC's.

Files are looked at again while the node runs. What is right replaces what was there, for the
connections that are made afterwards; what is wrong is told, and nothing changes.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, cast

import grpc

from raftd.tls.files import TlsFiles, TlsProblem, check_key_is_private, read, reason, rehearse
from raftd.tls.names import node_ids, node_name

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2: forward secrecy and authenticated encryption only. TLS 1.3 has no others."""
ALPN = ["h2"]


def server_context(files: TlsFiles, alpn: Sequence[str] = ALPN) -> ssl.SSLContext:
    """For a port. With `ca`, whoever connects must show a certificate. Raises TlsProblem.

    alpn: the protocols spoken there.
    """
    check_key_is_private(files)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _restrict(context, alpn)
    _load(context, files)
    if files.ca:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(files: TlsFiles) -> ssl.SSLContext:
    """For connections of this side. Without `ca` the system's authorities count.

    Raises TlsProblem.
    """
    check_key_is_private(files)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _restrict(context, ALPN)
    _load(context, files)
    if not files.ca:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    return context


def _restrict(context: ssl.SSLContext, alpn: Sequence[str]) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_ciphers(CIPHERS)
    context.set_alpn_protocols(alpn)


def _load(context: ssl.SSLContext, files: TlsFiles) -> None:
    read(files)  # says which file is missing or is no PEM, which `ssl` does not
    name = ""
    try:
        if files.cert:
            name = "cert"
            context.load_cert_chain(files.cert, files.key or None, password=_no_password)
        if files.ca:
            name = "ca"
            context.load_verify_locations(files.ca)
        if files.crl:
            name = "crl"
            context.load_verify_locations(files.crl)
            context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    except (ssl.SSLError, OSError, ValueError) as error:
        path = getattr(files, name)
        raise TlsProblem(f"{files.named(name)}: {path}: {reason(error)}") from None


def _no_password() -> str:
    """Without it OpenSSL asks the terminal, and a daemon hangs."""
    raise ValueError("the key is encrypted; expected one without a passphrase")


class Tls:
    """The TLS of one port, renewed when its files change. Any thread.

    node: its id, when the port is the one for peers. Both sides then show a certificate of the same
    authority, and this one must hold the node's name (see raftd/tls/names.py).
    """

    def __init__(self, files: TlsFiles, node: str = "", alpn: Sequence[str] = ALPN) -> None:
        """alpn: the protocols that the port speaks. Raises TlsProblem."""
        self._files = files
        self._alpn = alpn
        self._node = node
        self._made = self._make()
        self.generation = 0
        """How often new files have been taken."""

    @property
    def server(self) -> ssl.SSLContext:
        """For the next connection that comes in."""
        return self._made.server

    @property
    def renewing_server(self) -> ssl.SSLContext:
        """For who takes one context for good: each handshake goes on with the newest one."""
        first = server_context(self._files, self._alpn)

        def go_on(connection: ssl.SSLObject, _: str | None, __: ssl.SSLContext) -> None:
            connection.context = self.server

        first.sni_callback = go_on
        return first

    @property
    def client(self) -> ssl.SSLContext:
        """For the next connection that goes out to a peer; check its name by `node_name`."""
        return self._made.client

    @property
    def certificate(self) -> dict[str, Any]:
        """The own certificate, as `ssl.SSLSocket.getpeercert` would give it to the other side."""
        return self._made.certificate

    def renew(self) -> bool:
        """Whether the files have changed and count from now on. Raises TlsProblem: as before."""
        if self._files.stamp() == self._made.stamp:
            return False
        self._made = self._make()
        self.generation += 1
        return True

    def grpc_server(self, told: Callable[[TlsProblem], None]) -> grpc.ServerCredentials:
        """See `grpc_server`."""
        return grpc_server(self._files, told)

    @property
    def grpc_channel(self) -> grpc.ChannelCredentials:
        """For the next channel of gRPC's to a peer."""
        return self._made.channel

    def _make(self) -> _Made:
        files = self._files
        stamp = files.stamp()  # before they are read: a change meanwhile is seen at the next look
        server = server_context(files, self._alpn)
        if self._node:
            client = client_context(files)
            client.check_hostname = False  # for the rehearsal: there is no host yet
            certificate = rehearse(files, server, client)
            client.check_hostname = True
            self._check_node(certificate)
        else:
            client = _trusting(files)
            certificate = rehearse(files, server_context(replace(files, ca="", crl="")), client)
        return _Made(server, client, grpc_channel(files), certificate, stamp)

    def _check_node(self, certificate: dict[str, Any]) -> None:
        if self._node not in node_ids(certificate):
            raise TlsProblem(
                f"{self._files.named('cert')}: {self._files.cert}: not the certificate of node "
                f"{self._node}; expected the DNS name {node_name(self._node)} in it"
            )


class _Made(NamedTuple):
    server: ssl.SSLContext
    client: ssl.SSLContext
    channel: grpc.ChannelCredentials
    certificate: dict[str, Any]
    stamp: object


def _trusting(files: TlsFiles) -> ssl.SSLContext:
    """Takes the own certificate for its authority: only its dates and its key count."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(files.cert)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def grpc_server(files: TlsFiles, told: Callable[[TlsProblem], None]) -> grpc.ServerCredentials:
    """gRPC's own TLS for a port; files that change are used for the next connection.

    told: of files that are wrong, which change nothing; on a thread of gRPC's. Raises TlsProblem.
    gRPC cannot check revocations: files.crl is refused.
    """
    if files.crl:
        raise TlsProblem(
            f"{files.named('crl')}: transport grpcio cannot check it; use transport h2, or "
            "certificates that live for hours"
        )
    last = files.stamp()

    def configuration() -> grpc.ServerCertificateConfiguration:
        found = read(files)
        return grpc.ssl_server_certificate_configuration(
            [(found["key"], found["cert"])], found.get("ca")
        )

    def changed() -> grpc.ServerCertificateConfiguration | None:
        nonlocal last
        stamp = files.stamp()
        if stamp == last:
            return None
        last = stamp
        try:
            server_context(files)
            return configuration()
        except TlsProblem as problem:
            told(problem)
            return None

    server_context(files)
    # Typed as if it always returned one; gRPC takes None for: as before.
    fetch = cast(Callable[[], grpc.ServerCertificateConfiguration], changed)
    return grpc.dynamic_ssl_server_credentials(configuration(), fetch, bool(files.ca))


def grpc_channel(files: TlsFiles) -> grpc.ChannelCredentials:
    """gRPC's own TLS for connections of this side, as the files are now. Raises TlsProblem."""
    found = read(files)
    return grpc.ssl_channel_credentials(found.get("ca"), found.get("key"), found.get("cert"))
