"""A seed as a film: the same records as a running node's, made of the trace (docs/page.md)."""

from __future__ import annotations

import json
from typing import Any, TextIO

from raftd.core.core import RaftCore
from raftd.core.effects import Event
from raftd.core.messages import Reply, Request, VoteReply, VoteRequest
from raftd.node import film_records as records
from tests.sim.cluster import Cluster

GONE = ("crash", "paused", "frozen out")
"""What the trace says of a node that cannot be seen from then on, by the first words."""


def film(cluster: Cluster, file: TextIO) -> Filming:
    """Film this cluster from now on into the file. Changes nothing of the run."""
    return Filming(cluster, file)


class Filming:
    def __init__(self, cluster: Cluster, file: TextIO) -> None:
        self.misjudged: list[str] = []
        """Votes of which `why_refused` says other than what the core did."""
        self._cluster = cluster
        self._file = file
        self._now = 0.0
        self._changed: dict[str, None] = {}
        self._states: dict[str, records.Record] = {}
        self._asked: dict[tuple[str, int], list[tuple[VoteRequest, str]]] = {}
        """By node and request: a request may arrive twice, and be judged anew."""
        seed = cluster.world.seed
        title = f"seed {seed} of the simulator, {len(cluster.names)} nodes"
        head = {"kind": "film", "version": records.VERSION, "source": "sim", "title": title}
        self._line(head | {"now": 0, "nodes": dict.fromkeys(cluster.names, "")})
        cluster.world.watch = self._watch

    def _line(self, record: records.Record) -> None:
        self._file.write(json.dumps(record) + "\n")

    def _put(self, node: str, record: records.Record) -> None:
        self._line({"t": round(self._now, 6), "node": node, **record})

    def _watch(self, now: float, node: str, what: str, value: Any) -> None:
        """What a node does may not be done when it is traced: its state is taken afterwards."""
        if now > self._now:
            self._look()
            self._now = now
        if node not in self._cluster.nodes:
            return
        if what.startswith(GONE):
            self._changed.pop(node, None)
            self._states.pop(node, None)
            self._put(node, {"kind": "gone", "why": what})
            return
        self._changed[node] = None
        word, _, peer = what.partition(" ")
        if word == "->":
            self._put(node, records.of_request(peer, value))
        elif word == "lost" and value is not None:
            self._put(node, records.of_loss(peer, value))
        elif word == "<-" and isinstance(value, VoteRequest):
            core = self._core(node)
            if core is not None:
                why = core.closer(self._cluster.nodes[node].now(), value).refusal
                self._asked.setdefault((node, id(value)), []).append((value, why))
        elif word == "answers":
            self._answered(node, *value)
        elif isinstance(value, Event):
            self._put(node, records.of_event(value))

    def _answered(self, node: str, request: Request, reply: Reply) -> None:
        if not isinstance(request, VoteRequest) or not isinstance(reply, VoteReply):
            return
        whys = [why for _, why in self._asked[node, id(request)]]
        fitting = [why for why in whys if bool(why) != reply.granted]
        if not fitting:
            self.misjudged.append(f"{self._now}: {node} answers {request} with {reply}: {whys}")
        self._put(node, records.of_vote(request, reply, (fitting or whys)[0]))

    def _look(self) -> None:
        for node in self._changed:
            core = self._core(node)
            if core is None:
                continue
            state = records.of_state(core, self._cluster.nodes[node].now())
            shown = {**state, "timer": None, "peers": None}
            if self._states.get(node) != shown:
                self._states[node] = shown
                self._put(node, state)
        self._changed.clear()

    def _core(self, node: str) -> RaftCore | None:
        """None: the node is down, or has not begun."""
        return getattr(self._cluster.nodes[node].process, "core", None)
