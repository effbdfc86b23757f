"""What a watcher was told, one line each: a beginning, events, progress, a compaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from raftd.check.fields import HistoryError, count, data, flag, item_of, time_of
from raftd.check.operations import Item, shown
from raftd.check.parts import item_record, text

BEGIN: Final = "begin"
EVENTS: Final = "events"
PROGRESS: Final = "progress"
COMPACTED: Final = "compacted"
WHAT: Final = (BEGIN, EVENTS, PROGRESS, COMPACTED)
_FIELDS: Final = {
    BEGIN: {"begin", "key", "prefix", "puts", "deletes", "previous"},
    EVENTS: {"events"},
    PROGRESS: {"progress"},
    COMPACTED: {"compacted"},
}


class Change(NamedTuple):
    """One event. item: the key after it, None after a delete. previous: before it, None: there was
    no such key; told_previous: was it told at all.
    """

    key: bytes
    revision: int
    item: Item | None
    previous: Item | None = None
    told_previous: bool = False

    def __str__(self) -> str:
        what = f"put {shown(self.key)} := {shown(self.item.value)}" if self.item else ""
        return f"{what or f'delete {shown(self.key)}'} at {self.revision}"


@dataclass(slots=True)
class Notice:
    """One thing that a watcher was told. watch: its name. time: when it was told.

    kind BEGIN: it watches `key`, or all with that prefix, from `revision` on (0: from now on);
    a second one under the same name resumes. EVENTS: one delivery. PROGRESS: everything up to
    `revision` has been delivered. COMPACTED: `revision` is the oldest that is left, and it ends.
    """

    watch: str
    kind: str
    time: float
    revision: int = 0
    key: bytes = b""
    prefix: bool = False
    puts: bool = True
    deletes: bool = True
    previous: bool = False
    changes: tuple[Change, ...] = ()
    line: int = 0

    @property
    def name(self) -> str:
        """For people."""
        return shown(self.watch.encode("utf-8", "surrogatepass"))

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line else ""
        if self.kind == EVENTS:
            more = ", ..." if len(self.changes) > 4 else ""
            what = ", ".join(map(str, self.changes[:4])) + more
        elif self.kind == BEGIN:
            what = f"begins {shown(self.key)}{'*' * self.prefix} from {self.revision or 'now'}"
        else:
            what = f"{self.kind} {self.revision}"
        return f"{where}watch {self.name} [{self.time:.6f}] {what}"


def notice_of(line: int, record: dict[str, Any]) -> Notice:
    """Raises HistoryError."""
    kind = next((kind for kind in WHAT if kind in record), None)
    if kind is None:
        raise HistoryError(f"watch: expected one of {', '.join(WHAT)}")
    known = _FIELDS[kind] | {"watch", "time"}
    foreign = [name for name in record.keys() - known if not name.startswith("_")]
    if foreign:
        raise HistoryError(f"watch: no such field: {', '.join(sorted(foreign))}")
    time = time_of({"time": record.get("time", line)}, "time")
    notice = Notice(str(record["watch"]), kind, time, line=line)
    if kind == EVENTS:
        notice.changes = tuple(_change(event) for event in _events(record))
        return notice
    notice.revision = count(record, kind) or 0
    if kind == BEGIN:
        notice.prefix = "prefix" in record
        notice.key = data(record, "prefix" if notice.prefix else "key")
        notice.puts = flag(record, "puts") is not False
        notice.deletes = flag(record, "deletes") is not False
        notice.previous = bool(flag(record, "previous"))
    return notice


def _events(record: dict[str, Any]) -> list[Any]:
    events = record["events"]
    if not isinstance(events, list) or not events:
        raise HistoryError("events: expected a list of at least one")
    return events


def _change(record: Any) -> Change:
    if not isinstance(record, dict):
        raise HistoryError("events: expected objects")
    known = {"key", "revision", "item", "previous"}
    foreign = record.keys() - known
    if foreign:
        raise HistoryError(f"events: no such field: {', '.join(sorted(foreign))}")
    item, previous = record.get("item"), record.get("previous")
    return Change(
        data(record, "key"),
        count(record, "revision") or 0,
        item_of(item) if item is not None else None,
        item_of(previous) if previous is not None else None,
        "previous" in record,
    )


def notice_record(notice: Notice) -> dict[str, Any]:
    record: dict[str, Any] = {"watch": notice.watch, "time": notice.time}
    if notice.kind == EVENTS:
        return record | {"events": [_change_record(change) for change in notice.changes]}
    record[notice.kind] = notice.revision
    if notice.kind == BEGIN:
        record["prefix" if notice.prefix else "key"] = text(notice.key)
        for name, usual in (("puts", True), ("deletes", True), ("previous", False)):
            if getattr(notice, name) != usual:
                record[name] = not usual
    return record


def _change_record(change: Change) -> dict[str, Any]:
    record: dict[str, Any] = {"key": text(change.key), "revision": change.revision}
    if change.item is not None:
        record["item"] = item_record(change.item)
    if change.told_previous:
        told = change.previous
        record["previous"] = item_record(told) if told is not None else None
    return record
