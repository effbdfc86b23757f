"""What `inspect` found, as values, and as lines for people and for scripts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from raftd.storage.identity import IdentityFile


@dataclass(frozen=True, slots=True)
class SegmentReport:
    """One *.wal file. used: to the end of the last good batch. state: sealed, open, torn, damaged.

    first_index, last_index: of the entries written here, overridden ones too; 0 if there are none.
    """

    name: str
    size_bytes: int
    used_bytes: int
    batches: int
    first_sequence: int
    last_sequence: int
    first_index: int
    last_index: int
    state: str
    damage: str = ""


@dataclass(frozen=True, slots=True)
class SnapshotReport:
    """One *.snap file. marked: the log names it as its newest."""

    name: str
    size_bytes: int
    index: int
    term: int
    voters: tuple[str, ...]
    learners: tuple[str, ...]
    sessions_bytes: int
    body_bytes: int
    marked: bool
    damage: str = ""


@dataclass(frozen=True, slots=True)
class LogReport:
    """What a start would recover."""

    term: int
    vote: str | None
    admitted: bool
    records: dict[str, str]
    snapshot_index: int
    snapshot_term: int
    first_index: int
    last_index: int
    last_term: int
    entries: int
    torn_bytes: int
    leftover: str | None


@dataclass(frozen=True, slots=True)
class Report:
    """log: None if a start would refuse; damage: why, one line each, empty if all is well."""

    root: str
    identity: IdentityFile | None
    segments: tuple[SegmentReport, ...]
    snapshots: tuple[SnapshotReport, ...]
    other_files: tuple[str, ...]
    log: LogReport | None
    damage: tuple[str, ...]


def text_lines(report: Report) -> Iterator[str]:
    """For people. What names in it could do to a terminal, or to the lines, is escaped."""
    for line in _text_lines(report):
        yield line if line.isprintable() else "".join(map(_printable, line))


def _printable(character: str) -> str:
    return character if character.isprintable() else repr(character)[1:-1]


def _text_lines(report: Report) -> Iterator[str]:
    yield f"directory {report.root}"
    if report.identity is not None:
        yield f"identity  {_identity_text(report.identity)}"
    log = report.log
    if log is not None:
        peers = " ".join(f"{node}={incarnation}" for node, incarnation in log.records.items())
        yield (
            f"state     term={log.term} vote={log.vote or '-'} admitted={_yes(log.admitted)} "
            f"recorded: {peers or '-'}"
        )
        yield (
            f"log       entries {log.first_index}..{log.last_index} ({log.entries}), last term "
            f"{log.last_term}, snapshot {log.snapshot_index} of term {log.snapshot_term}"
        )
        if log.torn_bytes:
            yield f"tail      {log.torn_bytes} bytes of a write that was never acknowledged"
        if log.leftover:
            yield f"leftover  {log.leftover}: a segment that was being made"
    for item in report.segments:
        yield (
            f"segment   {item.name} {item.state}, {item.used_bytes} of {item.size_bytes} bytes, "
            f"{item.batches} batches ({item.first_sequence}..{item.last_sequence}), "
            f"entries {item.first_index}..{item.last_index}{_because(item.damage)}"
        )
    for one in report.snapshots:
        yield (
            f"snapshot  {one.name} index={one.index} term={one.term} {one.size_bytes} bytes, "
            f"marked={_yes(one.marked)}, voters {','.join(one.voters) or '-'}, "
            f"learners {','.join(one.learners) or '-'}{_because(one.damage)}"
        )
    for name in report.other_files:
        yield f"other     {name}"
    for line in report.damage:
        yield f"DAMAGE    {line}"
    yield "verdict   a start would be refused" if report.damage else "verdict   ok"


def _identity_text(file: IdentityFile) -> str:
    who, founding = file.identity, file.founding
    text = f"cluster={who.cluster} node={who.node} incarnation={who.incarnation}"
    if founding is None:
        return f"{text} first voters: as its settings say"
    return f"{text} first voters: {','.join(founding.voters) or 'none, it joined later'}"


def json_lines(report: Report) -> Iterator[str]:
    """For scripts: one object a line, each with a `kind`."""
    yield json_line("directory", {"root": report.root, "damage": report.damage})
    if report.identity is not None:
        who, founding = report.identity.identity, report.identity.founding
        voters = None if founding is None else founding.voters
        yield json_line("identity", {**asdict(who), "first_voters": voters})
    if report.log is not None:
        yield json_line("log", asdict(report.log))
    for segment in report.segments:
        yield json_line("segment", asdict(segment))
    for snapshot in report.snapshots:
        yield json_line("snapshot", asdict(snapshot))


def json_line(kind: str, values: dict[str, Any]) -> str:
    return json.dumps({"kind": kind, **values})


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _because(damage: str) -> str:
    return f": {damage}" if damage else ""
