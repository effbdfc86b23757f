"""Faults that two answers show by themselves, whatever became of operations without an answer.

Most real faults are of this kind. They are looked for first: they make the plainest report, and the
walk up the revisions would have to try many explanations before it could blame the same two.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence

from raftd.check.anchors import shown_by
from raftd.check.operations import DELETE, PUT, Op, may_put, shown
from raftd.check.timeline import Fault, Timeline


def plain_fault(known: Sequence[Op], timeline: Timeline) -> Fault | None:
    """The one at the lowest revision, or None. known: answered operations."""
    touched: dict[bytes, list[int]] = {}
    for revision in sorted(timeline.writer):
        for key in _written_by(timeline.writer[revision]):
            touched.setdefault(key, []).append(revision)
    worst: tuple[int, Fault] | None = None
    for op in known:
        revision = op.level
        if worst is not None and revision >= worst[0]:
            continue
        for reason, other in _contradictions(op, revision, timeline, touched):
            ops = [op] if other is None else [other, op]
            worst = (revision, Fault(f"at revision {revision}: {reason}", ops))
            break
    return worst[1] if worst is not None else None


def _contradictions(
    op: Op, revision: int, timeline: Timeline, touched: dict[bytes, list[int]]
) -> Iterator[tuple[str, Op | None]]:
    for key, item in shown_by(op):
        if item is None or item.mod_revision is None:
            continue
        mod = item.mod_revision
        if mod > revision:
            yield f"it shows {shown(key)} of revision {mod}, which is later", None
        revisions = touched.get(key, [])
        at = bisect_right(revisions, revision)
        if at and revisions[at - 1] > mod:
            later = timeline.writer[revisions[at - 1]]
            what = f"it shows {shown(key)}={shown(item.value)} of revision {mod}"
            yield f"{what}, but revision {revisions[at - 1]} had changed that key", later
        writer = timeline.writer.get(mod)
        if writer is not None and not may_put(writer, key, item.value):
            what = f"it shows {shown(key)}={shown(item.value)} of revision {mod}"
            yield f"{what}, which was made by another write", writer


def _written_by(op: Op) -> list[bytes]:
    """Keys that it put, or that were gone after it."""
    if op.txn is None:
        return op.named()
    branch = op.txn.then if op.done else op.txn.otherwise
    return [part.key for part in branch if part.kind in (PUT, DELETE) and not part.prefix]
