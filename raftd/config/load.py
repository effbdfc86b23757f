"""From flags, environment and file to one Config. Precedence: flag > environment > file > default.

Everything is text until its kind has parsed it, so that a value means the same in all three places
(and a node named `no` or `1e3` stays a name). All problems are reported, one line each.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from raftd.config.kinds import PATH, PEERS, Kind, Peer, parse_address, parse_node_id
from raftd.config.profiles import PROFILES
from raftd.config.rules import did_you_mean, problems, warnings
from raftd.config.settings import SETTINGS, Config

ENV_PREFIX = "RAFTD_"
ENV_ELSEWHERE = frozenset({"RAFTD_CONFIG", "RAFTD_SOAK"})
"""Read by the command line and by the tests; not settings."""

FILE_BYTES_MAX = 1 << 20
DEPTH_MAX = 16
"""Three are of use."""


class ConfigError(Exception):
    """The configuration cannot be used. `lines`: one finding each: where, value, expectation."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = [one_line(line) for line in lines]
        super().__init__("\n".join(self.lines))


def one_line(text: str) -> str:
    """Names in a file or in the environment may hold anything; a message stays one line."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


class Origin(NamedTuple):
    """Where a value came from. rank: 0 default, 1 file, 2 environment, 3 flag."""

    rank: int
    text: str


DEFAULT = Origin(0, "default")


@dataclass(frozen=True, slots=True)
class Loaded:
    """A usable configuration, where each value came from, and what its reader should know."""

    config: Config
    origins: Mapping[str, Origin]
    warnings: tuple[str, ...]


def load(
    path: Path | None, environ: Mapping[str, str], flags: Mapping[str, str], cwd: Path
) -> Loaded:
    """Read, merge, check. `flags`: setting name -> text. Relative paths in the file are relative to
    the file, others to `cwd`. Raises ConfigError; touches no file but `path`.
    """
    reader = _Reader()
    if path is not None:
        reader.file(path)
    reader.environment(environ, cwd)
    reader.flags(flags, cwd)
    reader.profile()
    config = dataclasses.replace(Config(), **reader.values)
    faulty = {key for key, _ in reader.faults}
    for key, what in problems(config):
        if key not in faulty:
            reader.faults.append((key, f"{reader.where(key)}: {key}: {what}"))
    if reader.faults:
        raise ConfigError([line for _, line in reader.faults])
    notes = [f"{reader.where(key)}: {key}: {what}" for key, what in warnings(config)]
    return Loaded(config, reader.origins, tuple(map(one_line, reader.notes + notes)))


class _Reader:
    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.origins: dict[str, Origin] = dict.fromkeys(SETTINGS, DEFAULT)
        self.faults: list[tuple[str, str]] = []
        self.notes: list[str] = []
        self._path: Path | None = None

    def where(self, key: str) -> str:
        origin = self.origins.get(key, DEFAULT)
        if origin.rank:
            return origin.text
        return str(self._path) if self._path else "configuration"

    def fault(self, key: str, where: str, what: str) -> None:
        self.faults.append((key, f"{where}: {key}: {what}"))

    # -- file ------------------------------------------------------------------------------

    def file(self, path: Path) -> None:
        self._path = path
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from None
        if len(data) > FILE_BYTES_MAX:
            raise ConfigError([f"{path}: is larger than 1 MiB; expected a configuration file"])
        try:
            text = data.decode("utf-8")
            _check_depth(path, text)
            root = yaml.compose(text, Loader=yaml.CSafeLoader)
        except UnicodeDecodeError:
            raise ConfigError([f"{path}: is not UTF-8 text"]) from None
        except yaml.YAMLError as error:
            raise ConfigError([_yaml_fault(path, error)]) from None
        if root is None:
            return
        if not isinstance(root, yaml.MappingNode):
            raise ConfigError([f"{path}:1: expected `key: value` lines"])
        for name, node in self._pairs(path, root, ""):
            self._file_value(path, name, node)

    def _pairs(
        self, path: Path, node: yaml.MappingNode, inside: str
    ) -> list[tuple[str, yaml.Node]]:
        lines: dict[str, int] = {}
        pairs: list[tuple[str, yaml.Node]] = []
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                self.fault(inside or "key", f"{path}:{line}", "expected a plain word as key")
                continue
            if key.value in lines:
                first = lines[key.value]
                self.fault(
                    f"{inside}{key.value}", f"{path}:{line}", f"is set twice, first in line {first}"
                )
                continue
            lines[key.value] = line
            pairs.append((key.value, value))
        return pairs

    def _file_value(self, path: Path, key: str, node: yaml.Node) -> None:
        where = f"{path}:{node.start_mark.line + 1}"
        name = key.replace("-", "_")
        if name not in SETTINGS:
            self.fault(key, where, f"is no setting{did_you_mean(name, SETTINGS)}")
            return
        row = SETTINGS[name]
        if row.kind is PEERS and isinstance(node, yaml.MappingNode):
            self.origins[name] = Origin(1, where)
            self.values[name] = self._peers(path, node)
        elif isinstance(node, yaml.ScalarNode):
            text = "" if node.tag == "tag:yaml.org,2002:null" else str(node.value)
            self._take(name, text, Origin(1, where), path.parent)
        else:
            self.fault(key, where, row.kind.expected)

    def _peers(self, path: Path, node: yaml.MappingNode) -> dict[str, Peer]:
        peers: dict[str, Peer] = {}
        for name, value in self._pairs(path, node, "peers."):
            key, where = f"peers.{name}", f"{path}:{value.start_mark.line + 1}"
            if not isinstance(value, yaml.MappingNode):
                self.fault(key, where, "expected {peer: host:port, client: host:port}")
                continue
            try:
                parse_node_id(name)
            except ValueError as error:
                self.fault(key, where, f"{name!r}: {error}")
            peers[name] = self._addresses(path, key, value)
        return peers

    def _addresses(self, path: Path, key: str, node: yaml.MappingNode) -> Peer:
        found: dict[str, str] = {}
        for name, value in self._pairs(path, node, f"{key}."):
            full, where = f"{key}.{name}", f"{path}:{value.start_mark.line + 1}"
            if name not in Peer._fields:
                self.fault(full, where, f"is no setting{did_you_mean(name, Peer._fields)}")
                continue
            text = value.value if isinstance(value, yaml.ScalarNode) else ""
            found[name] = text
            try:
                found[name] = parse_address(text)
            except ValueError as error:
                self.fault(full, where, f"{text!r}: {error}")
        for name in Peer._fields:
            if name not in found:
                line = node.start_mark.line + 1
                self.fault(f"{key}.{name}", f"{path}:{line}", "is missing; expected host:port")
        return Peer(found.get("peer", ""), found.get("client", ""))

    # -- environment and flags ---------------------------------------------------------------

    def environment(self, environ: Mapping[str, str], cwd: Path) -> None:
        known = {row.env: row.name for row in SETTINGS.values()}
        for variable in sorted(environ):
            if not variable.startswith(ENV_PREFIX) or variable in ENV_ELSEWHERE:
                continue
            if variable in known:
                self._take(known[variable], environ[variable], Origin(2, variable), cwd)
            elif hint := did_you_mean(variable, known):
                self.faults.append((variable, f"environment: {variable}: is no setting{hint}"))
            else:
                # Not an error: container platforms put variables named after a service there.
                self.notes.append(f"environment: {variable}: is no setting, ignored")

    def flags(self, flags: Mapping[str, str], cwd: Path) -> None:
        for key, text in flags.items():
            name = key.replace("-", "_")
            if name not in SETTINGS:
                self.fault(key, "--set", f"is no setting{did_you_mean(name, SETTINGS)}")
                continue
            self._take(name, text, Origin(3, SETTINGS[name].flag), cwd)

    def profile(self) -> None:
        """What the profile says of whatever has not been set."""
        chosen = self.values.get("profile", SETTINGS["profile"].default)
        for name, value in PROFILES[chosen].items():
            if self.origins[name] is DEFAULT:
                self.values[name] = value
                self.origins[name] = Origin(0, f"profile {chosen}")

    def _take(self, name: str, text: str, origin: Origin, base: Path) -> None:
        kind: Kind = SETTINGS[name].kind
        self.origins[name] = origin
        try:
            value = _absolute(text, base) if kind is PATH and text else kind.parse(text)
        except ValueError as error:
            self.fault(name, origin.text, f"{text!r}: {error}")
            return
        self.values[name] = value


def _absolute(text: str, base: Path) -> str:
    """Raises ValueError."""
    if "\0" in text:
        raise ValueError("expected a path: it has a zero byte")
    try:
        return str((base / Path(text).expanduser()).resolve())
    except (ValueError, RuntimeError, OSError) as error:  # ~nobody, a ring of links
        raise ValueError(f"expected a path: {error}") from None


def _check_depth(path: Path, text: str) -> None:
    """`yaml.compose` recurses in C, without a limit: deep nesting would end the process."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEPTH_MAX:
            raise ConfigError(
                [f"{path}:{_line(event)}: is nested more than {DEPTH_MAX} levels deep"]
            )


def _line(event: yaml.Event) -> int:
    return 0 if event.start_mark is None else event.start_mark.line + 1


def _yaml_fault(path: Path, error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    where = f"{path}:{mark.line + 1}" if mark is not None else str(path)
    what = getattr(error, "problem", None) or str(error).splitlines()[0]
    return f"{where}: is not YAML: {what}"
