"""TLS files: each mistake is one line that names setting, file and reason; good ones connect."""

from __future__ import annotations

import datetime
import os
import shutil
import ssl
import warnings
from collections.abc import Callable
from concurrent import futures
from dataclasses import replace
from pathlib import Path

import grpc
import pytest

from raftd.tls.certs import Authority, CertsProblem
from raftd.tls.contexts import Tls, client_context, grpc_channel, grpc_server, server_context
from raftd.tls.files import TlsFiles, TlsProblem, days_left, rehearse
from raftd.tls.names import common_name, node_ids, node_name, speaks_for
from tests.tls.made import authority, files_of, node_files, now

Break = Callable[[Path], TlsFiles]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    authority(tmp_path)
    node_files(tmp_path, "n1")
    return tmp_path


def test_a_node_shows_its_name_and_its_days(home: Path) -> None:
    tls = Tls(files_of(home, "n1"), node="n1")
    assert node_ids(tls.certificate) == ["n1"]
    assert common_name(tls.certificate) == "n1"
    assert 0.9 < days_left(tls.certificate, now().timestamp()) <= 1


def missing(home: Path) -> TlsFiles:
    os.remove(home / "n1.crt")
    return files_of(home, "n1")


def no_pem(home: Path) -> TlsFiles:
    (home / "ca.crt").write_bytes(b"hello")
    return files_of(home, "n1")


def open_to_all(home: Path) -> TlsFiles:
    os.chmod(home / "n1.key", 0o644)
    return files_of(home, "n1")


def other_key(home: Path) -> TlsFiles:
    node_files(home, "n2")
    return replace(files_of(home, "n1"), key=str(home / "n2.key"))


def other_node(home: Path) -> TlsFiles:
    return node_files(home, "n2")


def other_authority(home: Path) -> TlsFiles:
    return node_files(home, "x", signed_by=authority(home / "elsewhere"))


def expired(home: Path) -> TlsFiles:
    return node_files(home, "old", life=-datetime.timedelta(seconds=1))


def revoked(home: Path) -> TlsFiles:
    Authority.load(home).revoke(home, ["n1"], now())
    return replace(files_of(home, "n1"), crl=str(home / "ca.crl"))


@pytest.mark.parametrize(
    ("broken", "setting", "words"),
    [
        (missing, "peer_cert", "No such file"),
        (no_pem, "peer_ca", "expected a PEM file"),
        (open_to_all, "peer_key", "chmod 600"),
        (other_key, "peer_cert", "do not belong together"),
        (other_node, "peer_cert", "not the certificate of node n1"),
        (other_authority, "peer_cert", "not signed by the authority"),
        (expired, "peer_cert", "has expired"),
        (revoked, "peer_cert", "has been revoked"),
    ],
)
def test_each_mistake_is_one_line(home: Path, broken: Break, setting: str, words: str) -> None:
    files = broken(home)
    with pytest.raises(TlsProblem, match=words) as caught:
        Tls(files, node="n1")
    line = str(caught.value)
    assert line.startswith(f"{setting}: {home}"), line
    assert "\n" not in line


def test_a_client_port_is_content_with_a_certificate_of_any_authority(home: Path) -> None:
    files = replace(files_of(home, "n1", "client"), ca="")
    assert Tls(files).server.verify_mode is ssl.CERT_NONE
    node_files(home, "old", life=-datetime.timedelta(seconds=1))
    with pytest.raises(TlsProblem, match=r"client_cert: .*expired"):
        Tls(replace(files_of(home, "old", "client"), ca=""))


def test_new_files_count_from_the_next_look_and_wrong_ones_change_nothing(home: Path) -> None:
    files = files_of(home, "n1")
    tls = Tls(files, node="n1")
    first, server = tls.certificate["serialNumber"], tls.server
    assert not tls.renew()
    good = [(home / name).read_bytes() for name in ("n1.crt", "n1.key")]
    (home / "n1.crt").write_bytes(b"half a fi")
    with pytest.raises(TlsProblem):
        tls.renew()
    assert tls.server is server
    (home / "n1.crt").write_bytes(good[0])
    for name in ("n1.crt", "n1.key"):
        os.remove(home / name)
    node_files(home, "n1")
    assert tls.renew()
    assert tls.certificate["serialNumber"] != first
    assert tls.server is not server


