"""What to say of the furthest point that an attempt at an explanation reached."""

from __future__ import annotations

from collections.abc import Container, Sequence

from raftd.check.anchors import Anchors
from raftd.check.cells import Mismatch
from raftd.check.gaps import Gaps
from raftd.check.operations import OK, UNKNOWN, Op, shown
from raftd.check.timeline import Fault


class Telling:
    """failed: operations that certainly never happened."""

    def __init__(self, gaps: Gaps, anchors: Anchors, failed: Sequence[Op]) -> None:
        self.fault: Fault | None = None
        self._at = -1
        self._gaps = gaps
        self._anchors = anchors
        self._failed = failed

    def note(self, revision: int, op: Op, mismatch: Mismatch, other: Op | None) -> None:
        if revision <= self._at:
            return
        self._at = revision
        ops = [op] if other is None or other is op else [other, op]
        self.fault = Fault(f"at revision {revision}: {mismatch.reason}", ops)

    def note_gap(self, revision: int, used: Container[int]) -> None:
        if revision <= self._at:
            return
        self._at = revision
        first = self._gaps.timeline.first_return(revision)
        witnesses = [*self._anchors.witnesses(revision), *([first] if first else [])][:1]
        seen = self._anchors.seen_at(revision)
        what = " ".join(f"{shown(key)}={shown(item.value)}" for key, item in seen.items())
        reason = f"revision {revision} was made by no operation of the history"
        if what:
            reason += f", and {what} was seen of it"
            values = {item.value for item in seen.values() if item.value is not None}
            for op in (*self._failed, *self._gaps.unknown, *self._gaps.timeline.writer.values()):
                if op.value in values and op not in witnesses:
                    witnesses.insert(0, op)
                    reason += f"; whoever wrote it {self._alibi(op, revision, used)}"
                    break
        self.fault = Fault(reason, witnesses)

    def _alibi(self, op: Op, revision: int, used: Container[int]) -> str:
        if op.outcome == OK:
            return f"made revision {op.revision}, so it was done twice"
        if op.outcome != UNKNOWN:
            return "certainly had not done it"
        if op.call > self._gaps.limit(revision):
            return "had not even called"
        if id(op) in used:
            return "had done it before, so it was done twice"
        return "does not fit there"
