"""Every kind of event has a level, and that is how loud its line in the log is."""

from __future__ import annotations

import ast
import logging
import subprocess
from pathlib import Path

import pytest

from raftd.core.effects import Event
from raftd.core.events import EventKind, Level
from raftd.core.types import Role
from raftd.daemon.watching import log_event

ROOT = Path(__file__).resolve().parents[1]
LOUDNESS = {Level.DETAIL: "DEBUG", Level.NEWS: "INFO", Level.TROUBLE: "WARNING"}


@pytest.mark.parametrize("kind", EventKind)
def test_a_line_is_as_loud_as_its_kind(kind: EventKind, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "raftd.node")
    log_event(Event(kind, 1, Role.LEADER, "n1", "what happened", "n2"))
    [record] = caplog.records
    assert record.levelname == LOUDNESS[kind.level]
    assert record.getMessage() == f"{kind.value.replace('_', ' ')}: what happened"
    assert vars(record)["event"] == kind.value


def test_what_could_not_be_written_is_trouble() -> None:
    assert EventKind.SNAPSHOT_FAILED.level is Level.TROUBLE


def test_every_kind_is_told_by_somebody() -> None:
    """A kind that nobody tells is a promise in a table, and no more."""
    listing = subprocess.run(
        ["git", "ls-files", "raftd/core", "raftd/node"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listing.returncode:
        pytest.skip("not a git checkout")
    told = set()
    for name in listing.stdout.split():
        if name.endswith(".py") and (ROOT / name).exists() and name != "raftd/core/events.py":
            for node in ast.walk(ast.parse((ROOT / name).read_text())):
                if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "EventKind":
                    told.add(node.attr)
    assert told == {kind.name for kind in EventKind}
