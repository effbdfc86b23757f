"""Conversations between cores as films: `python -m tests.page.gallery` writes docs/gallery anew."""

from __future__ import annotations

import json
from pathlib import Path

from raftd.core.effects import Effects
from raftd.core.messages import VoteReply, VoteRequest
from raftd.node import film_records as records
from tests.core.commands import Script
from tests.core.env import ScriptNode, Wire
from tests.core.golden import RULE, SCRIPTS

OWN_SCRIPTS = Path(__file__).parent / "scripts"
GALLERY = Path(__file__).resolve().parents[2] / "docs" / "gallery"

FILMS = {
    "figure-7": (SCRIPTS / "figure_7.txt", "Figure 7: every kind of follower"),
    "figure-8": (SCRIPTS / "figure_8.txt", "Figure 8: an entry of an old term on a majority"),
    "joint-configuration": (SCRIPTS / "replace_joint.txt", "A voter is replaced"),
    "snapshot": (SCRIPTS / "snapshot_marker_order.txt", "A follower gets a snapshot"),
    "aba-on-disk": (SCRIPTS / "aba_on_disk.txt", "An entry that comes, goes and comes again"),
    "split-vote": (OWN_SCRIPTS / "split_vote.txt", "A split vote"),
    "one-way-partition": (OWN_SCRIPTS / "one_way_partition.txt", "A one-way partition"),
    "leader-killed": (OWN_SCRIPTS / "leader_killed.txt", "The leader is killed"),
}

STEP_SECONDS = 0.5
"""On the film, for each message and each command: time to see it."""
SHOWN_SECONDS = 0.3
"""From a message to what it changed."""


class FilmedScript(Script):
    """Shows what a script does. Its time is that of somebody who looks, not that of the timers."""

    def __init__(self, title: str) -> None:
        super().__init__()
        self.lines: list[records.Record] = []
        self.title = title
        self._t = 0.0
        self._shown: dict[str, records.Record] = {}
        self._whys: dict[int, str] = {}

    def text(self) -> str:
        head = {"kind": "film", "version": records.VERSION, "source": "sim", "title": self.title}
        nodes = dict.fromkeys(self.nodes, "")
        lines = [head | {"now": 0, "speed": 1, "nodes": nodes}, *self.lines]
        return "".join(json.dumps(line) + "\n" for line in lines)

    def note(self, text: str) -> None:
        """A sentence for whoever looks, until the next one."""
        self._put("n1", {"kind": "note", "text": text})

    def run(self, line: str) -> None:
        self._t += STEP_SECONDS
        super().run(line)
        self._look()

    def do_gone(self, name: str) -> None:
        """gone n1: its process has been killed."""
        self._put(name, {"kind": "gone", "why": "killed"})
        self._shown[name] = self._state(self.nodes[name])

    def _put(self, node: str, record: records.Record) -> None:
        self.lines.append({"t": round(self._t, 3), "node": node, **record})

    def _state(self, node: ScriptNode) -> records.Record:
        return {**records.of_state(node.core, self.now), "timer": None, "peers": {}}

    def _look(self) -> None:
        for name, node in self.nodes.items():
            state = self._state(node) if hasattr(node, "core") else None
            if state is not None and state != self._shown.get(name):
                self._shown[name] = state
                self._put(name, state)

    def _arrive(self, wire: Wire) -> None:
        self._t += STEP_SECONDS
        message = wire.message
        if wire.call is None:
            self._put(wire.source, records.of_request(wire.target, message))  # type: ignore[arg-type]
            if isinstance(message, VoteRequest):
                why = self.nodes[wire.target].core.closer(self.now, message).refusal
                self._whys[id(wire)] = why
        elif isinstance(message, VoteReply) and isinstance(wire.call.message, VoteRequest):
            why = self._whys.get(id(wire.call), "")
            self._put(wire.source, records.of_vote(wire.call.message, message, why))
        self._t += SHOWN_SECONDS
        super()._arrive(wire)
        self._look()

    def do_drop(self, pair: str, *which: str) -> None:
        self._lost(pair, which)
        super().do_drop(pair, *which)

    def do_lose(self, pair: str, *which: str) -> None:
        self._lost(pair, which)
        super().do_lose(pair, *which)

    def _lost(self, pair: str, which: tuple[str, ...]) -> None:
        for wire in self._find(pair, which):
            request = (wire.call or wire).message
            what = records.name_of(request)  # type: ignore[arg-type]
            lost = {"kind": "lost", "to": wire.target, "what": what, "count": 1}
            self._put(wire.source, lost)

    def _take(self, node: ScriptNode, effects: Effects) -> None:
        for event in effects.events:
            self._put(node.name, records.of_event(event))
        super()._take(node, effects)


def film_of(name: str) -> str:
    """The film as JSON lines."""
    path, title = FILMS[name]
    script, said, in_output = FilmedScript(title), list[str](), False
    for line in [*path.read_text().splitlines(), ""]:
        if line.startswith("#"):
            said.append(line.removeprefix("#").strip())
            continue
        in_output = bool(line) and (in_output or line == RULE)
        if in_output or not line:
            continue
        if said and script.nodes:
            script.note(" ".join(said))
            said = []
        script.run(line)
    return script.text()


def main() -> None:
    for name in FILMS:
        (GALLERY / f"{name}.jsonl").write_text(film_of(name))


if __name__ == "__main__":
    main()
