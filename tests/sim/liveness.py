"""The second phase: what a healed majority must get done, and by when."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from raftd.wire import batch as wire
from raftd.wire import kv
from tests.sim.node import Node
from tests.sim.world import Violation

if TYPE_CHECKING:
    from tests.sim.cluster import Cluster
    from tests.sim.process import Process

LEADER_TIMEOUTS = 10
SPARE_SECONDS = 5.0
"""What was under way when the faults ended takes its time: replies are held for up to 2.2 s."""
DONE_SECONDS = 60.0
TRY_SECONDS = 1.0
NOBODY = -1
"""Whose write that is, in the history."""


class Liveness:
    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._world = cluster.world

    def run(self) -> None:
        """Raises Violation. A leader, a write, a read through every node, and equal states."""
        core = self._cluster.faults.heal()
        self._world.trace("sim", f"healed {','.join(node.name for node in core)}")
        settings, spread = self._cluster.plan.settings, self._cluster.plan.clock_rate_spread
        bound = LEADER_TIMEOUTS * settings.election_timeout_max / (1 - spread) + SPARE_SECONDS
        self._within(bound, lambda: self._leads(core), "leader")
        self._write(core)
        for node in core:
            if not self._is_learner(node):
                self._read_under_load(node)
        self._cluster.clients_stopped = True
        # A commit waits for no learner: load that is faster than a learner leaves it behind for as
        # long as it lasts.
        for node in core:
            self._read(node)
        self._within(DONE_SECONDS, lambda: self._equal(core), "equal logs")
        self._compare(core)
        self._answered(core)

    def _within(self, seconds: float, condition: Callable[[], bool], what: str) -> None:
        end = self._world.now + seconds
        self._cluster.until(lambda: condition() or self._world.now > end)
        if not condition():
            state = self._cluster.describe()
            raise Violation("liveness", f"no {what} {seconds:.1f} s after the heal; {state}")

    def _leads(self, core: list[Node]) -> bool:
        node = self._cluster.leader()
        return node is not None and node in core

    def _write(self, core: list[Node]) -> None:
        """A write through whoever leads must be committed, however often leaders change."""
        world, history = self._world, self._cluster.history

        def attempt(answer: Callable[[str, Any], None]) -> None:
            node = self._cluster.leader()
            if node is None or node not in core or node.process is None:
                return
            value = b"write at %.6f" % world.now
            op = history.call(NOBODY, "put", b"last", value, world.now)

            def answered(kind: str, result: Any) -> None:
                if kind == "ok":
                    history.done(op, wire.decode_results(result)[0][1], world.now)
                else:
                    history.lost(op, world.now, unsure=kind == "unknown")
                answer(kind, result)

            number = len(history.ops)
            history.sent(op, b"", number)
            payload = wire.encode_batch(b"", 0, [(number, kv.encode_put(b"last", value))])
            node.process.app.submit(payload, answered)

        self._insist(attempt, "write committed")

    def _read(self, node: Node, excused: Callable[[], bool] = bool) -> None:
        """A linearizable read through this node, leader or not."""

        def attempt(answer: Callable[[str, Any], None]) -> None:
            process: Process | None = node.process
            if process is not None:
                process.app.read(kv.encode_get(b"last"), answer)

        self._insist(attempt, f"read through {node.name}", lambda: excused() or self._excused(node))

    def _read_under_load(self, node: Node) -> None:
        try:
            self._read(node, partial(self._is_learner, node))
        except Violation:
            if not self._outrun(node):
                raise
            self._world.trace("sim", f"{node.name} is outrun by the load")

    def _outrun(self, node: Node) -> bool:
        """A commit waits for a majority only. With pieces so small a snapshot takes seconds, and so
        little log is kept for whoever is sent one that the next begins when it is whole.
        """
        settings, leader = self._cluster.plan.settings, self._cluster.leader()
        if settings.snapshot_chunk_bytes > 64 or settings.pin_bytes_max > 1 << 10:
            return False
        if leader is None or leader.process is None:
            return False
        peers = leader.process.core.state(self._world.now).peers
        return any(peer.peer == node.name and peer.mode == "snapshot" for peer in peers)

    def _is_learner(self, node: Node) -> bool:
        return not self._cluster.is_voter(node)

    def _excused(self, node: Node) -> bool:
        """It cannot be asked: its disk is gone, or it was removed."""
        return node.frozen_out or not self._cluster.is_member(node)

    def _insist(
        self,
        attempt: Callable[[Callable[[str, Any], None]], None],
        what: str,
        excused: Callable[[], bool] = bool,
    ) -> None:
        """Try now and every second until it is answered, or nobody can be asked any more."""
        done: list[bool] = []
        over = [False]

        def answer(kind: str, value: Any) -> None:
            if kind == "ok":
                done.append(True)

        def again() -> None:
            if not done and not over[0]:
                attempt(answer)
                self._world.after(TRY_SECONDS, again)

        again()
        self._within(DONE_SECONDS, lambda: bool(done) or excused(), what)
        over[0] = True

    def _equal(self, core: list[Node]) -> bool:
        if self._cluster.leader() is None:
            return False  # who is a member is for the leader to say
        known = len(self._cluster.checkers.committed) - 1
        for node in core:
            process = node.process
            if node.frozen_out or not self._cluster.is_member(node):
                continue
            if process is None or process.app.applied < known or process.core.commit_index < known:
                return False
            if process.core.log.last_index != known:
                return False
        return True

    def _answered(self, core: list[Node]) -> None:
        """Whoever asked one of these nodes has heard how it ended."""
        end = self._world.now + DONE_SECONDS

        def waiting() -> dict[str, int]:
            asked = {
                node.name: node.process.app.waiting()
                for node in core
                if node.process and self._cluster.is_member(node)
            }
            return {name: count for name, count in asked.items() if count}

        self._cluster.until(lambda: not waiting() or self._world.now > end)
        if waiting():
            raise Violation(
                "everybody-answered", f"{waiting()} still wait {DONE_SECONDS:.0f} s after the last"
            )

    def _compare(self, core: list[Node]) -> None:
        digests = {
            node.process.stores.host.digest()
            for node in core
            if node.process is not None and self._cluster.is_member(node)
        }
        if len(digests) != 1:
            raise Violation(
                "state-machine-safety", f"{len(digests)} different states at one applied index"
            )
