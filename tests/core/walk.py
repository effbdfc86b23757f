"""`python -m tests.core.walk --seeds 1000`: random walks over the cores, whatever comes next.

Where the simulator has clocks, networks and disks that behave like real ones, a walk has none: a
message of long ago may come today. It knows the core alone, so it is quick. In the end all comes in
order, and there must be a leader, a commit, and all members level.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter

from raftd.core.effects import BrokenInvariant
from raftd.core.types import EntryType, NodeId, Role
from tests.core.env import ScriptNode
from tests.core.walking import Violation, Walking

STEPS = 2500
CALM_ROUNDS = 4000
CALM_STEP_SECONDS = 0.02
NODES_MAX = 9
ENDS_EVERY = 50
"""Steps between two looks at calls that nobody will answer."""
SHOWN = 60
"""Of the last things that happened before a violation."""

MOVES = {
    "come next": 50,
    "come again": 3,
    "get lost": 5,
    "persist": 16,
    "tick": 8,
    "propose": 8,
    "read": 3,
    "store": 1,
    "snapshot": 1,
    "machines work": 2,
    "transfer": 0.7,
    "link lost": 0.6,
    "fit": 0.5,
    "rot": 1,
}
"""How often each is chosen."""


class Walk(Walking):
    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self._asked_for = self.changes = 0
        self.do_cluster(str(self.plan.size))
        self.do_boot()

    def step(self) -> None:
        rng, plan = self.rng, self.plan
        node = self.nodes[rng.choice(list(self.nodes))]
        chance = rng.random()
        if chance < plan.crash:
            self.say(f"{node.name} crashes")
            self._boot(node)
        elif chance < plan.crash + plan.change:
            self._change()
        else:
            [move] = rng.choices(list(MOVES), list(MOVES.values()))
            getattr(self, "_" + move.replace(" ", "_"))(node)
        while len(self.wires) > plan.wires_max:
            wire = self.wires.pop(rng.randrange(len(self.wires) // 2))
            self._unreachable(wire.call or wire)

    def go(self, steps: int) -> None:
        for number in range(steps):
            self.step()
            if number % ENDS_EVERY == 0:
                self._end_calls(patient=self.rng.random() < 0.9)
        self.calm()

    # moves

    def _come_next(self, _: ScriptNode) -> None:
        if self.wires:
            oldest = self.rng.random() < self.plan.in_order
            place = 0 if oldest else self.rng.randrange(len(self.wires))
            self._come(self.wires.pop(place))

    def _come_again(self, _: ScriptNode) -> None:
        if self.wires:
            self._come(self.rng.choice(self.wires))

    def _get_lost(self, _: ScriptNode) -> None:
        """Its sender is told at once, or by its deadline."""
        if self.wires:
            wire = self.wires.pop(self.rng.randrange(len(self.wires)))
            if self.rng.random() < 0.7:
                self._unreachable(wire.call or wire)

    def _persist(self, node: ScriptNode) -> None:
        if node.queued:
            self.do_persist(node.name, str(self.rng.randint(1, len(node.queued))))

    def _tick(self, node: ScriptNode) -> None:
        self.now += self.rng.choice(self.plan.hops)
        self._take(node, node.core.tick(self.now))

    def _leader(self) -> NodeId:
        """One of those that lead, or "": nobody does."""
        found = [name for name, node in self.nodes.items() if node.core.role is Role.LEADER]
        return self.rng.choice(found) if found else ""

    def _propose(self, _: ScriptNode) -> None:
        if leader := self._leader():
            self._asked_for += 1
            self._asked(self.do_propose, leader, f"c{self._asked_for}")

    def _read(self, node: ScriptNode) -> None:
        self._asked_for += 1
        token = f"r{self._asked_for}"
        self.reads[token] = self.committed
        if not self._asked(self.do_read, node.name, token):
            del self.reads[token]

    def _store(self, node: ScriptNode) -> None:
        (self.do_store if self.rng.random() < 0.85 else self.do_refuse)(node.name)

    def _machines_work(self, _: ScriptNode) -> None:
        for node in self.nodes.values():
            self._work(node, self.rng.choice((0, 1, 2, 9)))

    def _transfer(self, _: ScriptNode) -> None:
        if leader := self._leader():
            self._asked(self.do_transfer, leader, self.rng.choice(list(self.nodes)))

    def _link_lost(self, node: ScriptNode) -> None:
        self.do_link_lost(node.name, self.rng.choice(list(self.nodes)))

    def _fit(self, node: ScriptNode) -> None:
        node.core.fit_to_lead(self.rng.random() < 0.6)

    def _rot(self, node: ScriptNode) -> None:
        """The last batch on a disk goes bad: entries alone, which majorities of the others hold."""
        last = node.disk[-1] if node.disk else None
        if not self.plan.tails or last is None or not last.entries or last.marker:
            return
        if last.hard_state or last.records or last.admitted:
            return
        configurations = [other.core.configuration for other in self.nodes.values()]
        for entry in last.entries:
            others = [n for n in self.nodes if n != node.name]
            have = [name for name in others if self._has(name, entry.index, entry.term)]
            if entry.type is EntryType.CONFIGURATION:
                return
            if not all(each.has_majority(have) for each in configurations if each.voters):
                return
        self.tails_lost += 1
        self.do_rot(node.name)

    def _change(self) -> None:
        leader = self._leader()
        if not leader:
            return
        rng, members = self.rng, self.nodes[leader].core.configuration
        kind = rng.choice(("add", "add", "promote", "promote", "demote", "remove", "replace"))
        by: tuple[str, ...] = ()
        if kind == "add":
            whom = self._newcomer(leader)
        elif kind == "promote":
            whom = rng.choice(members.learners or ("",))
        else:
            whom = rng.choice(list(members.members()))
        if kind == "replace":
            whom, by = rng.choice(members.voters), (f"by={rng.choice(members.learners or ('',))}",)
        if whom and by != ("by=",):
            force = ("force",) if rng.random() < 0.3 else ()
            self.changes += self._asked(self.do_change, leader, kind, whom, *by, *force)

    def _newcomer(self, leader: NodeId) -> NodeId:
        members = self.nodes[leader].core.configuration
        known = {*members.members(), *members.retired}
        waiting = [name for name in self.nodes if name not in known]
        if not waiting and len(self.nodes) < NODES_MAX:
            waiting = [f"n{len(self.nodes) + 1}"]
            self.do_join(waiting[0])
        return self.rng.choice(waiting) if waiting else ""

    # the end

    def calm(self) -> None:
        """Everything comes, in order, and every disk is quick."""
        goal = (0, 0)
        for number in range(CALM_ROUNDS):
            if number % 10 == 0:
                self._end_calls(patient=True)
            self._quick_round()
            leader = self._newest_leader()
            if leader is None:
                continue
            core = leader.core
            if goal[0] != core.current_term:
                last = core.log.last_index + 1
                if self._asked(self.do_propose, leader.name, "calm"):
                    goal = core.current_term, last
            elif core.commit_index >= goal[1] and self._level(
                core.configuration.members(), goal[1]
            ):
                return
        nodes = "; ".join(f"{name} {node.core._s.role}" for name, node in self.nodes.items())
        raise Violation("calm", f"no leader, no commit, or a member that stays behind: {nodes}")

    def _level(self, members: frozenset[NodeId] | tuple[NodeId, ...], index: int) -> bool:
        return all(self.nodes[name].core.commit_index >= index for name in members)

    def _newest_leader(self) -> ScriptNode | None:
        found = [node for node in self.nodes.values() if node.core.role is Role.LEADER]
        return max(found, key=lambda node: node.core.current_term, default=None)

    def _quick_round(self) -> None:
        for name, node in self.nodes.items():
            node.core.fit_to_lead(True)
            if node.queued:
                self.do_persist(name)
            if node.chunks:
                self.do_store(name)
            self._work(node, len(self._jobs[name]))
            if node.core.log.bytes > self.settings.log_bytes_max:
                self._snapshot(node)
        under_way, self.wires = self.wires, []
        for wire in under_way:
            self._come(wire)
        self.now += CALM_STEP_SECONDS
        for node in self.nodes.values():
            self._take(node, node.core.tick(self.now))


def walk(seed: int, steps: int = STEPS) -> Walk:
    """Raises Violation, and BrokenInvariant of a core."""
    made = Walk(seed)
    made.go(steps)
    return made


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.core.walk", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the first one (default %(default)s)")
    parser.add_argument("--seeds", type=int, default=200, help="how many (default %(default)s)")
    parser.add_argument("--steps", type=int, default=STEPS, help="each (default %(default)s)")
    options = parser.parse_args()
    began, seen = time.monotonic(), Counter[str]()
    for seed in range(options.seed, options.seed + options.seeds):
        made = Walk(seed)
        try:
            made.go(options.steps)
        except (Violation, BrokenInvariant) as error:
            print(*made.out[-SHOWN:], sep="\n", file=sys.stderr)
            print(f"seed {seed}: {error}", file=sys.stderr)
            print(f"again: python -m tests.core.walk --seed {seed} --seeds 1", file=sys.stderr)
            return 1
        seen.update(commits=made.commits, terms=len(made.leaders), tails=made.tails_lost)
        seen.update(entries=len(made.applied), changes=made.changes)
    figures = ", ".join(f"{name} {count}" for name, count in seen.items())
    print(f"{options.seeds} walks, {figures}, {time.monotonic() - began:.0f} s: no violation")
    return 0


if __name__ == "__main__":
    sys.exit(main())
