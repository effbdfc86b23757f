"""The names on the pages that explain the code exist: a page cannot outlive what it names."""

from __future__ import annotations

import ast
import importlib
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CORE = ROOT / "raftd" / "core"
SCRIPTS = ROOT / "tests" / "core" / "scripts"


@cache
def names_in(path: Path) -> frozenset[str]:
    """Functions, classes and methods that are defined in a file, and names that it assigns."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return frozenset(found)


@cache
def known_tests() -> frozenset[str]:
    return frozenset().union(*(names_in(path) for path in (ROOT / "tests/core").glob("test_*.py")))


def exists(token: str) -> bool:
    """`leader.append`, `raftd/node/node.py:submit`, `figure_8.txt`, `test_...`, or a path."""
    if "/" in token:
        path, _, name = token.partition(":")
        return (ROOT / path).exists() and (not name or name in names_in(ROOT / path))
    if token.endswith(".txt"):
        return (SCRIPTS / token).exists()
    if token.startswith("test_"):
        return token in known_tests()
    module, *rest = token.split(".")
    if not rest or not (CORE / f"{module}.py").exists():
        return False
    found: object = importlib.import_module(f"raftd.core.{module}")
    for name in rest:
        if not hasattr(found, name) and name not in getattr(found, "__annotations__", {}):
            return False
        found = getattr(found, name, None)
    return True


def tokens(text: str) -> set[str]:
    return set(re.findall(r"`([^`\n]+)`", text))


def test_figure_2_names_what_exists() -> None:
    found = tokens((ROOT / "docs/figure-2.md").read_text())
    assert len(found) > 100
    assert sorted(token for token in found if not exists(token)) == []


def test_the_glossary_names_what_exists() -> None:
    found = tokens((ROOT / "docs/glossary.md").read_text())
    assert len(found) > 30
    assert sorted(token for token in found if not exists(token)) == []


@pytest.mark.parametrize("title", ["A newcomer's walk", "How to add"])
def test_contributing_names_what_exists(title: str) -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    section = text.split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]
    found = {token for token in tokens(section) if token not in {"make proto", "next_..."}}
    assert len(found) > 20
    assert sorted(token for token in found if not exists(token)) == []


def test_figure_2_shows_every_golden_conversation_of_the_paper() -> None:
    text = (ROOT / "docs/figure-2.md").read_text()
    ours = {"forged", "no_room", "peer_lost", "unfit_leader", "admission", "resend_before_durable"}
    ours |= {"unadmitted_counts_for_nothing", "link_lost_dead_leader"}
    ours |= {"snapshot_refused_then_newer", "preferred_leader"}
    named = {path.stem for path in SCRIPTS.glob("*.txt") if path.name in text}
    assert {path.stem for path in SCRIPTS.glob("*.txt")} - named <= ours


@pytest.mark.parametrize(
    "token",
    ["leader.nothing", "nothing.append", "figure_9.txt", "test_nothing", "raftd/node/node.py:no"],
)
def test_a_name_that_is_not_there_is_found(token: str) -> None:
    assert not exists(token)
