"""What the page shows of a live cluster under faults is what its nodes say of themselves.

The browser follows the cluster as the page does, by way of whichever node answers, while a chaos
run kills, pauses and cuts off its nodes. Each node is asked on its own port what it is; what the
page had for that moment is compared once the run is over.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from harness.nodes import Node, page_settings, wait_until
from raftd.client import Client, RaftdError
from tests.chaos.run import Chaos, Options, Report
from tests.conftest import Count
from tests.page.browser import Browser, missing

pytestmark = [
    pytest.mark.long,
    pytest.mark.cluster,
    pytest.mark.skipif(bool(missing()), reason=missing() or "there is a browser"),
]

MOMENTS = 200
FAULTS = ("kill-leader", "isolate-leader", "pause-leader", "kill-minority", "one-way", "kill-all")
SLACK_SECONDS = 0.5
"""A node looks at itself ten times a second, and its clock is moved to the page's by a message.

So a look may be placed a little late. A node that was killed 0.1 s after it had answered had one,
of before the answer, in the first half of this time, and was not taken for silent: its picture
lacked three entries.
"""
GONE_SECONDS = 4.0
"""After so long the page must have noticed that a process is dead."""

LAST_SECONDS = 1.0
OTHER = {"n1": "n2", "n2": "n3", "n3": "n1"}

FOLLOW = """
return Promise.all([import('/page/film.js'), import('/page/source.js')])
  .then(([{ Film }, { follow }]) => {
    window.shown = new Film(Infinity);
    follow(window.shown, () => {}, new AbortController().signal);
  });
"""
CLOCK = "return performance.now() / 1000"
LOOK = """
const [moments] = arguments, film = window.shown;
const fields = ({ role, term, leader, last, durable, commit }) =>
  [role, term, leader ?? "", last, durable, commit];
return moments.map(([node, from, then, to]) => ({
  gone: Boolean(film.at(node, to)?.gone),
  silent: !film.between(film.states.get(node) ?? [], (then + to) / 2, to)
    .some(({ kind }) => kind === "state"),
  states: [film.at(node, from), ...film.between(film.states.get(node) ?? [], from, to)]
    .filter((state) => state?.kind === "state").map(fields),
}));
"""


class Moment(NamedTuple):
    """A node at a time of this process's clock; truth: role, term, leader, last, durable, commit,
    or None where it did not answer.
    """

    node: str
    before: float
    after: float
    running: bool
    truth: list[Any] | None


class Witness:
    """Asks each node on its own port, again and again, in a thread for each."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.moments: dict[str, list[Moment]] = {node.id: [] for node in nodes}
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._look, args=(node,)) for node in nodes]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _look(self, node: Node) -> None:
        draw = random.Random(node.id)
        with Client(node.client_address, timeout=0.5) as client:
            while not self._stop.wait(draw.uniform(0.1, 0.5)):
                running, before = node.pid() is not None, time.monotonic()
                truth: list[Any] | None
                try:
                    said = client.status(node.client_address)
                    truth = [said.role, said.term, said.leader_id]
                    truth += [said.last_index, said.durable_index, said.commit_index]
                except RaftdError:
                    truth = None
                self.moments[node.id].append(
                    Moment(node.id, before, time.monotonic(), running, truth)
                )


def offset(browser: Browser) -> float:
    """This process's clock minus the page's, of the quickest of some answers."""
    found: list[tuple[float, float]] = []
    for _ in range(20):
        before = time.monotonic()
        shown = browser.run(CLOCK)
        after = time.monotonic()
        found.append((after - before, (before + after) / 2 - shown))
    return min(found)[1]


def agree(truth: Sequence[Any], page: dict[str, Any]) -> bool:
    """Was it shown so in the time about it? Indexes move on between two looks of the node; one that
    is killed or stopped a moment later has not told its last ones.
    """
    states = page["states"]
    if not any(list(state[:3]) == list(truth[:3]) for state in states):
        return False
    shown = [[state[place] for state in states] for place in (3, 4, 5)]
    lows, highs = [min(one) for one in shown], [max(one) for one in shown]
    return all(
        low <= one and (one <= high or page["silent"])
        for low, one, high in zip(lows, truth[3:], highs, strict=True)
    )


