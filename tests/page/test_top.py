"""raftctl top: what it shows, and that it fits 80 columns."""

from __future__ import annotations

import pytest

from raftd.cli.raftctl_top import BAR_CELLS, Board, bar
from raftd.client.delivery.nodes import NodeStatus
from raftd.client.errors import NotDone, RaftdError


def node(name: str, **more: object) -> NodeStatus:
    fields: dict[str, object] = {
        "endpoint": f"{name}:7002", "node_id": name, "cluster_id": "c", "version": "1",
        "role": "follower", "term": 4, "leader_id": "n1", "leader_address": "n1:7002",
        "first_index": 1, "last_index": 100, "durable_index": 100, "commit_index": 100,
        "applied_index": 100, "snapshot_index": 0, "admitted": True, "waiting_for": (),
        "peers": (), "healthy": True, "problems": (),
    }  # fmt: skip
    return NodeStatus(**{**fields, **more})  # type: ignore[arg-type]


def reports(*nodes: NodeStatus) -> dict[str, NodeStatus | RaftdError]:
    return {one.endpoint: one for one in nodes}


def test_it_shows_roles_lag_rate_and_what_has_changed() -> None:
    board = Board()
    leader = node("n1", role="leader")
    board.take(reports(leader, node("n2"), node("n3", applied_index=60)), 10.0)
    first = board.lines(80)
    assert "3 of 3 answer  leader n1  term 4" in first[0]
    assert [line.split()[:2] for line in first[3:6]] == [
        ["n1", "leader"],
        ["n2", "follower"],
        ["n3", "follower"],
    ]
    assert " 40 #" in first[5]
    assert "answered, commit index 100." in " ".join(map(str.strip, first)), "a sentence, cut off"
    after = reports(node("n2", role="leader", term=5, commit_index=300), node("n3", leader_id="n2"))
    board.take({"n1:7002": NotDone("no answer within 5 s " + "x" * 80), **after}, 12.0)
    lines = board.lines(80)
    assert "2 of 3 answer  leader n2  term 5  100 entries/s" in lines[0]
    assert any("n1:7002 cannot be reached any more" in line for line in lines)
    assert any("(n2) leads in term 5" in line for line in lines)
    assert any("(n3) follows n2" in line for line in lines)
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize(("lag", "cells"), [(0, 0), (1, 1), (500, 5), (1000, 10), (10**9, 10)])
def test_a_bar_is_as_long_as_the_lag(lag: int, cells: int) -> None:
    assert bar(lag) == "#" * cells
    assert len(bar(lag)) <= BAR_CELLS
