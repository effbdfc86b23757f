"""Commands that move messages, sync disks, act as clients, and look."""

from __future__ import annotations

from dataclasses import replace

from raftd.core import describe
from raftd.core.changes import Change, ChangeKind
from raftd.core.messages import (
    AppendReply,
    AppendRequest,
    HelloRequest,
    Request,
    SnapshotRequest,
    VoteRequest,
)
from raftd.core.types import Entry, EntryType, Identity, Member
from tests.core.building import Building
from tests.core.env import CLUSTER, Wire


class Script(Building):
    """All commands of a script."""

    # messages

    def _find(self, pair: str, which: tuple[str, ...]) -> list[Wire]:
        """n1>n2: requests; n2=>n1: replies; with a word: those whose text contains it."""
        reply = "=>" in pair
        source, target = pair.split("=>" if reply else ">")
        found = [
            wire
            for wire in self.wires
            if wire.source in (source, "*")[:1]
            and wire.target == target
            and (wire.call is not None) == reply
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
        """cut n1>n2 [word]: they arrive, but the stream breaks: the sender is told that they are
        lost.
        """
        for wire in self._find(pair, which):
            self.wires.remove(wire)
            wire.done = True
            self._arrive(wire)
            self.say(f"lost {wire}")
            node = self.nodes[wire.source]
            self._take(node, node.core.unreachable(wire.target, wire.message, self.now))  # type: ignore[arg-type]

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

    def do_forge(self, pair: str, kind: str, *fields: str) -> None:
        """forge n2>n1 append term=1 [prev=2/1] [terms=1,1], forge n2>n1 hello, forge n2>n1 snapshot
        term=1 last=2/1, forge n2>n1 vote term=1 last=2/1: a message in a node's name that it has
        not sent.
        """
        source, target = pair.split(">")
        given = dict(field.split("=") for field in fields)
        term = int(given.get("term", 0))
        message: Request
        if kind == "hello":
            message = HelloRequest(Identity(CLUSTER, source, f"i-{source}"), (), number=1)
        elif kind == "vote":
            index, last_term = map(int, given["last"].split("/"))
            message = VoteRequest(term, source, index, last_term, number=1)
        elif kind == "snapshot":
            index, last_term = map(int, given["last"].split("/"))
            message = SnapshotRequest(term, source, self._meta(index, last_term), 0, number=1)
        else:
            index, prev_term = map(int, given.get("prev", "0/0").split("/"))
            terms = [int(each) for each in given.get("terms", "").split(",") if each]
            entries = tuple(
                Entry(index + 1 + offset, each, EntryType.BATCH, b"forged")
                for offset, each in enumerate(terms)
            )
            message = AppendRequest(term, source, index, prev_term, entries, 0, number=1)
        self._arrive(Wire(source, target, message))

    def do_forge_answer(self, pair: str, durable: str) -> None:
        """forge-answer n2=>n1 99: to the first request under way the other way round."""
        source, target = pair.split("=>")
        [wire] = self._find(f"{target}>{source}", ("first",))
        self.wires.remove(wire)
        term, number = self.nodes[target].core.current_term, getattr(wire.message, "number", 0)
        reply = AppendReply(term, True, int(durable), number=number)
        self._arrive(Wire(source, target, reply, call=wire))

    # disk

    def do_crash(self, name: str) -> None:
        """crash n1: what was not synced is gone; it starts again."""
        self._boot(self.nodes[name])
        self._greet()

    def do_rot(self, name: str) -> None:
        """rot n2: the last write that it synced goes bad unseen, and it starts again."""
        node = self.nodes[name]
        self.say(f"{name} has lost {describe.write(node.disk.pop())}")
        self.do_crash(name)

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

    def do_refuse(self, name: str) -> None:
        """refuse n2: the snapshot that n2 has received is damaged; it wants all of it again."""
        node = self.nodes[name]
        chunks, node.chunks = node.chunks, []
        for wire, request in chunks:
            self.say(f"{name} refuses snapshot {request.meta.index}")
            self._take(node, node.core.chunk_stored(wire, request, 0, self.now))

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

    def do_change(self, name: str, kind: str, node: str, *how: str) -> None:
        """change n1 add n4, change n1 replace n3 by=n4 [force]: asked of n1, as a leader."""
        given = dict(each.split("=") for each in how if "=" in each)
        member = Member(node)
        if kind in ("add", "update"):
            host = given.get("at", node)
            member = Member(node, f"{host}:1", f"{host}:2")
        if kind == "add":
            member = replace(member, incarnation=self.nodes[node].core.identity.incarnation)
        change = Change(ChangeKind(kind), member, given.get("by", ""), "force" in how)
        effects = self.nodes[name].core.change(change, self.now)
        where = " ".join(f"{index}/{term}" for index, term in effects.assigned)
        self.say(f"{name} assigned {where or 'nothing: it is so already'}")
        self._take(self.nodes[name], effects)

    def do_transfer(self, name: str, target: str) -> None:
        self._take(self.nodes[name], self.nodes[name].core.transfer(target, self.now))

    def do_fit(self, name: str, said: str) -> None:
        """fit n1 no: its driver says that it should not lead."""
        self.nodes[name].core.fit_to_lead(said == "yes")

    def do_prefer(self, name: str, priority: str) -> None:
        """prefer n2 1: its setting, from now on."""
        state = self.nodes[name].core._s
        state.settings = replace(state.settings, priority=int(priority))

    def do_link_lost(self, name: str, peer: str) -> None:
        self._take(self.nodes[name], self.nodes[name].core.link_lost(peer, self.now))

    def do_snapshot(self, name: str) -> None:
        """snapshot n1: its snapshot of all that it has applied is durable."""
        node = self.nodes[name]
        state = node.core.state(self.now)
        index = state.applied_index
        configuration = node.core.configuration_at(index)
        meta = replace(
            self._meta(index, node.core.log.term_at(index) or 0), configuration=configuration
        )
        self._take(node, node.core.snapshot_taken(meta, self.now))

    def do_rotten(self, name: str) -> None:
        """rotten n1: the file of its newest snapshot turns out to have gone bad."""
        core = self.nodes[name].core
        meta = core.snapshot
        effects = core.snapshot_is_rotten(meta, f"snapshot {meta.index} has changed", self.now)
        self._take(self.nodes[name], effects)

    # looking

    def do_status(self, *names: str) -> None:
        """status [n1]: a line a node."""
        for name in names or tuple(self.nodes):
            core = self.nodes[name].core
            log = core.log
            terms = ",".join(
                str(log.term_at(index)) for index in range(log.first_index, log.last_index + 1)
            )
            vote = core.voted_for or "-"
            where = f"commit={core.commit_index} durable={core.durable_index} last={log.last_index}"
            start = f"{log.first_index}:" if log.first_index > 1 else ""
            self.say(
                f"{name} {core.role.value} term={core.current_term} vote={vote} {where} "
                f"log={start}[{terms}]"
            )

    def do_members(self, *names: str) -> None:
        """members [n1]: the configuration in force at each node."""
        for name in names or tuple(self.nodes):
            found = self.nodes[name].core.configuration
            retired = f", retired {','.join(found.retired)}" if found.retired else ""
            self.say(f"{name} {found}{retired}")

    def do_peers(self, name: str) -> None:
        """peers n1: what a leader knows of its followers."""
        for peer in self.nodes[name].core.state(self.now).peers:
            self.say(
                f"{peer.peer} {peer.mode} match={peer.match} next={peer.next} "
                f"inflight={peer.inflight}"
                + (" unfit" if peer.unfit else "")
                + (" held back" if peer.held_back else "")
            )

    def do_wires(self) -> None:
        """wires: what is under way."""
        for wire in self.wires:
            self.say(f"{wire}")
