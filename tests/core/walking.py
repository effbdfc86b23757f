"""Cores with disks and machines that are as slow as a walk wants, and what must hold at every step.

Nothing here knows a clock's order or a network's: any message may come now, much later, twice or
never. A call ends all the same, by an answer or as unreachable: that is a driver's duty.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from raftd.core.effects import NOTHING_DONE, Effects, ImpossibleMessage, Token
from raftd.core.state import State
from raftd.core.types import (
    Entry,
    Index,
    NodeId,
    Recovered,
    Role,
    Settings,
    SnapshotMeta,
    Term,
)
from tests.core.commands import Script
from tests.core.env import ScriptNode, Wire, replay

TRACE_MAX = 400
LOG_BYTES, CHUNK_BYTES, PIN_BYTES = 200, 30, 100
"""Small ones: a log that is full after two entries, a snapshot of four chunks."""


class Violation(Exception):
    """rule: its name. The text says who, and what."""

    def __init__(self, rule: str, text: str) -> None:
        super().__init__(f"{rule}: {text}")
        self.rule = rule


@dataclass(frozen=True, slots=True)
class Plan:
    """What one seed's walk is like. Shares are probabilities of a step."""

    size: int
    settings: Settings
    in_order: float
    """Of a message that comes, that it is the oldest."""
    crash: float
    tails: bool
    """Disks lose their last batch, where majorities of the others hold it."""
    slow_machine: bool
    change: float
    """That a leader is asked to change the members."""
    wires_max: int
    hops: tuple[float, ...]
    """Seconds that pass before a node looks at the clock."""


def draw(seed: int) -> Plan:
    rng = random.Random(f"walk {seed}")
    some = rng.choice
    settings = Settings(
        election_timeout_min=1.0,
        election_timeout_max=2.0,
        window_messages_max=some((1, 4, 64)),
        batch_entries_max=some((1, 3, 512)),
        keep_entries=some((0, 2, 50)),
        prevote=rng.random() < 0.7,
        check_quorum=rng.random() < 0.7,
        self_vote_last=rng.random() < 0.2,
        concede=rng.random() < 0.7,
        snapshot_chunk_bytes=some((CHUNK_BYTES, 1000)),
        log_bytes_max=some((1 << 30, 1 << 30, LOG_BYTES)),
        pin_seconds_max=some((600.0, 1.0)),
        pin_bytes_max=some((1 << 30, PIN_BYTES)),
    )
    return Plan(
        size=some((1, 2, 3, 3, 3, 4, 5)),
        settings=settings,
        in_order=some((0.95, 0.8, 0.5, 0.1)),
        crash=some((0.0, 0.002, 0.008)),
        tails=rng.random() < 0.4,
        slow_machine=rng.random() < 0.5,
        change=some((0.0, 0.01, 0.04)),
        wires_max=some((40, 120, 300)),
        hops=some(((0.0, 0.02, 0.1, 0.3, 1.0), (0.05, 0.1), (0.5, 1.0, 2.0), (1.0, 2.5))),
    )


