"""The canonical one-line form of messages, effects and entries.

For traces and golden conversations, and for what tools print of a log.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from raftd.core.configuration_format import decode_configuration
from raftd.core.effects import Event
from raftd.core.messages import (
    AppendReply,
    AppendRequest,
    HelloReply,
    HelloRequest,
    NotAdmitted,
    ReadIndexReply,
    ReadIndexRequest,
    SnapshotReply,
    SnapshotRequest,
    TimeoutNowReply,
    TimeoutNowRequest,
    VoteReply,
    VoteRequest,
)
from raftd.core.types import Entry, EntryType, SnapshotMeta, Write

_SHOWN_BYTES = 16


def payload(data: bytes) -> str:
    """Printable bytes as they are, others as hex; long ones cut."""
    head = data[:_SHOWN_BYTES]
    text = (
        head.decode("ascii")
        if head.isascii() and head.decode("ascii").isprintable()
        else head.hex()
    )
    return f'"{text}"' if len(data) <= _SHOWN_BYTES else f'"{text}"+{len(data) - _SHOWN_BYTES}'


def entry(item: Entry) -> str:
    """`index/term` and what it holds."""
    if item.type is EntryType.NOOP:
        return f"{item.index}/{item.term} noop"
    if item.type is EntryType.CONFIGURATION:
        return f"{item.index}/{item.term} configuration {configuration(item.payload)}"
    return f"{item.index}/{item.term} {payload(item.payload)}"


def configuration(data: bytes) -> str:
    """Who votes and who learns, as a CONFIGURATION entry says it; damaged ones as bytes."""
    try:
        return str(decode_configuration(data))
    except ValueError:
        return payload(data)


def entries(items: Iterable[Entry]) -> str:
    """A list of them in brackets."""
    return "[" + ", ".join(entry(item) for item in items) + "]"


def meta(item: SnapshotMeta) -> str:
    """A snapshot: `index/term` and its voters."""
    return f"snapshot {item.index}/{item.term} of {','.join(item.configuration.voters)}"


def _records(items: tuple[tuple[str, str], ...]) -> str:
    return ",".join(f"{node}={incarnation}" for node, incarnation in items) or "-"


def _vote(m: VoteRequest) -> str:
    name = "PreVote" if m.pre else "Vote"
    return (
        f"{name} term={m.term} last={m.last_index}/{m.last_term}{' transfer' if m.transfer else ''}"
    )


def _vote_reply(m: VoteReply) -> str:
    name = "PreVoteReply" if m.pre else "VoteReply"
    return f"{name} term={m.term} {'granted' if m.granted else 'refused'}"


def _append(m: AppendRequest) -> str:
    head = f"term={m.term} prev={m.prev_index}/{m.prev_term} commit={m.commit} #{m.number}"
    head += f" mark={m.mark.index}" if m.mark else ""
    if m.verdict is not None and m.verdict.differing:
        head += " differing=" + ",".join(node for node, _ in m.verdict.differing)
    return f"Append {head} {entries(m.entries)}" if not m.is_heartbeat else f"Heartbeat {head}"


def _append_reply(m: AppendReply) -> str:
    conflict = "" if m.ok else f" conflict={m.conflict_index}/{m.conflict_term}"
    head = f"AppendReply term={m.term} {'ok' if m.ok else 'no'}"
    of_itself = (" unfit" if m.unfit else "") + (f" room={m.room.name}" if m.room else "")
    digest = f" digest at {m.digest.mark.index}" if m.digest else ""
    return f"{head} durable={m.durable}{conflict}{of_itself} #{m.number}{digest}"


def _snapshot(m: SnapshotRequest) -> str:
    span = f"offset={m.offset}+{len(m.data)}/{m.meta.size_bytes}"
    return f"Snapshot term={m.term} {m.meta.index}/{m.meta.term} {span} #{m.number}"


def _snapshot_reply(m: SnapshotReply) -> str:
    done = " done" if m.done else ""
    return f"SnapshotReply term={m.term} next={m.next_offset}{done} durable={m.durable} #{m.number}"


def _read_reply(m: ReadIndexReply) -> str:
    return f"ReadIndexReply term={m.term} {'ok' if m.ok else 'no'} index={m.index} #{m.number}"


def _hello(m: HelloRequest) -> str:
    return f"Hello {m.identity.node}={m.identity.incarnation} records={_records(m.records)}"


def _hello_reply(m: HelloReply) -> str:
    refused = f" refused: {m.refused}" if m.refused else ""
    head = f"HelloReply {m.identity.node}={m.identity.incarnation}"
    return f"{head} records={_records(m.records)}{refused}"


_FORMS: dict[type, Any] = {
    VoteRequest: _vote,
    VoteReply: _vote_reply,
    AppendRequest: _append,
    AppendReply: _append_reply,
    SnapshotRequest: _snapshot,
    SnapshotReply: _snapshot_reply,
    ReadIndexRequest: lambda m: f"ReadIndex term={m.term} #{m.number}",
    ReadIndexReply: _read_reply,
    TimeoutNowRequest: lambda m: f"TimeoutNow term={m.term} #{m.number}",
    TimeoutNowReply: lambda m: f"TimeoutNowReply term={m.term} #{m.number}",
    HelloRequest: _hello,
    HelloReply: _hello_reply,
    NotAdmitted: lambda m: f"NotAdmitted #{m.number}",
}


def message(m: Any) -> str:
    """One line for a request or a reply."""
    form = _FORMS.get(type(m))
    return form(m) if form is not None else repr(m)


def write(item: Write) -> str:
    """A write: its number, then its parts in the order in which they count."""
    parts = [f"#{item.seq}"]
    if item.hard_state is not None:
        parts.append(f"term={item.hard_state.term} vote={item.hard_state.vote or '-'}")
    if item.marker is not None:
        parts.append(
            f"marker {item.marker.meta.index}/{item.marker.meta.term}"
            f"{' reset' if item.marker.reset else ''}"
        )
    if item.entries:
        parts.append(entries(item.entries))
    if item.records:
        parts.append(f"records {_records(item.records)}")
    if item.admitted:
        parts.append("admitted")
    return " ".join(parts)


def event(item: Event) -> str:
    """An event: kind, peer, where the node stood, and the detail for people."""
    peer = f" {item.peer}" if item.peer else ""
    where = f"term={item.term} {item.role.value} leader={item.leader or '-'}"
    return f"{item.kind}{peer} {where}: {item.detail}"


def line(time: float, node: str, what: str, value: Any) -> str:
    """A line of a trace.

    `value`: a message, an effect, a tuple of them, or anything with a stable repr. `time`: seconds.
    """
    return f"{time:11.6f} {node:>4} {what} {_value(value)}".rstrip()


def _value(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, Entry):
        return entry(value)
    if isinstance(value, Write):
        return write(value)
    if isinstance(value, Event):
        return event(value)
    if isinstance(value, SnapshotMeta):
        return meta(value)
    if isinstance(value, tuple):
        return " ".join(_value(part) for part in value)
    if isinstance(value, float):
        return f"{value:.6f}"
    if isinstance(value, bytes):
        return payload(value)
    return message(value)
