"""A scripted cluster whose members compare their states."""

from __future__ import annotations

from raftd.core.comparing import Mark, StateDigest
from raftd.core.effects import Effects
from raftd.core.types import Index, NodeId, Settings
from tests.core.commands import Script
from tests.core.env import ScriptNode

INTERVAL = 1.0


class Comparing(Script):
    """Digests a node's applied payloads at each mark; `rotten` nodes digest something else."""

    def __init__(self) -> None:
        super().__init__()
        self.settings = Settings(
            election_timeout_min=1.0,
            election_timeout_max=1.0,
            heartbeat_interval=0.1,
            state_check_interval=INTERVAL,
        )
        self.rotten: set[NodeId] = set()
        self.work_seconds = 0.0
        """What a digest takes of a processor."""
        self.old: set[NodeId] = set()
        """Nodes that do not digest, as those of an older version."""
        self.marks: list[tuple[NodeId, Mark, Index]] = []
        """(node, mark, how much it had applied there)"""

    def _take(self, node: ScriptNode, effects: Effects) -> None:
        mark = effects.mark
        if mark is not None:
            committed = effects.committed
            inside = [entry.index for entry in committed if entry.index <= mark.index]
            before = committed[0].index - 1 if committed else node.core._s.handed_index
            self.marks.append((node.name, mark, max([before, *inside])))
        super()._take(node, effects)
        if mark is not None and node.name not in self.old:
            value = b"rotten" if node.name in self.rotten else b"%d" % mark.index
            digest = StateDigest(mark, (("state", value),))
            node.core.digested(digest, self.now, self.work_seconds)

    def check(self) -> None:
        """Time passes until a comparison is over."""
        self.check_for(INTERVAL + 0.5)

    def check_for(self, seconds: float) -> int:
        """How many comparisons began while so much time passed."""
        before, until = {mark for _, mark, _ in self.marks}, self.now + seconds
        while self.now < until:
            for name in self.nodes:
                self.do_tick(name, "0.03")
                self.do_stabilize()
        return len({mark for _, mark, _ in self.marks} - before)

    def differing(self) -> dict[NodeId, list[NodeId]]:
        return {
            name: [node for node, _ in of.core.verdict.differing] for name, of in self.nodes.items()
        }


def formed() -> Comparing:
    script = Comparing()
    for line in ("cluster 3", "boot", "elect n1 n2 n3", "stabilize"):
        script.run(line)
    return script
