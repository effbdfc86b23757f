"""Commands that build clusters and move time and messages."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from raftd.core.core import RaftCore
from raftd.core.messages import VoteReply, VoteRequest
from raftd.core.types import Configuration, Entry, EntryType, HardState, Identity, Recovered, Role
from tests.core.env import CLUSTER, Environment, HalfRandom, ScriptNode


class Building(Environment):
    """`do_<command>` for each command; the docstring is its manual."""

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

    def do_join(self, name: str) -> None:
        """join n4: an empty directory that joins the cluster. Nobody knows of it yet."""
        node = self.nodes[name] = ScriptNode(name)
        node.joins = True
        self._boot(node)

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
        self.nodes[name].base = replace(
            base, hard_state=hard_state, snapshot=snapshot, entries=entries
        )

    def do_boot(self, *names: str) -> None:
        """boot [n1 ...]: start (or restart) from what is synced; all by default. Greetings are
        swallowed.
        """
        for name in names or tuple(self.nodes):
            self._boot(self.nodes[name])
        if all(node.base.admitted for node in self.nodes.values()):
            self._greet()

    def do_wipe(self, name: str) -> None:
        """wipe n1: its directory is lost; it boots with another incarnation."""
        node = self.nodes[name]
        node.base, node.disk = Recovered(), []
        identity = Identity(CLUSTER, name, f"new-{name}")
        node.core = RaftCore(
            identity, self.settings, self.configuration, node.base, HalfRandom(), self.now
        )
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
        """elect n1 n2 n3: n1 wins an election with these votes; appends stay under way. Said in
        one line.
        """
        quiet, self._quiet = self._quiet, True
        node = self.nodes[name]
        for _ in range(50):
            if node.core.role is Role.LEADER:
                break
            if node.core.role is Role.FOLLOWER:
                self.do_campaign(name)
            self._election_round(name, voters)
        self.wires = [
            w for w in self.wires if not (w.source == name and isinstance(w.message, VoteRequest))
        ]
        if node.queued:
            self.do_persist(name)
        self._quiet = quiet
        self.say(f"{name} {node.core.role.value} of term {node.core.current_term}")

    def _election_round(self, name: str, voters: tuple[str, ...]) -> None:
        for member in (name, *voters):
            if self.nodes[member].queued:
                self.do_persist(member)
        for wire in list(self.wires):
            if isinstance(wire.message, (VoteRequest, VoteReply)) and {
                wire.source,
                wire.target,
            } <= {name, *voters}:
                self.wires.remove(wire)
                self._arrive(wire)

    def do_silence(self, name: str) -> None:
        """silence n1: all that it has under way is gone; it restarts from its disk."""
        self.wires = [wire for wire in self.wires if name not in (wire.source, wire.target)]
        self._boot(self.nodes[name])
        self._greet()
