"""Configuration: precedence, kinds, and errors that name file, line, key, value and expectation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from raftd.config import SETTINGS, ConfigError, Loaded, Peer, load
from raftd.config.render import sample, show
from raftd.core.types import Settings as CoreSettings
from raftd.node.settings import NodeSettings

ROOT = Path(__file__).resolve().parents[1]

GOOD = """\
id: a
data_dir: data
peers:
  a: {peer: 127.0.0.1:7001, client: 127.0.0.1:7002}
  b: {peer: 127.0.0.1:7101, client: 127.0.0.1:7102}
  c: {peer: 127.0.0.1:7201, client: 127.0.0.1:7202}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "node.yaml"
    path.write_text(GOOD)
    return path


def read(
    path: Path, env: Mapping[str, str] | None = None, flags: Mapping[str, str] | None = None
) -> Loaded:
    return load(path, env or {}, flags or {}, path.parent)


def fails(path: Path, text: str) -> list[str]:
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read(path)
    return [line.replace(f"{path.parent}/", "") for line in caught.value.lines]


def test_minimal_file(file: Path) -> None:
    config = read(file).config
    assert config.id == "a"
    assert config.data_dir == str(file.parent / "data")
    assert config.peers["b"] == Peer("127.0.0.1:7101", "127.0.0.1:7102")
    # A bare core compares no states: its driver may know no machine. A bare node holds no call.
    assert config.core() == replace(CoreSettings(), state_check_interval=4.0)
    assert config.node() == replace(NodeSettings(), leader_wait_seconds=0.1, gather_seconds=0.005)


def test_flag_beats_environment_beats_file_beats_default(file: Path) -> None:
    file.write_text(GOOD + "heartbeat_interval: 20ms\n")
    env = {"RAFTD_HEARTBEAT_INTERVAL": "30ms"}
    assert read(file).config.heartbeat_interval == 0.020
    assert read(file, env).config.heartbeat_interval == 0.030
    loaded = read(file, env, {"heartbeat-interval": "40ms"})
    assert loaded.config.heartbeat_interval == 0.040
    assert loaded.origins["heartbeat_interval"].text == "--heartbeat-interval"
    assert loaded.origins["prevote"].text == "default"
    assert loaded.config.core().heartbeat_interval == 0.040


def test_everything_from_flags_alone(tmp_path: Path) -> None:
    flags = {"id": "n1", "data_dir": "d", "peers": "n1=127.0.0.1:1/127.0.0.1:2"}
    config = load(None, {}, flags, tmp_path).config
    assert config.peers == {"n1": Peer("127.0.0.1:1", "127.0.0.1:2")}
    assert config.data_dir == str(tmp_path / "d")


def test_names_that_yaml_would_turn_into_something_else(file: Path) -> None:
    file.write_text(
        "id: no\ndata_dir: 1e3\npeers:\n"
        "  no: {peer: h:1, client: h:2}\n"
        "  1e3: {peer: h:3, client: h:4}\n"
        "  07: {peer: h:5, client: h:6}\n"
    )
    assert list(read(file).config.peers) == ["no", "1e3", "07"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            GOOD + "hartbeat_interval: 5ms\n",
            ["node.yaml:7: hartbeat_interval: is no setting; did you mean heartbeat_interval?"],
        ),
        (
            GOOD + "heartbeat_interval: 75\n",
            [
                "node.yaml:7: heartbeat_interval: '75': "
                "expected a duration with its unit, such as 150ms, 10s or 2m"
            ],
        ),
        (
            GOOD + "segment_bytes: lots\nprevote: maybe\n",
            [
                "node.yaml:7: segment_bytes: 'lots': "
                "expected a size such as 1.5MiB, 64KiB or a number of bytes",
                "node.yaml:8: prevote: 'maybe': expected true or false",
            ],
        ),
        (GOOD + "id: b\n", ["node.yaml:7: id: is set twice, first in line 1"]),
        (
            GOOD + "  a: {peer: h:1, client: h:2}\n",
            ["node.yaml:7: peers.a: is set twice, first in line 4"],
        ),
        (
            GOOD.replace("id: a", "id: aa"),
            ["node.yaml:1: id: 'aa' is not among peers (a, b, c); did you mean a?"],
        ),
        (
            GOOD.replace("127.0.0.1:7101", "127.0.0.1"),
            [
                "node.yaml:5: peers.b.peer: '127.0.0.1': "
                "expected host:port, such as 127.0.0.1:7001 or [::1]:7001"
            ],
        ),
        (
            GOOD.replace("client: 127.0.0.1:7102", "cleint: 127.0.0.1:7102"),
            [
                "node.yaml:5: peers.b.cleint: is no setting; did you mean client?",
                "node.yaml:5: peers.b.client: is missing; expected host:port",
            ],
        ),
        (
            GOOD.replace("7201", "7001"),
            [
                "node.yaml:4: peers: c.peer: '127.0.0.1:7001' is also a.peer; "
                "expected every address once"
            ],
        ),
        (
            GOOD.replace("127.0.0.1:7201", "0.0.0.0:7201"),
            [
                "node.yaml:4: peers: c.peer: '0.0.0.0:7201' is no address that others can reach; "
                "expected one that is, and this one in listen_peer"
            ],
        ),
        (
            GOOD + "election_timeout_min: 300ms\n",
            [
                "node.yaml:7: election_timeout_min: '300ms': "
                "expected at least 5 x heartbeat_interval = 500ms"
            ],
        ),
        (
            GOOD + "log_memory_limit: 600MiB\n",
            [
                "node.yaml:7: log_memory_limit: '600MiB': expected at least pin_bytes_max + "
                "snapshot_bytes = 768MiB, or one follower that receives a snapshot keeps the log "
                "so long that commands are refused"
            ],
        ),
        (
            GOOD + "log_memory_limit: 64MiB\n",
            [
                "node.yaml:7: log_memory_limit: '64MiB': expected at least snapshot_bytes + "
                "keep_bytes = 320MiB, or commands are refused before a snapshot makes room"
            ],
        ),
        (
            GOOD + "listen_admin: 127.0.0.1:7002\n",
            [
                "node.yaml:7: listen_admin: '127.0.0.1:7002' is also listen_client; "
                "expected different ports"
            ],
        ),
        (
            GOOD + "machine: counter\n",
            [
                "node.yaml:7: machine: 'counter': "
                "expected kv, or module:Class of your own state machine"
            ],
        ),
        (
            GOOD + "batch_entries_max: 0\n",
            ["node.yaml:7: batch_entries_max: '0': expected at least 1"],
        ),
        (
            GOOD + 'cluster_token: t\n"two\\nlines": 1\n',
            ["node.yaml:8: two\\nlines: is no setting"],
        ),
        (
            GOOD + f"snapshot_bytes: {'9' * 19}\n",
            [
                f"node.yaml:7: snapshot_bytes: '{'9' * 19}': "
                "expected a size such as 1.5MiB, 64KiB or a number of bytes"
            ],
        ),
        (
            GOOD + 'machine_path: "a\\0b"\n',
            ["node.yaml:7: machine_path: 'a\\x00b': expected a path: it has a zero byte"],
        ),
        (
            GOOD + "machine_path: ~nobody-of-that-name/x\n",
            [
                "node.yaml:7: machine_path: '~nobody-of-that-name/x': "
                "expected a path: Could not determine home directory."
            ],
        ),
        ("- " * 100_000, ["node.yaml:1: is nested more than 16 levels deep"]),
        ("- a\n", ["node.yaml:1: expected `key: value` lines"]),
        ("id: [a\n", ["node.yaml:2: is not YAML: did not find expected ',' or ']'"]),
    ],
)
def test_one_line_for_each_mistake(file: Path, text: str, expected: list[str]) -> None:
    assert fails(file, text) == expected


