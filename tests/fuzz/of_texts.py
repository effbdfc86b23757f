"""Targets: what people write: configuration and histories."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

from raftd.check.history import HistoryError, read
from raftd.check.judge import judge
from raftd.check.operations import Op
from raftd.check.writing import header_line, line_of, notice_line
from raftd.config import SETTINGS, ConfigError, load
from raftd.config.load import Loaded
from raftd.config.render import effective, show
from tests.fuzz.target import Target

STEPS = 2000


class InMemory(type(Path())):  # type: ignore[misc]  # the class of this system's paths
    """A path whose file is `content`."""

    content = b""

    def read_bytes(self) -> bytes:
        return self.content


def _file(data: bytes) -> Path:
    path = InMemory("/etc/raftd/node.yaml")
    path.content = data
    return path


def config_file(data: bytes) -> None:
    """What `raftd config show` prints of it is a file that means the same."""
    _shown_again(load(_file(data), {}, {}, Path("/")))


def config_values(data: bytes) -> None:
    """Lines name=value: as the environment where the name is in capitals, else as flags."""
    text = data.decode("utf-8", "replace")
    pairs = dict(line.partition("=")[::2] for line in text.split("\x01"))
    environ = {f"RAFTD_{name}": value for name, value in pairs.items() if name.isupper()}
    flags = {name: value for name, value in pairs.items() if not name.isupper()}
    _shown_again(load(_file(MINIMAL), environ, flags, Path("/")))


def _shown_again(loaded: Loaded) -> None:
    text = show(loaded)
    try:
        again = load(_file(text.encode()), {}, {}, Path("/"))
    except ConfigError as error:
        raise AssertionError(f"show's own text is refused: {error.lines[0]}") from None
    assert effective(again.config) == effective(loaded.config)
    assert again.config.peers == loaded.config.peers
    for line in loaded.warnings:
        assert line.isprintable(), f"a warning of {line!r}"


def history(data: bytes) -> None:
    """What is read is judged, and says the same when it is written and read again."""
    text = data.decode("utf-8", "replace")
    found = read(io.StringIO(text))
    verdict = judge(found, "auto", STEPS)
    for line in verdict.lines():
        assert line.isprintable(), f"the verdict says {line!r}"
    lines = [header_line(found.revision), *map(line_of, found.ops)]
    again = read([*lines, *map(notice_line, found.watches)])
    assert list(map(_told, again.ops)) == list(map(_told, found.ops))
    assert [replace(one, line=0) for one in again.watches] == [
        replace(one, line=0) for one in found.watches
    ]


def _told(op: Op) -> Op:
    """Without what a line has no place for: its number, and what the judge notes in it."""
    return replace(op, line=0, keys=())


MINIMAL = b"""\
id: a
data_dir: data
peers:
  a: {peer: 127.0.0.1:7001, client: 127.0.0.1:7002}
  b: {peer: "[::1]:7101", client: b.example:7102}
"""
FULL = (
    MINIMAL
    + b"""\
