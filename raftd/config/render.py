"""The configuration as text: what is in force (`raftd config show`) and the annotated sample."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping

from raftd.config.kinds import PEERS, Peer
from raftd.config.load import Loaded
from raftd.config.rules import listen_address
from raftd.config.settings import SETTINGS, Config, Setting

HEADER = """\
# Every setting of raftd with its default, unit and reason. Only the first group must be set.
# Durations carry a unit (us, ms, s, m, h), sizes too (B, KiB, MiB, GiB). A relative path starts at
# this file's directory. Each setting is also a flag (--heartbeat-interval 50ms) and an environment
# variable (RAFTD_HEARTBEAT_INTERVAL=50ms): flag > environment > file > default.
# This file is written by `raftd config sample`.
"""

_PLAIN = re.compile(r"[A-Za-z0-9_/.][A-Za-z0-9_/.:-]*(?<!:)")

SAMPLE_VALUES: dict[str, str] = {"id": "a", "data_dir": "data/a"}
SAMPLE_PEERS = {
    "a": Peer("127.0.0.1:7001", "127.0.0.1:7002"),
    "b": Peer("127.0.0.1:7101", "127.0.0.1:7102"),
    "c": Peer("127.0.0.1:7201", "127.0.0.1:7202"),
}


def effective(config: Config) -> dict[str, str]:
    """Setting -> value in force, as text; derived addresses filled in."""
    shown = {name: row.kind.render(getattr(config, name)) for name, row in SETTINGS.items()}
    for name in ("listen_peer", "listen_client"):
        shown[name] = listen_address(config, name)
    return shown


def show(loaded: Loaded) -> str:
    """What is in force and where it came from; itself a configuration file."""
    values = effective(loaded.config)
    lines: list[str] = []
    for name, row in SETTINGS.items():
        origin = loaded.origins[name].text
        if row.kind is PEERS:
            lines += [f"{name}:  # {origin}", *_peer_lines(loaded.config.peers)]
        else:
            lines.append(f"{name + ': ' + _scalar(values[name]):<48} # {origin}")
    return "\n".join(lines) + "\n"


def sample() -> str:
    """The text of config/sample.yaml."""
    lines = [HEADER]
    group = ""
    for row in SETTINGS.values():
        if row.group != group:
            group = row.group
            lines += ["", f"# --- {group} ---"]
        lines += ["", *_reason(row), *_sample_value(row)]
    return "\n".join(lines).replace("\n\n\n", "\n\n") + "\n"


def _reason(row: Setting) -> Iterator[str]:
    bounds = _bounds(row)
    text = f"{row.why} ({row.kind.name}{bounds})"
    for line in textwrap.wrap(text, width=96, break_long_words=False, break_on_hyphens=False):
        yield f"# {line}"


def _bounds(row: Setting) -> str:
    def text(value: float) -> str:
        return row.kind.render(value if row.kind.name == "duration" else int(value))

    if row.low is not None and row.high is not None:
        return f", {text(row.low)} to {text(row.high)}"
    if row.low is not None:
        return f", at least {text(row.low)}"
    if row.high is not None:
        return f", at most {text(row.high)}"
    return ""


def _sample_value(row: Setting) -> Iterator[str]:
    if row.kind is PEERS:
        yield f"{row.name}:"
        yield from _peer_lines(SAMPLE_PEERS)
    elif row.name in SAMPLE_VALUES:
        yield f"{row.name}: {_scalar(SAMPLE_VALUES[row.name])}"
    else:
        yield f"# {row.name}: {_scalar(row.kind.render(row.default))}"


def _peer_lines(peers: Mapping[str, Peer]) -> list[str]:
    return [
        f"  {_scalar(node)}: {{peer: {_scalar(at.peer)}, client: {_scalar(at.client)}}}"
        for node, at in peers.items()
    ]


def _scalar(text: str) -> str:
    """As YAML reads it back: plain where that is beyond doubt."""
    if _PLAIN.fullmatch(text) and text.lower() != "null":
        return text
    return '"' + "".join(map(_quoted, text)) + '"'


def _quoted(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    return character if character.isprintable() else f"\\U{ord(character):08x}"
