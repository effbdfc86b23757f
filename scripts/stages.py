"""The steps of a fail-over, as the surviving nodes' own logs tell of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime

from harness.nodes import Node

STAGES = ("noticed", "pre-vote", "election", "leader", "served")
"""The last one is the client's to tell."""


def stages_of(nodes: Sequence[Node], marks: Mapping[str, int], since: float) -> dict[str, float]:
    """When the survivors noticed, and when the new leader took each step; seconds since `since`."""
    noticed: list[float] = []
    steps: dict[str, float] = {}
    for node in nodes:
        mine: dict[str, float] = {}
        for at, event, text in _events(node, marks[node.id]):
            if at < since:
                continue
            if "link to leader" in text:
                noticed.append(at)
            elif event == "role":
                stage = _stage_of(text)
                if stage == "leader":
                    steps = {**mine, "leader": at}
                elif stage:
                    mine[stage] = at
    if noticed:
        steps["noticed"] = min(noticed)
    return {stage: at - since for stage, at in steps.items()}


def _stage_of(text: str) -> str:
    for stage, words in (
        ("pre-vote", "-> pre-candidate"),
        ("election", "-> candidate"),
        ("leader", "-> leader"),
    ):
        if words in text:
            return stage
    return ""


def _events(node: Node, mark: int) -> list[tuple[float, str, str]]:
    """(seconds since 1970, event, message) of each line written after `mark` bytes."""
    found = []
    with node.log_path.open("rb") as log:
        log.seek(mark)
        for line in log:
            try:
                said = json.loads(line)
                at = datetime.fromisoformat(said["ts"]).timestamp()
            except (ValueError, KeyError, TypeError):
                continue
            found.append((at, str(said.get("event", "")), str(said.get("msg", ""))))
    return found
