"""Level and digests: what is asked of nodes, and what is kept when they differ. No processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness import level
from harness.level import Where
from harness.nodes import Node, NodeTrouble, make_nodes


@pytest.fixture
def nodes(tmp_path: Path) -> list[Node]:
    made = make_nodes(tmp_path, ["n1", "n2"])
    for node in made:
        (node.data_path / "snapshots").mkdir(parents=True)
        (node.data_path / "0000000000000001.wal").write_bytes(node.id.encode())
        node.log_path.write_text("its log")
    return made


def _says(*answers: object) -> Callable[[Node], object]:
    """Each call gets the next answer; the last one stays."""
    left: Iterator[object] = iter(answers)
    last = [answers[-1]]

    def ask(node: Node) -> object:
        last[0] = next(left, last[0])
        return last[0]

    return ask


def test_level_is_all_that_anybody_holds_applied_everywhere(nodes: list[Node]) -> None:
    """n1 holds an entry more than n2 has applied, then its machine lags, then both are there."""
    ask = _says(Where(8, 7), Where(7, 7), Where(8, 7), Where(8, 8), Where(8, 8))
    assert level.wait_level(nodes, 5, ask) == 8  # type: ignore[arg-type]


def test_never_level(nodes: list[Node]) -> None:
    with pytest.raises(NodeTrouble, match="applied everything"):
        level.wait_level(nodes, 0.05, _says(Where(8, 7)))  # type: ignore[arg-type]


def test_digests_of_different_indexes_say_nothing(nodes: list[Node]) -> None:
    """n2 is behind, then n1 is further on; index 8 is where both have been seen."""
    ask = _says((8, b"a"), (7, b"b"), (9, b"c"), (8, b"a"))
    assert level.digests(nodes, 5, ask) == (8, {"n1": b"a", "n2": b"a"})  # type: ignore[arg-type]


def test_a_digest_that_differs_at_one_index_keeps_the_directories(
    nodes: list[Node], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(level, "KEPT", tmp_path / "kept")
    index, values = level.digests(nodes, 5, _says((8, b"a"), (8, b"b")))  # type: ignore[arg-type]
    with pytest.raises(level.Diverged, match="diverged at index 8: n1 61, n2 62") as error:
        level.check(index, values, nodes)
    (place,) = (tmp_path / "kept").iterdir()
    assert str(place) in str(error.value)
    assert (place / "n2" / "data" / "0000000000000001.wal").read_bytes() == b"n2"
    assert (place / "n1" / "log").read_text() == "its log"
