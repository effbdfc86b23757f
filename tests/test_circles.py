"""No two files of raftd need each other, directly or by way of others, not even for a type."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def modules() -> dict[str, Path]:
    found = {}
    for path in sorted((ROOT / "raftd").rglob("*.py")):
        if "_pb" not in path.parts:
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts).removesuffix(".__init__")] = path
    return found


def needs(path: Path, known: dict[str, Path]) -> set[str]:
    """The modules of ours that this file imports anywhere, also within functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in known else node.module)
        elif isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
    return found & known.keys()


def test_there_is_no_circle() -> None:
    """Raises CycleError, which names the files of the circle."""
    known = modules()
    graph = {name: needs(path, known) - {name} for name, path in known.items()}
    assert len(graph) > 200
    TopologicalSorter(graph).prepare()
