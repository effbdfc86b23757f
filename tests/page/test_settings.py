"""The page's settings, and where a node finds the others' HTTP ports."""

from __future__ import annotations

from pathlib import Path

import pytest

from raftd.config import Config, ConfigError, load
from raftd.config.rules import page_nodes

TEXT = """\
id: a
data_dir: data
page: true
peers:
  a: {peer: "10.0.0.1:7001", client: "10.0.0.1:7002"}
  b: {peer: "10.0.0.2:7001", client: "10.0.0.2:7002"}
  c: {peer: "[::1]:7001", client: "[::1]:7002"}
"""


def read(directory: Path, more: str) -> Config:
    path = directory / "node.yaml"
    path.write_text(TEXT + more)
    return load(path, {}, {}, directory).config


def test_without_more_words_the_hosts_are_those_of_the_peers(tmp_path: Path) -> None:
    config = read(tmp_path, "listen_admin: 0.0.0.0:7777\n")
    assert config.node().film
    assert page_nodes(config) == {"a": "10.0.0.1:7777", "b": "10.0.0.2:7777", "c": "[::1]:7777"}
    given = read(tmp_path, "page_nodes: a=127.0.0.1:1, b=[::1]:2\n")
    assert page_nodes(given) == {"a": "127.0.0.1:1", "b": "[::1]:2"}


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ('listen_admin: ""\n', "page: true: expected listen_admin to be set"),
        ("admin_tls: true\n", "page: true: expected admin_tls: false"),
        ("page_nodes: a\n", "expected id=host:port, separated by commas"),
        ("page_nodes: a=x:1,a=y:2\n", "a is there twice"),
        ("page_nodes: a=x\n", "expected host:port"),
    ],
)
def test_what_cannot_work_is_said_in_a_line(tmp_path: Path, more: str, line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, more)
    assert any(line in found for found in caught.value.lines), caught.value.lines
