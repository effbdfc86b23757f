"""The node's secret and certificates: each file that cannot be used is one line with its reason."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from raftd.config import Config
from raftd.config.rules import problems
from raftd.embed.security import SecurityProblem, security_of
from tests.tls.made import authority, node_files


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_bytes(b"0123456789abcdef\n")
    path.chmod(0o600)
    return path


def test_a_line_end_does_not_count(secret: Path) -> None:
    found = security_of(Config(cluster_secret_file=str(secret)))
    assert found.peers.secret == b"0123456789abcdef"
    assert found.peers.tls is found.client is None


def test_what_cannot_be_a_secret_is_refused(secret: Path) -> None:
    config = Config(cluster_secret_file=str(secret))
    secret.write_bytes(b"too short\n")
    with pytest.raises(SecurityProblem, match="holds 9 bytes; expected 16"):
        security_of(config)
    secret.write_bytes(b"0123456789abcdef")
    secret.chmod(0o644)
    with pytest.raises(SecurityProblem, match="chmod 600"):
        security_of(config)
    secret.unlink()
    with pytest.raises(SecurityProblem, match=r"cluster_secret_file: .*No such file"):
        security_of(config)


def test_certificates_of_a_node_are_watched(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    authority(tmp_path)
    files = node_files(tmp_path, "n1")
    config = Config(
        id="n1",
        peer_cert=files.cert,
        peer_key=files.key,
        peer_ca=files.ca,
        client_cert=files.cert,
        client_key=files.key,
        admin_tls=True,
    )
    security = security_of(config)
    assert "peer_cert: expires in 1.0 days; renew it" in caplog.text
    assert set(security.days_left(0)) == {"peer", "client"}
    caplog.clear()
    security.renew()
    assert caplog.text == ""
    Path(files.cert).write_bytes(b"broken")
    security.renew()
    assert "nothing is changed: peer_cert" in caplog.text
    with pytest.raises(SecurityProblem, match="expected a PEM file"):
        security_of(config)


def test_a_certificate_that_ends_while_the_node_runs_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority(tmp_path)
    files = node_files(tmp_path, "n1")
    security = security_of(
        Config(id="n1", peer_cert=files.cert, peer_key=files.key, peer_ca=files.ca)
    )
    assert list(security.ailments()) == []
    now = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now + 3 * 86_400 * 10**9)
    (found,) = security.ailments()
    assert found.text.startswith("peer_cert: the certificate has expired, 2 days ago")


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"peer_cert": "c"}, ("peer_key", "is missing; expected a file, as peer_cert is set")),
        ({"client_key": "k"}, ("client_cert", "is missing; expected a file, as client_key is set")),
        ({"peer_cert": "c", "peer_key": "k"}, ("peer_ca", "is missing")),
        ({"client_ca": "a"}, ("client_ca", "is set without client_cert")),
        (
            {"client_cert": "c", "client_key": "k", "client_crl": "r"},
            ("client_crl", "without client_ca"),
        ),
        ({"admin_tls": True}, ("admin_tls", "expected a client_cert")),
        ({"peer_tls_optional": True}, ("peer_tls_optional", "expected a peer_cert to migrate to")),
        ({"client_tls_optional": True}, ("client_tls_optional", "expected a client_cert")),
        ({"security_migrating": True}, ("security_migrating", "expected a cluster_secret_file")),
    ],
)
def test_what_does_not_go_together_is_said(given: dict[str, object], line: tuple[str, str]) -> None:
    found = dict(problems(Config(**given)))  # type: ignore[arg-type]
    assert line[1] in found[line[0]]