class Walking(Script):
    """The rules are looked at as effects come."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.rng = random.Random(seed)
        self.plan = draw(seed)
        self.settings = self.plan.settings
        self.commits = 0
        self.tails_lost = 0
        self.leaders: dict[Term, NodeId] = {}
        self.committed: Index = 0
        self.applied: dict[Index, Entry] = {}
        self.reads: dict[Token, Index] = {}
        """What was committed when each came."""
        self._calls: list[Wire] = []
        self._jobs: dict[NodeId, list[Index]] = {}
        self._machine: dict[NodeId, Index] = {}
        self._taking: dict[NodeId, SnapshotMeta] = {}

    def say(self, text: str) -> None:
        self.out.append(text)
        del self.out[:-TRACE_MAX]

    def _dice(self) -> random.Random:
        return random.Random(self.rng.random())

    def _boot(self, node: ScriptNode) -> None:
        self._jobs[node.name], self._machine[node.name] = [], 0
        self._taking.pop(node.name, None)
        super()._boot(node)

    # what every call into a core brings

    def _take(self, node: ScriptNode, effects: Effects) -> None:
        node.queued += effects.persist
        for token, reply in effects.replies:
            self.wires.append(Wire(node.name, token.source, reply, token))
        for token, index in effects.reads:
            self._read_at(token, index)
        for token, _ in effects.failed:
            self.reads.pop(token, None)
        for event in effects.events:
            self.say(f"{node.name} {event.kind.value}: {event.detail}")
        node.chunks += effects.chunks
        for entry in effects.committed:
            self._same_everywhere(node.name, entry)
        jobs = self._jobs[node.name]
        if effects.committed:
            jobs.append(effects.committed[-1].index)
        if effects.install is not None:
            jobs.append(effects.install.index)
        self._pull(node, effects)
        self._look(node.core._s)
        if not self.plan.slow_machine:
            self._work(node, len(jobs))

    def _pull(self, node: ScriptNode, effects: Effects) -> None:
        before = len(self.wires)
        super()._pull(node, effects)
        self._calls += self.wires[before:]

    def _work(self, node: ScriptNode, jobs: int) -> None:
        """The machine comes to so many of its jobs."""
        waiting = self._jobs[node.name]
        while waiting and jobs > 0:
            self._machine[node.name], jobs = waiting.pop(0), jobs - 1
            self._take(node, node.core.applied(self._machine[node.name], self.now))

    def _snapshot(self, node: ScriptNode) -> None:
        """Begin one, or end the one that was begun."""
        meta = self._taking.pop(node.name, None)
        if meta is None:
            index, core = self._machine[node.name], node.core
            term, members = core.log.term_at(index), core.configuration_at(index)
            if index <= core.snapshot.index or term is None or not members.voters:
                return
            meta = replace(self._meta(index, term), configuration=members)
            if self.plan.slow_machine:
                self._taking[node.name] = meta
                return
        self.say(f"{node.name} has a snapshot at {meta.index}")
        self._take(node, node.core.snapshot_taken(meta, self.now))

    # calls

    def _come(self, wire: Wire) -> None:
        """A message arrives. What a correct peer sends is never impossible."""
        node = self.nodes[wire.target]
        call = wire.call
        if call is not None and (call.life != node.life or call.done):
            return
        self.say(f"{wire}")
        try:
            if call is None:
                self._take(node, node.core.step(wire.message, self.now, wire))  # type: ignore[arg-type]
            else:
                call.done = True
                sent, reply = call.message, wire.message
                effects = node.core.on_reply(wire.source, sent, reply, self.now)  # type: ignore[arg-type]
                self._take(node, effects)
        except ImpossibleMessage as error:
            raise Violation("no-correct-peer-is-impossible", str(error)) from error

    def _unreachable(self, call: Wire) -> None:
        node = self.nodes[call.source]
        if not call.done and call.life == node.life:
            call.done = True
            self.say(f"lost {call}")
            self._take(node, node.core.unreachable(call.target, call.message, self.now))  # type: ignore[arg-type]

    def _end_calls(self, patient: bool) -> None:
        """Those that nobody will answer. patient: not those whose answer a node holds back."""
        under_way = {id(wire.call or wire) for wire in self.wires}
        calls, self._calls = self._calls, []
        for call in calls:
            node = self.nodes[call.source]
            if call.done or call.life != node.life:
                continue
            if id(call) in under_way or (patient and self._held(call)):
                self._calls.append(call)
            else:
                self._unreachable(call)

    def _held(self, call: Wire) -> bool:
        node = self.nodes[call.target]
        state = node.core._s
        reads = state.leadership.reads if state.leadership is not None else ()
        return (
            any(held.token is call for held in state.held)
            or any(token is call for token, _ in node.chunks)
            or any(read.token is call for read in reads)
        )

    # rules

    def _look(self, s: State) -> None:
        if s.role is not Role.LEADER:
            return
        leader = self.leaders.setdefault(s.current_term, s.me)
        if leader != s.me:
            raise Violation("one-leader-a-term", f"{leader} and {s.me} lead {s.current_term}")
        if s.commit_index > self.committed:
            self.committed = s.commit_index
            self.commits += 1
            self._on_a_majority(s)

    def _on_a_majority(self, s: State) -> None:
        index, term = s.commit_index, s.log.term_at(s.commit_index)
        have = [name for name in self.nodes if self._has(name, index, term)]
        if not s.configuration.has_majority(have):
            text = f"{s.me} commits {index}/{term}, which {have} have, of {s.configuration}"
            raise Violation("committed-is-durable", text)

    def _on_disk(self, name: NodeId) -> Recovered:
        node = self.nodes[name]
        return replay(node.base, node.disk)

    def _has(self, name: NodeId, index: Index, term: Term | None) -> bool:
        found = self._on_disk(name)
        covered = found.snapshot is not None and index <= found.snapshot.index
        return covered or any((e.index, e.term) == (index, term) for e in found.entries)

    def _same_everywhere(self, name: NodeId, entry: Entry) -> None:
        known = self.applied.setdefault(entry.index, entry)
        if known != entry:
            raise Violation("one-history", f"{name} applies {entry}, another one {known}")

    def _read_at(self, token: Token, index: Index) -> None:
        before = self.reads.pop(token, 0)
        if index < before:
            text = f"read {token} at {index}; {before} was committed when it came"
            raise Violation("read-index", text)

    def _asked(self, ask: object, *arguments: object) -> bool:
        """False: it was refused, and nothing was done."""
        try:
            ask(*arguments)  # type: ignore[operator]
        except NOTHING_DONE:
            return False
        return True