cluster_token: 'a # b: "c"'
heartbeat_interval: 75ms
keep_entries: 17
snapshot_bytes: 1.5MiB
listen_admin: ""
prevote: yes
"""
)
VALUES = b"ID=a\x01HEARTBEAT_INTERVAL=75ms\x01snapshot-bytes=64KiB\x01MACHINE=kv"
PEERS = b"peers=a=h:1/h:2,b=h:3/h:4\x01listen-peer=[::1]:7001\x01prevote=no\x01keep-entries=5"
HISTORY = b"""\
{"format": "raftd-history", "version": 1, "initial": {"revision": 1, "items": [{"key": "a", \
"value": "1", "version": 1, "mod_revision": 1}]}}
{"op": "put", "client": "c1", "key": "lamp", "value": "on", "call": 0.1, "return": 0.4, \
"outcome": "ok", "revision": 2, "version": 1}
{"op": "get", "key": "lamp", "call": 0.2, "return": 0.3, "outcome": "ok", "value": null, \
"revision": 1}
{"op": "cas", "key": {"base64": "bGFtcA=="}, "expect": {"value": "on"}, "value": "off", \
"call": 0.5, "outcome": "unknown"}
"""
MORE = b"""\
{"op":"cas","key":"k","expect":{"version":1},"value":null,"call":1,"return":2,"outcome":"ok",\
"succeeded":false,"current":{"value":"x","version":2,"mod_revision":3},"revision":3}
{"op":"range","prefix":"k","after":"k1","limit":2,"call":1,"return":2,"outcome":"ok",\
"items":[{"key":"k2","value":"x"}],"more":false}
{"op":"batch","operations":[["k","v"],["l",null]],"call":1,"return":2,"outcome":"ok",\
"versions":[1,0],"revision":4}
{"op":"delete","key":"k","call":1,"return":2,"outcome":"ok","deleted":true}
{"op":"put","key":"k","value":"v","call":1,"return":2,"outcome":"fail"}
"""
EVENTS = b"""\
{"event": "call", "id": 1, "op": "put", "key": "lamp", "value": "on"}
{"event": "call", "id": "x", "op": "get", "key": "lamp", "time": 3}
{"event": "return", "id": "x", "outcome": "ok", "value": "on"}
"""
RULES = b"""\
{"op":"grant","lease":9,"ttl":5,"call":1,"return":2,"outcome":"ok"}
{"op":"txn","compare":[{"key":"a","target":"version","is":"=","than":1}],"then":[{"put":"b",\
"value":"2","lease":9},{"delete":"c","prefix":true},{"txn":{"then":[{"get":"b"}]}}],"else":[],\
"call":2,"return":3,"outcome":"ok","succeeded":false,"responses":[],"revision":1}
{"op":"renew","lease":9,"call":4,"return":5,"outcome":"ok","ttl":0}
{"op":"get","key":"a","at":1,"call":5,"return":6,"outcome":"ok","value":null,"revision":1}
{"op":"hold","key":"l","token":7,"call":1,"return":2,"outcome":"ok"}
{"op":"compact","at":3,"call":14,"return":15,"outcome":"ok"}
{"watch":"w","begin":2,"prefix":"","previous":true,"time":0.5}
{"watch":"w","time":1.5,"events":[{"key":"a","revision":2,"previous":null,"item":{"value":"1",\
"version":1,"create_revision":2,"lease":9}}]}
{"watch":"w","time":1.6,"progress":3}
{"watch":"w","time":2.0,"compacted":9}
"""
SETTING_WORDS = tuple(name.encode() for name in SETTINGS)
ODD_VALUES = (b"null", b"~", b"- ", b'"a\\nb"', b"999.9999ms", b"0.07GiB", b"cluster_token=")
NAMES = """
op put get delete cas range batch event call return id time outcome ok fail unknown client revision
key value version mod_revision expect absent base64 succeeded current prefix after limit items more
operations versions deleted format initial raftd-history txn compare then else target is than
succeeded responses grant renew revoke lease ttl existed hold token compact at create_revision watch
begin events progress compacted puts deletes previous item
"""
CHECKED = ("history", "fields", "parts", "notices", "writing", "judge")
LITERALS = (b"null", b"true", b"false", b"Infinity", b"NaN", b"1e999")
HISTORY_WORDS = (*(f'"{name}"'.encode() for name in NAMES.split()), *LITERALS)

TARGETS = (
    Target(
        "config-file",
        config_file,
        (ConfigError,),
        (MINIMAL, FULL),
        ("raftd/config/load.py", "raftd/config/kinds.py", "raftd/config/rules.py"),
        (*SETTING_WORDS, *ODD_VALUES),
    ),
    Target(
        "config-values",
        config_values,
        (ConfigError,),
        (VALUES, PEERS),
        ("raftd/config/kinds.py", "raftd/config/rules.py", "raftd/config/render.py"),
        (*SETTING_WORDS, *ODD_VALUES),
    ),
    Target(
        "history",
        history,
        (HistoryError,),
        (HISTORY, MORE, EVENTS, RULES, HISTORY + MORE),
        tuple(f"raftd/check/{name}.py" for name in CHECKED),
        HISTORY_WORDS,
    ),
)
