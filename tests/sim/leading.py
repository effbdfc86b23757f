"""What a leader owes over time: pins that move with progress, hand-overs that go on, another try
where a follower refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raftd.core.messages import (
    AppendReply,
    AppendRequest,
    Reply,
    Request,
    SnapshotReply,
    SnapshotRequest,
)
from raftd.core.types import Index, NodeId, Term

if TYPE_CHECKING:
    from tests.sim.watched import WatchedCore

HEARTBEATS_MAX = 3
"""A hand-over that was lost is sent again, or ends, within so many heartbeats."""


REFUSALS_MAX = 4
"""Of one place in the log, each of what was asked after the one before was heard: a late refusal
may make a leader ask twice, and each bad tail once more."""


class Pins:
    """A follower's pin may be renewed only by more than it has ever had: of its log, of a file."""

    def __init__(self) -> None:
        self._term = 0
        self._best: dict[NodeId, Index] = {}
        self.matched: dict[NodeId, Index] = {}
        """As the last reply came."""
        self._offsets: dict[tuple[NodeId, Index, int], int] = {}
        self._refused: set[tuple[NodeId, Index, int]] = set()
        self._waits_for = -1

    def of(self, core: WatchedCore, peer: NodeId) -> float | None:
        lead = core._s.leadership
        progress = lead.progress.get(peer) if lead is not None else None
        return progress.pinned_at if progress is not None else None

    def pulled(self, core: WatchedCore, peer: NodeId, pin: float) -> None:
        """To begin a transfer anew is no progress either."""
        now = self.of(core, peer)
        if now is not None and now > pin:
            core.process.checkers.fail(
                "pin-needs-progress",
                f"{core.process.node.name} pins its log anew for {peer} as a transfer begins again",
            )

    def before(self, core: WatchedCore, peer: NodeId) -> float | None:
        lead = core._s.leadership
        progress = lead.progress.get(peer) if lead is not None else None
        if progress is None:
            return None
        if core.current_term != self._term:
            self._term = core.current_term
            self._best.clear()
            self.matched.clear()
            self._offsets.clear()
            self._refused.clear()
        sending = progress.sending
        self._waits_for = sending.inflight or -1 if sending is not None else -1
        lost = progress.match < self.matched.get(peer, 0)  # what is gone is gained anew
        self._best[peer] = progress.match if lost else max(self._best.get(peer, 0), progress.match)
        self.matched[peer] = progress.match
        return progress.pinned_at

    def after(
        self, core: WatchedCore, peer: NodeId, sent: Request, reply: Reply, pin: float | None
    ) -> None:
        lead = core._s.leadership
        progress = lead.progress.get(peer) if lead is not None else None
        if progress is None or getattr(sent, "term", 0) != core.current_term:
            return
        further = progress.match > self._best.get(peer, 0)
        if isinstance(sent, SnapshotRequest) and isinstance(reply, SnapshotReply):
            key = _key(peer, sent)
            waited_for = sent.number == self._waits_for and not reply.done
            if waited_for and reply.next_offset <= sent.offset:
                self._refused.add(key)
            elif reply.next_offset > self._offsets.get(key, 0):
                self._refused.discard(key)  # it was refused for another reason than its bytes
            further = further or reply.done or reply.next_offset > self._offsets.get(key, 0)
            self._offsets[key] = max(self._offsets.get(key, 0), reply.next_offset)
        renewed = progress.pinned_at is not None and pin is not None and progress.pinned_at > pin
        if renewed and not further:
            core.process.checkers.fail(
                "pin-needs-progress",
                f"{core.process.node.name} pins its log anew for {peer}, which has got no further "
                f"than before: {progress}",
            )

    def taken_anew(self, index: Index) -> None:
        """Its file had gone bad and is good now: who refused the bad one may get this one."""
        self._refused = {key for key in self._refused if key[1] != index}

    def sends(self, core: WatchedCore, peer: NodeId, request: SnapshotRequest) -> None:
        """What was refused is not sent again while there is a newer one."""
        newest = core._s.snapshot
        if _key(peer, request) in self._refused and newest.index > request.meta.index:
            core.process.checkers.fail(
                "newer-snapshot-sent",
                f"{core.process.node.name} sends {peer} snapshot {request.meta.index}, which that "
                f"has refused; it has snapshot {newest.index}",
            )


def _key(peer: NodeId, request: SnapshotRequest) -> tuple[NodeId, Index, int]:
    return peer, request.meta.index, request.meta.crc


class Refusals:
    """Who refuses what it had acknowledged will refuse it again: it is to be asked elsewhere."""

    def __init__(self) -> None:
        self._heard: dict[tuple[NodeId, Term, Index], tuple[int, int]] = {}
        """How many, and the newest request as the last one was heard."""

    def heard(self, core: WatchedCore, peer: NodeId, sent: Request, reply: Reply) -> None:
        if not isinstance(sent, AppendRequest) or not isinstance(reply, AppendReply) or reply.ok:
            return
        if reply.term != sent.term or sent.term != core.current_term:
            return
        key = (peer, sent.term, sent.prev_index)
        count, newest = self._heard.get(key, (0, 0))
        if sent.number <= newest or sent.prev_index > core.pins.matched.get(peer, 0):
            return  # only the first of a window that came in another order tells anything
        self._heard[key] = (count + 1, core._s.pull_number)
        if count >= REFUSALS_MAX:
            core.process.checkers.fail(
                "refused-is-not-repeated",
                f"{core.process.node.name} goes on asking {peer} for what follows "
                f"{sent.prev_index}, which it does not hold",
            )


class HandOvers:
    """While leadership is handed over nothing is proposed: that must not last for a lost word."""

    def __init__(self) -> None:
        self.sent = 0

    def lost(self, core: WatchedCore) -> None:
        """The core has heard that its word did not get through."""
        process = core.process
        lead = core._s.leadership
        if lead is None or lead.transfer is None:
            return
        seconds = HEARTBEATS_MAX * core._s.settings.heartbeat_interval / process.node.clock.rate
        process.world.after(seconds, self._look, core, lead.transfer, self.sent, seconds)

    def _look(self, core: WatchedCore, transfer: object, sent: int, seconds: float) -> None:
        process, lead = core.process, core._s.leadership
        if not process.was_free(seconds) or lead is None:
            return
        target = lead.transfer
        if target is not transfer or target is None or self.sent > sent:
            return
        if lead.progress[target.target].match >= core.log.last_index:
            process.checkers.fail(
                "hand-over-goes-on",
                f"{process.node.name} has heard that its word to {target.target} was lost, and "
                "neither repeats it nor takes proposals again",
            )