def looks(browser: Browser, moments: Sequence[Moment], ahead: float) -> list[dict[str, Any]]:
    """What the page had about these moments."""
    asked = [
        (one.node, before - SLACK_SECONDS, after, after + SLACK_SECONDS)
        for one in moments
        for before, after in [(one.before - ahead, one.after - ahead)]
    ]
    shown: list[dict[str, Any]] = browser.run(LOOK, asked)
    return shown


def dead_for_long(moments: Sequence[Moment]) -> list[Moment]:
    """Those at whose time the process had been seen dead for GONE_SECONDS."""
    found, since = [], None
    for one in moments:
        if one.running or one.truth is not None:
            since = None
            continue
        since = one.before if since is None else since
        if one.before - since > GONE_SECONDS:
            found.append(one)
    return found


def answered(witness: Witness) -> list[Moment]:
    """Where a node said what it is; at the end they are killed with their last words."""
    found = [one for seen in witness.moments.values() for one in seen if one.truth is not None]
    end = max(one.after for one in found)
    return [one for one in found if one.after < end - LAST_SECONDS]


def shown_wrongly(said: Sequence[Moment], shown: Sequence[dict[str, Any]]) -> list[Any]:
    return [
        (one, page["states"])
        for one, page in zip(said, shown, strict=True)
        if not agree(one.truth or (), page)
    ]


def tormented(base: Path) -> tuple[Chaos, threading.Thread, list[Report]]:
    """A chaos run of three nodes with the page, begun in a thread, and where its report will be."""
    options = Options(base, nodes=3, seed=7, faults=FAULTS, hold=(5.0, 7.0), processes=1)
    chaos = Chaos(options, print)
    nodes = chaos.cluster.nodes
    for node in nodes:
        with node.config_path.open("a") as file:
            file.writelines(f"{name}: {value}\n" for name, value in page_settings(nodes).items())
    reports: list[Report] = []
    run = threading.Thread(target=lambda: reports.append(chaos.run()))
    run.start()
    wait_until(lambda: all(node.ready() for node in nodes), 60, "the cluster", nodes)
    return chaos, run, reports


def test_the_page_shows_what_live_nodes_say(tmp_path: Path, count: Count) -> None:
    with Browser(profile=tmp_path / "profile") as browser:
        chaos, run, reports = tormented(tmp_path / "chaos")
        nodes = chaos.cluster.nodes
        browser.open(f"http://127.0.0.1:{nodes[0].ports.admin}/")
        browser.run(FOLLOW)
        browser.until(lambda: browser.run("return window.shown.states.size") == 3, "the film")
        witness = Witness(nodes)
        run.join()
        witness.stop()
        said = answered(witness)
        dead = [one for seen in witness.moments.values() for one in dead_for_long(seen)]
        ahead = offset(browser)
        shown, shown_dead = looks(browser, said, ahead), looks(browser, dead, ahead)
        others = looks(browser, [one._replace(node=OTHER[one.node]) for one in said], ahead)
    assert reports
    assert reports[0].good, reports[0].lines()
    wrong, strange = shown_wrongly(said, shown), shown_wrongly(said, others)
    alive = [one for one, page in zip(dead, shown_dead, strict=True) if not page["gone"]]
    silent = sum(page["silent"] for page in shown)
    told = (
        f"of {len(said)} moments of live nodes (at least {MOMENTS}) {len(wrong)} were shown "
        f"wrongly (none) and {silent} were silent (less than {len(said) / 4:g}), {len(strange)} "
        f"would have been wrong of another node (more than {len(said) / 2:g}); "
        f"of {len(dead)} moments of dead nodes (at least 1) {len(alive)} were shown alive (none)"
    )
    count("moments of live nodes compared", len(said))
    count("silent ones", silent)
    count("moments of dead nodes compared", len(dead))
    assert not wrong, "\n".join(map(str, [told, *wrong[:3]]))
    assert not alive, "\n".join(map(str, [told, *alive[:3]]))
    assert len(said) >= MOMENTS, told
    assert dead, told
    assert silent < len(said) / 4, told
    assert len(strange) > len(said) / 2, told
