"""What the page makes of a film is what the nodes were, at 200 moments of a run under faults."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.page.browser import Browser, missing
from tests.sim.cluster import Cluster
from tests.sim.film import film
from tests.sim.swarm import run_seed

pytestmark = [
    pytest.mark.long,
    pytest.mark.cluster,
    pytest.mark.skipif(bool(missing()), reason=missing() or "there is a browser"),
]

MOMENTS = 200
SEED = 7
EVENTS = 8_000
EVERY = 12
"""Instants from one look to the next."""

FIELDS = ("role", "term", "vote", "leader", "last", "durable", "commit")

ASK = """
const [text, moments, fields] = arguments;
const modules = [import('/page/film.js'), import('/page/source.js')];
return Promise.all(modules).then(([{ Film }, { parse }]) => {
  const film = new Film(Infinity);
  parse(text, film);
  return moments.map(([t, nodes]) => nodes.map((node) => {
    const state = film.at(node, t);
    return !state || state.gone ? null : fields.map((field) => state[field]);
  }));
});
"""


class Witness:
    """Looks at the nodes themselves, each time that the film has caught up with an instant."""

    def __init__(self, cluster: Cluster, file: io.StringIO) -> None:
        film(cluster, file)
        self.seen: list[tuple[float, float, list[list[Any] | None]]] = []
        """(an instant, the next one, what each node is between them)"""
        self._cluster = cluster
        self._filming = cluster.world.watch
        self._now = 0.0
        self._instants = 0
        cluster.world.watch = self._watch

    def _watch(self, now: float, node: str, what: str, value: Any) -> None:
        if now > self._now:
            self._instants += 1
            if self._instants % EVERY == 0 and len(self.seen) < MOMENTS:
                names = self._cluster.names
                states = [self._state(name) for name in names]
                self.seen.append((round(self._now, 6), round(now, 6), states))
            self._now = now
        assert self._filming is not None
        self._filming(now, node, what, value)

    def _state(self, name: str) -> list[Any] | None:
        node = self._cluster.nodes[name]
        core = getattr(node.process, "core", None)
        if core is None or node.paused:
            return None
        state = core.state(node.now())
        values = state.role.value, state.term, state.vote, state.leader
        return [*values, state.last_index, state.durable_index, state.commit_index]


def is_between(truth: list[Any] | None, page: Sequence[list[Any] | None]) -> bool:
    """Is it what the page shows of the time before an instant, or of the time after it?

    The first line of an instant's trace may come when the first of its changes is done already: of
    two entries that the log takes in one instant, the truth then has one.
    """
    if truth in page:
        return True
    before, after = page
    if truth is None or before is None or after is None or before[:4] != after[:4]:
        return False
    return truth[:4] == before[:4] and all(
        first <= one <= last
        for first, one, last in zip(before[4:], truth[4:], after[4:], strict=True)
    )


def test_the_page_shows_what_the_nodes_were(port: int, tmp_path: Path) -> None:
    file, witnesses = io.StringIO(), list[Witness]()
    run_seed(SEED, EVENTS, watch=lambda cluster: witnesses.append(Witness(cluster, file)))
    [witness] = witnesses
    names = list(witness._cluster.names)
    moments = [(t, names) for before, after, _ in witness.seen for t in (before, after)]
    with Browser(profile=tmp_path) as browser:
        browser.open(f"http://127.0.0.1:{port}/")
        shown = browser.run(ASK, file.getvalue(), moments, FIELDS)
    assert len(shown) == 2 * MOMENTS
    before, after = shown[::2], shown[1::2]
    for (t, _, truths), *pages in zip(witness.seen, before, after, strict=True):
        for name, truth, *page in zip(names, truths, *pages, strict=True):
            assert is_between(truth, page), f"{name} at {t}: {truth} and not {page}"
    assert any(None in truths for _, _, truths in witness.seen), "nobody was ever down"
    assert sum(one == two for one, two in zip(before, after, strict=True)) > MOMENTS / 2
