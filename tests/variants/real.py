"""The same variants on three real processes: from the last node's start to a leader, and from a
SIGSTOP of the leader to the next one. Times are those of the nodes' own logs.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from harness.nodes import Node, kill_all, make_nodes, remove_tree, wait_until, write_configs

NODES = ("n1", "n2", "n3")
PATIENCE_SECONDS = 30.0


def cold_start(base: Path, settings: Mapping[str, str]) -> float:
    """Seconds from the moment that the last of three empty nodes serves to a leader."""
    nodes = _fresh(base, settings)
    try:
        return _wait_for_leader(nodes, 0.0) - max(_times(nodes, "serving", ""))
    finally:
        kill_all(nodes)
        remove_tree(base)


def silent_leaders(base: Path, settings: Mapping[str, str], count: int) -> list[float]:
    """Seconds from SIGSTOP of the leader to the next one, `count` times on one cluster."""
    nodes = _fresh(base, settings)
    try:
        _wait_for_leader(nodes, 0.0)
        found, term = [], 0.0
        for _ in range(count):
            seconds, term = _silence_leader(nodes, term)
            found.append(seconds)
        return found
    finally:
        kill_all(nodes)
        remove_tree(base)


def _fresh(base: Path, settings: Mapping[str, str]) -> list[Node]:
    nodes = make_nodes(base, NODES)
    write_configs(nodes, {"log_format": "json", **settings})
    for node in nodes:
        node.start()
    return nodes


def _silence_leader(nodes: Sequence[Node], after: float) -> tuple[float, float]:
    """Returns how long it took, and the term of the leader that was silenced."""
    wait_until(lambda: _agreed(nodes, after), PATIENCE_SECONDS, "all to follow one leader", nodes)
    [leader] = [node for node in nodes if node.metric("raftd_is_leader") == 1]
    term = leader.metric("raftd_term") or after
    others = [node for node in nodes if node is not leader]
    began = time.time()
    leader.pause()
    elected = _wait_for_leader(others, began)
    leader.resume()
    return elected - began, term


def _agreed(nodes: Sequence[Node], after: float) -> bool:
    """In a term beyond `after`: metrics lag a tenth of a second behind, and a sleeper's more."""
    leading = [node.metric("raftd_is_leader") for node in nodes]
    terms = {node.metric("raftd_term") for node in nodes}
    if leading.count(1) != 1 or len(terms) != 1 or (terms.pop() or 0) <= after:
        return False
    return all(node.ready() for node in nodes)


def _wait_for_leader(nodes: Sequence[Node], since: float) -> float:
    """When (seconds since 1970) the first node says that it leads, at `since` or later."""
    found: list[float] = []

    def look() -> bool:
        found[:] = [at for at in _times(nodes, "role", "-> leader") if at >= since]
        return bool(found)

    wait_until(look, PATIENCE_SECONDS, "a leader", nodes)
    return min(found)


def _times(nodes: Sequence[Node], event: str, text: str) -> list[float]:
    return [at for node in nodes for at in _lines(node.log_path, _is(event, text))]


def _is(event: str, text: str) -> Callable[[dict[str, str]], bool]:
    return lambda said: said.get("event") == event and text in said.get("msg", "")


def _lines(path: Path, wanted: Callable[[dict[str, str]], bool]) -> list[float]:
    found = []
    for line in path.read_text(errors="replace").splitlines():
        try:
            said = json.loads(line)
            if wanted(said):
                found.append(datetime.fromisoformat(said["ts"]).timestamp())
        except (ValueError, KeyError):
            continue  # a line that is being written
    return found
