"""How many cases the loops in the tests have tried: said at the end of a run, one line a room.

A loop over thousands of cases is one test; `count` keeps its numbers, also across the processes of
pytest-xdist, whose output nobody sees.
"""

from __future__ import annotations

import os
import textwrap
from collections.abc import Callable

import pytest
from hypothesis import settings

import raftd.own_process  # noqa: F401 - before the first import of grpc

# isort: split
import harness  # noqa: F401 - clients of this process use the transport of the run

# `make test` draws the same examples each time: what it says of a commit, it says again. Others are
# drawn by `--hypothesis-profile=explore`; what that finds becomes an @example of its test.
settings.register_profile("same", derandomize=True, database=None)
settings.register_profile("explore", derandomize=False)
settings.load_profile("same")

# Programs are started as users start them. The story with it set: what a program never wrote into a
# pipe was there in all tests.
os.environ.pop("PYTHONUNBUFFERED", None)

LONG_SECONDS = 600
"""Before a test that is `long` is ended. Beside other work one that takes a minute takes two, and
those that look at the page were ended at the 120 s of all others while all went well.
"""

Count = Callable[[str, int], None]
PROPERTY = "count "


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("long") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(LONG_SECONDS))


@pytest.fixture
def count(request: pytest.FixtureRequest) -> Count:
    """count("torn tails", 311): added up over all tests of a room (a directory of tests).

    Numbers that belong together have a common start: count("matrix: available", 46).
    """
    room = request.path.parent.name

    def add(what: str, number: int) -> None:
        request.node.user_properties.append((PROPERTY + room, [what, number]))

    return add


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    groups: dict[str, dict[str, int]] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", None) != "call":
                continue
            for name, (what, number) in report.user_properties:
                if name.startswith(PROPERTY):
                    group, _, what = what.rpartition(": ")
                    title = ", ".join(filter(None, (name.removeprefix(PROPERTY), group)))
                    counts = groups.setdefault(title, {})
                    counts[what] = counts.get(what, 0) + number
    for title, counts in sorted(groups.items()):
        said = ", ".join(f"{number:,} {what}" for what, number in counts.items())
        for line in textwrap.wrap(f"{title}: {said}", 100, subsequent_indent="  "):
            terminalreporter.write_line(line)
