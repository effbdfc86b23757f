"""Conversations between cores, driven by a text script: every message and every sync is a line of it.

A script is blocks of commands, `----`, and the output that they must give, up to an empty line:

    campaign n1
    ----
    n1 event role term=1 candidate leader=-: ...

`pytest tests/core --rewrite` writes the output anew; read the difference before you commit it.

Nothing happens by itself: time moves with `tick` and `advance`, a disk with `persist`, messages with
`deliver`, `drop`, `lose` and `repeat`. Commands are described at their methods, `do_<command>`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from raftd.core.core import RaftCore
from raftd.core.effects import BrokenInvariant, Effects, NotLeader, Unavailable
from raftd.core.messages import (
    Channel,
    HelloReply,
    HelloRequest,
    Reply,
    Request,
    SnapshotRequest,
    VoteReply,
    VoteRequest,
)
from raftd.core.types import (
    Configuration,
    Entry,
    EntryType,
    HardState,
    Identity,
    NodeId,
    Recovered,
    Role,
    Settings,
    SnapshotMeta,
    Write,
)
from tests.sim import describe

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
        self.settings = Settings(election_timeout_min=1.0, election_timeout_max=1.0, heartbeat_interval=0.1)
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
        except (NotLeader, Unavailable, BrokenInvariant) as error:
            self.say(f"{type(error).__name__}: {error}")
        finally:
            self._quiet = False

    def say(self, text: str) -> None:
        if not self._quiet:
            self.out.append(text)

    # building a cluster

    def do_settings(self, *pairs: str) -> None:
        """settings name=value ...: before `cluster`."""
        for pair in pairs:
            name, value = pair.split("=")
            kind = type(getattr(self.settings, name))
            parsed: Any = value == "yes" if kind is bool else kind(value)
            self.settings = replace(self.settings, **{name: parsed})

    def do_cluster(self, count: str, *how: str) -> None:
        """cluster N [fresh]: N nodes; without `fresh` they know and have admitted each other."""
        names = tuple(f"n{number + 1}" for number in range(int(count)))
        self.configuration = Configuration(names)
        for name in names:
            node = self.nodes[name] = ScriptNode(name)
            if "fresh" not in how:
                records = tuple((other, f"i-{other}") for other in names if other != name)
                node.base = Recovered(admitted=True, records=records)

    def do_disk(self, name: str, *parts: str) -> None:
        """disk n1 terms=1,1,2 [term=2] [vote=n2] [snapshot=2/1]: what n1 will find when it boots.

        The terms are those of the entries after the snapshot.
        """
        given = dict(part.split("=") for part in parts)
        base = self.nodes[name].base
        snapshot = None
        first = 1
        if "snapshot" in given:
            index, term = map(int, given["snapshot"].split("/"))
            snapshot, first = self._meta(index, term), index + 1
        terms = [int(term) for term in given.get("terms", "").split(",") if term]
        entries = tuple(
            Entry(first + offset, term, EntryType.BATCH, b"%d.%d" % (first + offset, term))
            for offset, term in enumerate(terms)
        )
        last = max([*terms, snapshot.term if snapshot else 0])
        hard_state = HardState(int(given.get("term", last)), given.get("vote"))
        self.nodes[name].base = replace(base, hard_state=hard_state, snapshot=snapshot, entries=entries)

    def do_boot(self, *names: str) -> None:
        """boot [n1 ...]: start (or restart) from what is synced; all by default. Greetings are swallowed."""
        for name in names or tuple(self.nodes):
            self._boot(self.nodes[name])
        if all(node.base.admitted for node in self.nodes.values()):
            self._greet()

    def _boot(self, node: ScriptNode) -> None:
        recovered = replay(node.base, node.disk)
        identity = Identity(CLUSTER, node.name, f"i-{node.name}")
        node.core = RaftCore(identity, self.settings, self.configuration, recovered, HalfRandom(), self.now)
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
            records = other.base.records
            self._take(
                self.nodes[wire.source],
                self.nodes[wire.source].core.on_reply(
                    wire.target, wire.message, HelloReply(other.core.identity, records), self.now
                ),
            )
        self._quiet = quiet

    def do_wipe(self, name: str) -> None:
        """wipe n1: its directory is lost; it boots with another incarnation."""
        node = self.nodes[name]
        node.base, node.disk = Recovered(), []
        identity = Identity(CLUSTER, name, f"new-{name}")
        node.core = RaftCore(identity, self.settings, self.configuration, node.base, HalfRandom(), self.now)
        node.queued.clear()
        self._take(node, node.core.start(self.now))

    # time

    def do_advance(self, seconds: str) -> None:
        """advance 0.5: the clock moves, nobody looks at it."""
        self.now += float(seconds)

    def do_tick(self, name: str, seconds: str = "0") -> None:
        """tick n1 [0.5]: the clock moves, then n1's timer fires."""
        self.now += float(seconds)
        self._take(self.nodes[name], self.nodes[name].core.tick(self.now))

    def do_campaign(self, name: str) -> None:
        """campaign n1: the clock moves to n1's election timeout, and n1 ticks."""
        node = self.nodes[name]
        for _ in range(20):
            self.now = max(self.now, node.core.wake_at(self.now))
            before = node.core.role
            self._take(node, node.core.tick(self.now))
            if node.core.role is not before:
                return

    def do_elect(self, name: str, *voters: str) -> None:
        """elect n1 n2 n3: n1 wins an election with these votes; appends stay under way. Said in one line."""
        quiet, self._quiet = self._quiet, True
        node = self.nodes[name]
        for _ in range(50):
            if node.core.role is Role.LEADER:
                break
            if node.core.role is Role.FOLLOWER:
                self.do_campaign(name)
            self._election_round(name, voters)
        self.wires = [w for w in self.wires if not (w.source == name and isinstance(w.message, VoteRequest))]
        if node.queued:
            self.do_persist(name)
        self._quiet = quiet
        self.say(f"{name} {node.core.role.value} of term {node.core.current_term}")

    def _election_round(self, name: str, voters: tuple[str, ...]) -> None:
        for member in (name, *voters):
            if self.nodes[member].queued:
                self.do_persist(member)
        for wire in list(self.wires):
            if isinstance(wire.message, (VoteRequest, VoteReply)) and {wire.source, wire.target} <= {name, *voters}:
                self.wires.remove(wire)
                self._arrive(wire)

    def do_silence(self, name: str) -> None:
        """silence n1: all that it has under way is gone; it restarts from its disk."""
        self.wires = [wire for wire in self.wires if name not in (wire.source, wire.target)]
        self._boot(self.nodes[name])
        self._greet()

    # messages

    def _find(self, pair: str, which: tuple[str, ...]) -> list[Wire]:
        """n1>n2: requests; n2=>n1: replies; with a word: those whose text contains it."""
        reply = "=>" in pair
        source, target = pair.split("=>" if reply else ">")
        found = [
            wire
            for wire in self.wires
            if wire.source in (source, "*")[:1] and wire.target == target and (wire.call is not None) == reply
        ]
        for word in which:
            if word == "first":
                found = found[:1]
            elif word == "last":
                found = found[-1:]
            else:
                found = [wire for wire in found if word in describe.message(wire.message)]
        if not found:
            self.say(f"(nothing from {source} to {target})")
        return found

    def do_deliver(self, pair: str, *which: str) -> None:
        """deliver n1>n2 [word] [first|last]: these messages arrive, in order."""
        for wire in self._find(pair, which):
            self.wires.remove(wire)
            self._arrive(wire)

    def do_repeat(self, pair: str, *which: str) -> None:
        """repeat n1>n2 [word]: they arrive, and will arrive again."""
        for wire in self._find(pair, which):
            self._arrive(wire)

    def do_drop(self, pair: str, *which: str) -> None:
        """drop n1>n2 [word]: gone, and nobody is told."""
        for wire in self._find(pair, which):
            self.wires.remove(wire)
            self.say(f"dropped {wire}")

    def do_lose(self, pair: str, *which: str) -> None:
        """lose n1>n2 [word]: gone, and the sender is told."""
        for wire in self._find(pair, which):
            self.wires.remove(wire)
            call = wire.call or wire
            if not call.done:
                call.done = True
                self.say(f"lost {wire}")
                node = self.nodes[call.source]
                self._take(node, node.core.unreachable(call.target, call.message, self.now))  # type: ignore[arg-type]

    def do_cut(self, pair: str, *which: str) -> None:
        """cut n1>n2 [word]: they arrive, but the stream breaks: the sender is told that they are lost."""
        for wire in self._find(pair, which):
            self.wires.remove(wire)
            wire.done = True
            self._arrive(wire)
            self.say(f"lost {wire}")
            node = self.nodes[wire.source]
            self._take(node, node.core.unreachable(wire.target, wire.message, self.now))  # type: ignore[arg-type]

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

    def do_stabilize(self, *names: str) -> None:
        """stabilize [n1 n2]: sync and deliver among these until nothing is left to do."""
        group = names or tuple(self.nodes)
        for _ in range(200):
            moved = False
            for name in group:
                if self.nodes[name].queued:
                    self.do_persist(name)
                    moved = True
                if self.nodes[name].chunks:
                    self.do_store(name)
                    moved = True
            for wire in [w for w in self.wires if w.source in group and w.target in group]:
                self.wires.remove(wire)
                self._arrive(wire)
                moved = True
            if not moved:
                return
        self.say("(still not quiet)")

    # disk

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

    def do_crash(self, name: str) -> None:
        """crash n1: what was not synced is gone; it starts again."""
        self._boot(self.nodes[name])
        self._greet()

    def do_store(self, name: str) -> None:
        """store n2: the chunks of a snapshot that n2 has received are on its disk."""
        node = self.nodes[name]
        chunks, node.chunks = node.chunks, []
        for wire, request in chunks:
            reached = request.offset + len(request.data)
            if reached < request.meta.size_bytes:
                self.say(f"{name} stored {reached} bytes of snapshot {request.meta.index}")
                effects = node.core.chunk_stored(wire, request, reached, self.now)
            else:
                self.say(f"{name} has the whole of snapshot {request.meta.index}")
                effects = node.core.snapshot_received(request.meta, wire, request, self.now)
            self._take(node, effects)

    def _meta(self, index: int, term: int) -> SnapshotMeta:
        return SnapshotMeta(index, term, self.configuration, SNAPSHOT_BYTES, index)

    # clients

    def do_propose(self, name: str, *payloads: str) -> None:
        """propose n1 a b: one entry each, in one call."""
        node = self.nodes[name]
        effects = node.core.propose([payload.encode() for payload in payloads], self.now)
        for index, term in effects.assigned:
            self.say(f"{name} assigned {index}/{term}")
        self._take(node, effects)

    def do_read(self, name: str, token: str) -> None:
        """read n1 r1: a linearizable read."""
        self._take(self.nodes[name], self.nodes[name].core.read(self.now, token))

    def do_transfer(self, name: str, target: str) -> None:
        self._take(self.nodes[name], self.nodes[name].core.transfer(target, self.now))

    def do_link_lost(self, name: str, peer: str) -> None:
        self._take(self.nodes[name], self.nodes[name].core.link_lost(peer, self.now))

    def do_snapshot(self, name: str) -> None:
        """snapshot n1: its snapshot of all that it has applied is durable."""
        node = self.nodes[name]
        state = node.core.state(self.now)
        index = state.applied_index
        meta = self._meta(index, node.core.log.term_at(index) or 0)
        self._take(node, node.core.snapshot_taken(meta, self.now))

    # looking

    def do_status(self, *names: str) -> None:
        """status [n1]: a line a node."""
        for name in names or tuple(self.nodes):
            core = self.nodes[name].core
            log = core.log
            terms = ",".join(str(log.term_at(index)) for index in range(log.first_index, log.last_index + 1))
            vote = core.voted_for or "-"
            where = f"commit={core.commit_index} durable={core.durable_index} last={log.last_index}"
            start = f"{log.first_index}:" if log.first_index > 1 else ""
            self.say(f"{name} {core.role.value} term={core.current_term} vote={vote} {where} log={start}[{terms}]")

    def do_peers(self, name: str) -> None:
        """peers n1: what a leader knows of its followers."""
        for peer in self.nodes[name].core.state(self.now).peers:
            self.say(f"{peer.peer} {peer.mode} match={peer.match} next={peer.next} inflight={peer.inflight}")

    def do_wires(self) -> None:
        """wires: what is under way."""
        for wire in self.wires:
            self.say(f"{wire}")

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
                    size = min(self.settings.snapshot_chunk_bytes, request.meta.size_bytes - request.offset)
                    request = replace(request, data=bytes(size))
                self.wires.append(Wire(node.name, peer, request, life=node.life))

    def leader(self) -> NodeId | None:
        for name, node in self.nodes.items():
            if node.core.role is Role.LEADER:
                return name
        return None