def test_what_is_missing_is_said(file: Path) -> None:
    lines = fails(file, "")
    assert [line.split(":")[1].strip() for line in lines] == ["id", "data_dir", "peers"]


def test_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere.yaml: cannot be read: No such file"):
        read(tmp_path / "nowhere.yaml")


def test_wrong_environment_names_the_variable(file: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read(file, {"RAFTD_STOP_GRACE": "soon", "RAFTD_PREVOET": "true"})
    assert caught.value.lines == [
        "environment: RAFTD_PREVOET: is no setting; did you mean RAFTD_PREVOTE?",
        "RAFTD_STOP_GRACE: stop_grace: 'soon': "
        "expected a duration with its unit, such as 150ms, 10s or 2m",
    ]


def test_foreign_environment_is_only_noted(file: Path) -> None:
    loaded = read(file, {"RAFTD_PORT_7001_TCP_ADDR": "10.0.0.1"})
    assert loaded.warnings == ("environment: RAFTD_PORT_7001_TCP_ADDR: is no setting, ignored",)


def test_wrong_flag_is_named(file: Path) -> None:
    with pytest.raises(ConfigError, match="log_lvl: is no setting; did you mean log_level"):
        read(file, flags={"log_lvl": "debug"})


def test_even_numbers_and_open_ports_are_warned_of(file: Path) -> None:
    file.write_text(
        "id: a\ndata_dir: d\nlisten_peer: 0.0.0.0:7001\npeers:\n"
        "  a: {peer: node-a:7001, client: 127.0.0.1:7002}\n"
        "  b: {peer: node-b:7001, client: node-b:7002}\n"
    )
    first, second = read(file).warnings
    assert "2 voters tolerate no more failures than 1" in first
    assert "0.0.0.0:7001 can be reached from other machines, and there is no TLS" in second


def test_show_can_be_read_back(file: Path, tmp_path: Path) -> None:
    file.write_text(GOOD + "keep_entries: 17\ncluster_token: 'a # b: \"c\"'\n")
    loaded = read(file, {"RAFTD_STOP_GRACE": "7s"})
    text = show(loaded)
    assert "keep_entries: 17" in text
    assert "# RAFTD_STOP_GRACE" in text
    again = tmp_path / "again.yaml"
    again.write_text(text)
    first, second = loaded.config, read(again).config
    for name in SETTINGS:
        if not name.startswith("listen_"):  # shown as derived
            assert getattr(first, name) == getattr(second, name), name


def test_sample_file_is_what_the_table_says() -> None:
    """`raftd config sample > config/sample.yaml` after a change of the table."""
    assert (ROOT / "config/sample.yaml").read_text() == sample()


def test_sample_holds_every_setting_and_its_defaults(tmp_path: Path) -> None:
    lines = []
    for line in sample().splitlines():
        bare = line.removeprefix("# ")
        key = bare.partition(":")[0]
        lines.append(bare if key in SETTINGS else line)
    path = tmp_path / "sample.yaml"
    path.write_text("\n".join(lines))
    assert set(yaml.safe_load(path.read_text())) == set(SETTINGS)
    config = read(path).config
    for name, row in SETTINGS.items():
        if name not in ("id", "data_dir", "peers"):
            assert getattr(config, name) == row.default, name


def test_defaults_survive_being_written_and_read() -> None:
    for name, row in SETTINGS.items():
        if name != "id":
            assert row.kind.parse(row.kind.render(row.default)) == row.default, name
