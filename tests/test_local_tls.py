"""`make up TLS=1`: the certificates that it makes are such that nodes and raftctl take them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.certificates import certificates
from harness.nodes import write_configs
from raftd.config import Config
from raftd.embed.security import security_of
from scripts.cluster import Local, _credentials, main


def test_what_make_up_makes_is_accepted(tmp_path: Path) -> None:
    local = Local(tmp_path, 7001)
    assert _credentials(local) == {}
    nodes = [local.node_at(number) for number in (1, 2)]
    settings = certificates(local.tls, nodes)
    assert set(settings) == {
        "peer_cert", "peer_key", "peer_ca", "client_cert", "client_key", "client_ca",
    }  # fmt: skip
    for node in nodes:
        files = {
            name: value.replace("node.", f"{local.tls}/{node.id}.")
            for name, value in settings.items()
        }
        security = security_of(Config(id=node.id, **files))  # type: ignore[arg-type]
        assert set(security.days_left(0)) == {"peer", "client"}
    assert all(os.path.exists(path) for path in _credentials(local).values())


def test_nodes_that_have_nocertificates_are_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    local = Local(tmp_path, 7001)
    write_configs([local.node_at(number) for number in (1, 2, 3)], {})
    assert main(["--directory", str(tmp_path), "--first-port", "7001", "up", "--tls"]) == 1
    assert "have no certificates" in capsys.readouterr().err
