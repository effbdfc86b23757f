"""The rules for what watchers are given: those of etcd's robustness suite, each by its name.

watch-ordered       revisions only grow
watch-unique        no event comes twice
watch-atomic        a revision comes whole, and in one piece
watch-reliable      nothing that was asked for is left out, nothing comes that did not happen
watch-resumable     the same after it resumed from a revision
watch-bookmarkable  progress is reported when everything up to it was given, and never ahead of it
watch-filtered      nothing comes that was not asked for
watch-previous      the previous value is the one before this revision
watch-created       a put says truly whether it made its key
watch-compacted     it is told of a compaction only if that took what it had not seen

What happened at each revision is taken from the explanation that the operations were given. An
event is itself a witness of that: `witnesses` makes reads of the events, which are explained with
all else, so that a revision that no answer tells of is known by those who watched it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from raftd.check.cells import Cell, Mismatch, agree
from raftd.check.model import Model
from raftd.check.notices import BEGIN, COMPACTED, EVENTS, PROGRESS, Change, Notice
from raftd.check.operations import GET, INFINITY, OK, RANGE, Item, Op, shown

NOWHERE = b"\xff\xff no key of anybody"
"""The prefix of a read that shows nothing but a revision."""


class Broken(Exception):
    """notices: the few that show it."""

    def __init__(self, rule: str, detail: str, notices: Iterable[Notice]) -> None:
        super().__init__(f"watch-{rule}: {detail}")
        self.notices = [*notices]


class Happened(NamedTuple):
    """What became of one key at one revision."""

    before: Cell | None
    after: Cell | None


Events = Mapping[int, Mapping[bytes, Happened]]


def witnesses(notices: Sequence[Notice]) -> list[Op]:
    """Reads at the revisions of the events, that returned when the events came."""
    found: dict[tuple[int, bytes, Item | None], Op] = {}
    for notice in notices:
        who = f"(watch {notice.name})"
        for change in notice.changes:
            name = (change.revision, change.key, change.item)
            op = Op(GET, change.key, -INFINITY, notice.time, OK, who, notice.line)
            op.found, op.revision, op.done = change.item, change.revision, True
            if name not in found or notice.time < found[name].ret:
                found[name] = op
        if notice.kind == PROGRESS and notice.revision:
            op = Op(RANGE, NOWHERE, -INFINITY, notice.time, OK, who, notice.line)
            op.revision, op.more = notice.revision, False
            name = (notice.revision, NOWHERE, None)
            if name not in found or notice.time < found[name].ret:
                found[name] = op
    return [*found.values()]


def events_of(
    writers: Mapping[int, Op], model: Model, initial: Mapping[bytes, Cell]
) -> dict[int, dict[bytes, Happened]]:
    """What happened at each revision. Needs an explanation that holds."""
    cells, events = dict(initial), {}
    for revision in sorted(writers):
        changes = model.step(writers[revision], cells.get, revision)
        events[revision] = {key: Happened(cells.get(key), cell) for key, cell in changes.items()}
        for key, cell in changes.items():
            if cell is None:
                cells.pop(key, None)
            else:
                cells[key] = cell
    return events


def check(notices: Sequence[Notice], events: Events | None, compacted: int = 0) -> None:
    """Raises Broken. events None: only what shows without knowing what happened. compacted: where
    the history has been cut at most; before it nobody has to tell previous values.
    """
    by_name: dict[str, list[Notice]] = {}
    for notice in notices:
        by_name.setdefault(notice.watch, []).append(notice)
    for told in by_name.values():
        one = _Watch(told[0].name, events, compacted)
        for notice in told:
            one.notice(notice)


class _Watch:
    def __init__(self, name: str, events: Events | None, compacted: int) -> None:
        self._name = name
        self._events = events
        self._compacted = compacted
        self._begin: Notice | None = None
        self._seen: int | None = None
        """Everything up to it was given; None: from now on, and nothing has come yet."""
        self._reported = 0
        self._last: Notice | None = None
        self._given: set[tuple[bytes, int]] = set()
        self._resumed = False
        self._over = False

    def notice(self, notice: Notice) -> None:
        if notice.kind == BEGIN:
            self._resumed = self._begin is not None
            self._begin, self._over = notice, False
            self._seen = notice.revision - 1 if notice.revision else None
            self._reported = 0
            self._given.clear()
        elif self._begin is None or self._over:
            raise self._broken("reliable", f"{notice.kind} without a beginning", notice)
        elif notice.kind == EVENTS:
            self._delivery(notice)
        elif notice.kind == PROGRESS:
            self._progress(notice)
        else:
            assert notice.kind == COMPACTED
            self._over = True
            if self._seen is not None and notice.revision <= self._seen + 1:
                raise self._broken("compacted", f"it had seen {self._seen}", notice)
        self._last = notice

    def _delivery(self, notice: Notice) -> None:
        at: dict[int, list[Change]] = {}
        for change in notice.changes:
            if at and change.revision < max(at):
                what = f"revision {change.revision} after {max(at)}"
                raise self._broken("ordered", what, notice)
            at.setdefault(change.revision, []).append(change)
        for revision, changes in at.items():
            self._revision(notice, revision, changes)

    def _revision(self, notice: Notice, revision: int, changes: list[Change]) -> None:
        for change in changes:
            self._one(notice, change)
        if self._seen is not None and revision <= self._seen:
            assert self._begin is not None
            if revision < self._begin.revision:
                rule = "filtered"
            elif revision <= self._reported:
                rule = "bookmarkable"
            else:
                rule = "ordered" if revision < self._seen else "atomic"
            raise self._broken(rule, f"revision {revision} after {self._seen}", notice)
        if self._seen is not None:
            self._nothing_between(notice, self._seen, revision - 1, self._usual())
        self._whole(notice, revision, {change.key for change in changes})
        self._seen = revision
        self._resumed = False

    def _one(self, notice: Notice, change: Change) -> None:
        name = (change.key, change.revision)
        if name in self._given:
            raise self._broken("unique", f"{change} comes twice", notice)
        self._given.add(name)
        if not self._asked(change.key, deleted=change.item is None):
            raise self._broken("filtered", f"{change} was not asked for", notice)
        item = change.item
        if item is not None and item.create_revision is not None and item.version is not None:
            made = item.create_revision == change.revision
            if made != (item.version == 1):
                raise self._broken("created", f"{change}: version {item.version}", notice)
        if self._events is not None:
            self._as_it_happened(notice, change)

    def _as_it_happened(self, notice: Notice, change: Change) -> None:
        assert self._events is not None
        happened = self._events.get(change.revision, {}).get(change.key)
        if happened is None:
            raise self._broken("reliable", f"{change} did not happen", notice)
        item, after = change.item, happened.after
        told = item.create_revision if item is not None else None
        if told is not None and after is not None and after.create and told != after.create:
            what = f"{change}: create_revision {told}, expected {after.create}"
            raise self._broken("created", what, notice)
        try:
            agree(item, after, change.key)
        except Mismatch as mismatch:
            raise self._broken("reliable", f"{change}: {mismatch.reason}", notice) from None
        if not change.told_previous:
            return
        if change.previous is None and change.revision <= self._compacted:
            return
        try:
            agree(change.previous, happened.before, change.key)
        except Mismatch as mismatch:
            what = f"{change}: before it, {mismatch.reason}"
            raise self._broken("previous", what, notice) from None

    def _progress(self, notice: Notice) -> None:
        if notice.revision < (self._seen or 0):
            raise self._broken("bookmarkable", f"{notice.revision} after {self._seen}", notice)
        if self._seen is not None:
            self._nothing_between(notice, self._seen, notice.revision, "bookmarkable")
        self._seen = self._reported = notice.revision
        self._resumed = False

    def _usual(self) -> str:
        return "resumable" if self._resumed else "reliable"

    def _nothing_between(self, notice: Notice, after: int, upto: int, rule: str) -> None:
        for revision in range(after + 1, upto + 1) if self._events is not None else ():
            for key, happened in self._happened(revision).items():
                if self._asked(key, deleted=happened.after is None):
                    what = f"{shown(key)} at {revision} was left out"
                    raise self._broken(rule, what, notice)

    def _whole(self, notice: Notice, revision: int, given: set[bytes]) -> None:
        for key, happened in self._happened(revision).items():
            if key not in given and self._asked(key, deleted=happened.after is None):
                raise self._broken("atomic", f"{shown(key)} of {revision} is missing", notice)

    def _happened(self, revision: int) -> Mapping[bytes, Happened]:
        return self._events.get(revision, {}) if self._events is not None else {}

    def _asked(self, key: bytes, *, deleted: bool) -> bool:
        begin = self._begin
        assert begin is not None
        within = key.startswith(begin.key) if begin.prefix else key == begin.key
        return within and (begin.deletes if deleted else begin.puts)

    def _broken(self, rule: str, detail: str, notice: Notice) -> Broken:
        told = (self._begin, self._last, notice)
        few = {id(one): one for one in told if one is not None}
        return Broken(rule, f"watch {self._name}: {detail}", few.values())
