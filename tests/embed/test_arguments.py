"""What a program hands in by mistake is named in one line, before anything starts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from examples.counter import Counter
from raftd.config import Config, ConfigError, Peer
from raftd.embed import RaftNode

PEERS = {"n1": Peer("127.0.0.1:1", "127.0.0.1:2")}


class Half:
    def apply(self, command: bytes) -> bytes:
        return command


def configured(**given: Any) -> Callable[[Path], object]:
    def make(base: Path) -> object:
        config = Config(**{"id": "n1", "data_dir": str(base), "peers": PEERS, **given})
        return RaftNode(config, Counter())

    return make


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (configured(peers="n1"), r"^peers: 'n1': expected a dict of ids, and a Peer for each$"),
        (configured(peers={"n1": "h:1"}), r"^peers: n1: 'h:1': expected Peer\(peer, client\)"),
        (configured(peers={"n1": Peer("h", "h:2")}), r"^peers: n1.peer: 'h': expected host:port$"),
        (configured(peers={"n1": Peer(b"h:1", "h:2")}), r"^peers: n1.peer: b'h:1': expected "),  # type: ignore[arg-type]
        (configured(peers={"n1": Peer("h:1", "h:x")}), r"^peers: n1.client: 'h:x': expected host:"),
        (configured(heartbeat_interval="75ms"), r"^heartbeat_interval: '75ms': expected seconds"),
        (configured(segment_bytes=2e6), r"^segment_bytes: 2000000.0: expected bytes, as a whole"),
        (configured(batch_entries_max="9"), r"^batch_entries_max: '9': expected a whole number$"),
        (configured(page="yes"), r"^page: 'yes': expected True or False$"),
        (configured(stop_grace=True), r"^stop_grace: True: expected seconds"),
    ],
)
def test_a_configuration_of_the_wrong_types(
    make: Callable[[Path], object], said: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=said) as told:
        make(tmp_path / "never")
    assert len(told.value.lines) == 1
    assert not (tmp_path / "never").exists()


def test_a_machine_that_is_none(tmp_path: Path) -> None:
    config = Config(id="n1", data_dir=str(tmp_path / "never"), peers=PEERS)
    wrong: list[tuple[Any, Any, str]] = [
        (config, Counter, r"^machine: Counter is a class: expected an object of it, Counter\(\)$"),
        (config, Half(), r"^machine: Half has no query, capture, restore "),
        ("node.yaml", Counter(), r"^config: 'node.yaml': expected a raftd.config.Config; "),
    ]
    for given, machine, said in wrong:
        with pytest.raises(TypeError, match=said):
            RaftNode(given, machine)
    assert not (tmp_path / "never").exists()


def test_commands_and_requests_are_bytes(tmp_path: Path) -> None:
    node: Any = RaftNode(Config(id="n1", data_dir=str(tmp_path), peers=PEERS), Counter())
    with pytest.raises(TypeError, match=r"^command: expected bytes, not str$"):
        node.submit("up")
    with pytest.raises(TypeError, match=r"^request: expected bytes, not NoneType$"):
        node.query(None)
