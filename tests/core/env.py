"""Conversations between cores, driven by a text script: every message and every sync is a line of
it.

A script is blocks of commands, `----`, and the output that they must give, up to an empty line:

    campaign n1
    ----
    n1 event role term=1 candidate leader=-: ...

`pytest tests/core --rewrite` writes the output anew; read the difference before you commit it.

Nothing happens by itself: time moves with `tick` and `advance`, a disk with `persist`, messages
with
`deliver`, `drop`, `lose` and `repeat`. Commands are described at their methods, `do_<command>`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, cast

from raftd.core import describe
from raftd.core.core import RaftCore
from raftd.core.effects import NOTHING_DONE, BrokenInvariant, Effects
from raftd.core.messages import (
    Channel,
    HelloReply,
    HelloRequest,
    Reply,
    Request,
    SnapshotRequest,
)
from raftd.core.types import (
    Configuration,
    Entry,
    Identity,
    NodeId,
    Recovered,
    Role,
    Settings,
    SnapshotMeta,
    Write,
)

CLUSTER = "0" * 16
SNAPSHOT_BYTES = 100


class HalfRandom(random.Random):
    """Timeouts of exactly the middle of their range: scripts say who times out, not the dice."""

    def random(self) -> float:
        return 0.5


@dataclass(slots=True)
class Wire:
    """A message under way. token: the call that it belongs to."""

    source: NodeId
    target: NodeId
    message: Request | Reply
    call: Wire | None = None
    done: bool = False
    life: int = 0

    def __str__(self) -> str:
        arrow = "->" if self.call is None else "=>"
        return f"{self.source} {arrow} {self.target} {describe.message(self.message)}"


class ScriptNode:
    """A core with a disk that syncs on command."""

    def __init__(self, name: NodeId) -> None:
        self.name = name
        self.core: RaftCore
        self.disk: list[Write] = []
        self.queued: list[Write] = []
        self.chunks: list[tuple[Wire, SnapshotRequest]] = []
        self.applied: list[Entry] = []
        self.joins = False
        self.base = Recovered()
        self.life = 0


def replay(base: Recovered, writes: Iterable[Write]) -> Recovered:
    """What a recovery finds after these writes, all of them synced."""
    hard_state, admitted, snapshot = base.hard_state, base.admitted, base.snapshot
    records, entries = dict(base.records), list(base.entries)
    for write in writes:
        hard_state = write.hard_state or hard_state
        admitted = admitted or write.admitted
        records.update(write.records)
        if write.marker is not None:
            snapshot = write.marker.meta
            if write.marker.reset:
                entries = []
        if write.entries:
            entries = [entry for entry in entries if entry.index < write.entries[0].index]
            entries += write.entries
    return Recovered(hard_state, admitted, tuple(sorted(records.items())), snapshot, tuple(entries))


class Environment:
    def __init__(self) -> None:
        self.now = 100.0
        self.settings = Settings(
            election_timeout_min=1.0, election_timeout_max=1.0, heartbeat_interval=0.1
        )
        self.nodes: dict[NodeId, ScriptNode] = {}
        self.configuration = Configuration(())
        self.wires: list[Wire] = []
        self.out: list[str] = []
        self._quiet = False

    def run(self, line: str) -> None:
        """One command. Refusals are output; a wrong script raises."""
        words = line.split()
        if words[-1] == "quietly":
            self._quiet, words = True, words[:-1]
        command: Callable[..., None] = getattr(self, "do_" + words[0].replace("-", "_"))
        try:
            command(*words[1:])
        except (*NOTHING_DONE, BrokenInvariant) as error:
            self.say(f"{type(error).__name__}: {error}")
        finally:
            self._quiet = False

    def _dice(self) -> random.Random:
        """Of a core that boots."""
        return HalfRandom()

    def say(self, text: str) -> None:
        if not self._quiet:
            self.out.append(text)

    def _boot(self, node: ScriptNode) -> None:
        recovered = replay(node.base, node.disk)
        identity = Identity(CLUSTER, node.name, f"i-{node.name}")
        first = Configuration(()) if node.joins else self.configuration
        node.core = RaftCore(identity, self.settings, first, recovered, self._dice(), self.now)
        node.life += 1
        node.queued.clear()
        node.chunks.clear()
        node.applied.clear()
        self.wires = [wire for wire in self.wires if not (wire.call and wire.target == node.name)]
        self._take(node, node.core.start(self.now))

    def _greet(self) -> None:
        """Hello both ways, unseen: scripts of formed clusters begin after it."""
        quiet, self._quiet = self._quiet, True
        for wire in [w for w in self.wires if isinstance(w.message, HelloRequest)]:
            self.wires.remove(wire)
            other = self.nodes[wire.target]
            if not hasattr(other, "core"):
                continue
            records, hello = other.base.records, cast(HelloRequest, wire.message)
            self._take(
                self.nodes[wire.source],
                self.nodes[wire.source].core.on_reply(
                    wire.target, hello, HelloReply(other.core.identity, records), self.now
                ),
            )
        self._quiet = quiet

    def _arrive(self, wire: Wire) -> None:
        self.say(f"{wire}")
        node = self.nodes[wire.target]
        if wire.call is None:
            self._take(node, node.core.step(wire.message, self.now, wire))  # type: ignore[arg-type]
        elif wire.call.life != node.life:
            self.say("(its caller has died)")
        elif not wire.call.done:
            wire.call.done = True
            sent: Any = wire.call.message
            self._take(node, node.core.on_reply(wire.source, sent, wire.message, self.now))  # type: ignore[arg-type]

    def do_persist(self, name: str, count: str = "all") -> None:
        """persist n1 [1]: the first so many queued writes are synced, in one go."""
        node = self.nodes[name]
        number = len(node.queued) if count == "all" else int(count)
        done, node.queued = node.queued[:number], node.queued[number:]
        if not done:
            self.say(f"{name} has nothing to sync")
            return
        node.disk += done
        self.say(f"{name} synced #{done[-1].seq}")
        self._take(node, node.core.persisted(done[-1].seq, self.now))

    def _meta(self, index: int, term: int) -> SnapshotMeta:
        return SnapshotMeta(index, term, self.configuration, SNAPSHOT_BYTES, index)

    # what every call into a core brings

    def _take(self, node: ScriptNode, effects: Effects) -> None:
        name = node.name
        for write in effects.persist:
            self.say(f"{name} writes {describe.write(write)}")
            node.queued.append(write)
        for token, reply in effects.replies:
            self.wires.append(Wire(name, token.source, reply, token))
        if effects.install is not None:
            self.say(f"{name} installs {describe.meta(effects.install)}")
        if effects.committed:
            self.say(f"{name} applies {describe.entries(effects.committed)}")
            node.applied += effects.committed
        for token, request in effects.chunks:
            node.chunks.append((token, request))
        for token, index in effects.reads:
            self.say(f"{name} read {token} may be answered at {index}")
        for token, error in effects.failed:
            self.say(f"{name} read {token} failed: {error}")
        if effects.released:
            self.say(f"{name} releases the log to {effects.released}")
        if effects.suspect is not None:
            self.say(f"{name} is to read snapshot {effects.suspect.index} again")
        for event in effects.events:
            self.say(f"{name} event {describe.event(event)}")
        self._pull(node, effects)
        last = effects.committed[-1].index if effects.committed else 0
        last = last or (effects.install.index if effects.install else 0)
        if last:
            self._take(node, node.core.applied(last, self.now))

    def _pull(self, node: ScriptNode, effects: Effects) -> None:
        for peer, channel in effects.wake:
            while (request := node.core.next_request(peer, channel, self.now)) is not None:
                if isinstance(request, SnapshotRequest) and channel is Channel.BULK:
                    size = min(
                        self.settings.snapshot_chunk_bytes, request.meta.size_bytes - request.offset
                    )
                    request = replace(request, data=bytes(size))
                self.wires.append(Wire(node.name, peer, request, life=node.life))

    def leader(self) -> NodeId | None:
        for name, node in self.nodes.items():
            if node.core.role is Role.LEADER:
                return name
        return None