def test_only_the_authoritys_nodes_are_let_in(home: Path) -> None:
    server = server_context(files_of(home, "n1"))
    stranger = other_authority(home)
    trusting = replace(stranger, ca=str(home / "ca.crt"))
    context = client_context(trusting)
    context.check_hostname = False
    with pytest.raises(TlsProblem):
        rehearse(trusting, server, context)


def test_old_versions_of_tls_are_not_spoken(home: Path) -> None:
    server = server_context(replace(files_of(home, "n1"), ca=""))
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname = False
    old.verify_mode = ssl.CERT_NONE
    with warnings.catch_warnings(action="ignore"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
        old.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.raises(TlsProblem):
        rehearse(files_of(home, "n1"), server, old)


def test_a_client_that_is_strict_takes_what_certs_makes(home: Path) -> None:
    """Python 3.13's default: a certificate names the key that signed it, and so does a list of
    those that were revoked.
    """
    Authority.load(home).revoke(home, [], now())
    files = replace(files_of(home, "n1"), crl=str(home / "ca.crl"))
    context = client_context(files)
    context.check_hostname = False
    assert context.verify_flags & ssl.VERIFY_CRL_CHECK_LEAF
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    rehearse(files, server_context(files), context)


def test_names() -> None:
    assert node_name("n1") == "n1.node.raftd"
    assert speaks_for(["localhost", "n1.node.raftd", "node.raftd"]) == ["n1"]


def test_certs_replaces_nothing(home: Path) -> None:
    before = (home / "n1.key").read_bytes()
    with pytest.raises(CertsProblem, match=r"n1\.key: is there already"):
        node_files(home, "n1")
    with pytest.raises(CertsProblem, match=r"ca\.key: is there already"):
        authority(home)
    assert (home / "n1.key").read_bytes() == before
    assert (home / "n1.key").stat().st_mode & 0o777 == 0o600


class Grpc:
    """A port of gRPC's with one method that answers with its caller's names."""

    def __init__(self, files: TlsFiles) -> None:
        self.told: list[TlsProblem] = []
        self._server = grpc.server(futures.ThreadPoolExecutor(2))

        def who(_: bytes, context: grpc.ServicerContext) -> bytes:
            names: list[bytes] = context.auth_context().get("x509_subject_alternative_name", [])  # type: ignore[assignment]
            return b" ".join(names)

        handler = grpc.method_handlers_generic_handler(
            "test", {"Who": grpc.unary_unary_rpc_method_handler(who)}
        )
        self._server.add_generic_rpc_handlers((handler,))
        credentials = grpc_server(files, self.told.append)
        self.port = self._server.add_secure_port("127.0.0.1:0", credentials)
        self._server.start()

    def ask(self, files: TlsFiles, name: str) -> bytes:
        options = [("grpc.ssl_target_name_override", name)]
        with grpc.secure_channel(f"127.0.0.1:{self.port}", grpc_channel(files), options) as channel:
            call: Callable[..., bytes] = channel.unary_unary("/test/Who")
            return call(b"", timeout=10)

    def close(self) -> None:
        self._server.stop(None).wait()


def test_grpc_lets_in_who_is_signed_and_takes_new_files(home: Path) -> None:
    files, other = files_of(home, "n1"), node_files(home, "n2")
    server = Grpc(files)
    try:
        assert b"n2.node.raftd" in server.ask(other, "n1.node.raftd")
        with pytest.raises(grpc.RpcError):
            server.ask(other, "n3.node.raftd")
        with pytest.raises(grpc.RpcError):
            server.ask(replace(other, cert="", key=""), "n1.node.raftd")
        node_files(home, "n3")
        for end in ("crt", "key"):
            shutil.copy(home / f"n3.{end}", home / f"n1.{end}")
        assert b"n2.node.raftd" in server.ask(other, "n3.node.raftd")
        (home / "n1.crt").write_bytes(b"broken")
        assert b"n2.node.raftd" in server.ask(other, "n3.node.raftd")
        assert "peer_cert" in str(server.told[0])
    finally:
        server.close()


def test_grpc_cannot_revoke_and_says_so(home: Path) -> None:
    with pytest.raises(TlsProblem, match="peer_crl: transport grpcio cannot check it"):
        grpc_server(replace(files_of(home, "n1"), crl=str(home / "ca.crl")), print)
