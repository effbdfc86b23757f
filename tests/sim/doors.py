"""What comes out of the node that ships, and what goes in: requests to peers, callers' answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from raftd.core.changes import Change
from raftd.core.messages import Channel, SnapshotRequest
from raftd.core.types import Configuration, Index, NodeId
from raftd.node.outcomes import Answered, Applied, Outcome, Refused
from tests.sim.backups import Backup
from tests.sim.messages import PULLS_MAX

if TYPE_CHECKING:
    from tests.sim.process import Process


Answer = Callable[[str, Any], None]
"""How a client hears: ("ok", ...), ("refused", leader hint) or ("unknown", None)."""


class Transport:
    """The PeerTransport: woken, it pulls a turn later until there is nothing, and sends."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._pulls: set[tuple[NodeId, Channel]] = set()

    def wake(self, peer: NodeId, channel: Channel) -> None:
        process = self._process
        process.checkers.woken(process.node.name, peer, process.core.leader_id)
        if (peer, channel) in self._pulls:
            return
        self._pulls.add((peer, channel))
        if process.plan.pull_delay:
            delay = process.rng.random() * process.plan.pull_delay
            process.world.after(delay, process.run, self._pull, peer, channel)
        else:
            process.loop.call_soon(self._pull, peer, channel)

    def members(self, configuration: Configuration) -> None:
        """The network has no links to open or close."""
        self._process.checkers.told_members(self._process.node.name, configuration)

    def _pull(self, peer: NodeId, channel: Channel) -> None:
        process = self._process
        self._pulls.discard((peer, channel))
        for _ in range(PULLS_MAX):
            request = process.raftd.pull(peer, channel)
            if request is None:
                return
            process.pulled(peer, request)
            if isinstance(request, SnapshotRequest):
                self._send_chunk(peer, request)
            else:
                process.transmit(peer, channel, request)
        process.floods(peer)

    def _send_chunk(self, peer: NodeId, request: SnapshotRequest) -> None:
        process = self._process

        def read(result: SnapshotRequest | OSError) -> None:
            if isinstance(result, OSError):
                process.world.stats["snapshots gone"] += 1
                process.raftd.unreachable(peer, request)
            else:
                process.transmit_chunk(peer, result)

        process.snapshot_worker.read_chunk(request, read)


class Door:
    """Clients and operators: every outcome is looked at, and counted, on its way to who asked."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._asked = 0
        self._open: dict[int, str] = {}
        self._backup = Backup(process)

    @property
    def applied(self) -> Index:
        return self._process.raftd._apply.applied_index

    def waiting(self) -> int:
        """How many have asked and not heard."""
        return len(self._open)

    def _once(self, what: str, done: Callable[[Outcome], None]) -> Callable[[Outcome], None]:
        """`done`, which must be called once. Until then its caller counts as waiting."""
        process = self._process
        self._asked += 1
        number = self._asked
        self._open[number] = what
        process.world.events += 1
        process.world.trace(process.node.name, f"{what} {number}")

        def heard(outcome: Outcome) -> None:
            process.world.trace(process.node.name, f"{what} {number}: {type(outcome).__name__}")
            if self._open.pop(number, None) is None:
                name = process.node.name
                process.checkers.fail("answers", f"{name}: {what} {number} hears twice: {outcome}")
            process.world.stats[f"{what} {type(outcome).__name__.lower()}"] += 1
            done(outcome)

        return heard

    def submit(self, payload: bytes, answer: Answer) -> None:
        process = self._process

        def done(outcome: Outcome) -> None:
            if isinstance(outcome, Applied):
                process.checkers.answered(
                    process.node.name, payload, outcome.index, outcome.results
                )
                answer("ok", outcome.results)
            else:
                _not_done(outcome, answer)

        def submit() -> None:
            fair, held = process.raftd._clients._fair, process.raftd._clients._leader_wait
            before = len(fair), len(held)
            process.raftd.submit(payload, self._once("submit", done))
            process.world.stats["bulk waited"] += len(fair) > before[0]
            process.world.stats["held for a leader"] += len(held) > before[1]

        process.run(submit)

    def read(self, query: bytes, answer: Answer) -> None:
        process = self._process
        floor = process.checkers.read_arrives()

        def done(outcome: Outcome) -> None:
            if isinstance(outcome, Answered):
                process.checkers.answered_read(process.node.name, outcome.applied_index, floor)
                answer("ok", outcome.results[0])
            else:
                _not_done(outcome, answer)

        process.run(lambda: process.raftd.query([query], False, self._once("read", done)))

    def transfer(self, target: NodeId) -> None:
        self._process.raftd.transfer(target, self._once("transfer", _ignored))

    def change(self, change: Change) -> None:
        process = self._process

        def done(outcome: Outcome) -> None:
            process.world.stats["changes of members"] += isinstance(outcome, Applied)
            if isinstance(outcome, Refused):
                process.world.trace(process.node.name, f"refuses: {outcome.message}")

        process.run(lambda: process.raftd.change(change, self._once("change", done)))

    def snapshot_now(self) -> None:
        """And a backup of it, if none is under way."""
        process = self._process

        def done(outcome: Outcome) -> None:
            if isinstance(outcome, Applied):
                process.run(self._backup.begin)

        process.raftd.snapshot_now(self._once("snapshot", done))

    def digest(self) -> None:
        process = self._process

        def done(outcome: Outcome) -> None:
            if isinstance(outcome, Answered):
                value = outcome.results[0][1]
                process.checkers.digest(process.node.name, outcome.applied_index, value)

        process.raftd.digest(self._once("digest", done))


def _not_done(outcome: Outcome, answer: Answer) -> None:
    if isinstance(outcome, Refused):
        answer("refused", outcome.leader)
    else:
        answer("unknown", None)


def _ignored(outcome: Outcome) -> None:
    """It only has to come."""
