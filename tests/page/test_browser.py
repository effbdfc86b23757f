"""The page in a headless Chromium, on a live cluster and with a file.

With RAFTD_PICTURES=1 it writes the pictures of the documents anew.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.cluster import Cluster
from harness.nodes import ROOT, page_settings
from tests.page.browser import Browser, missing
from tests.sim.film import film
from tests.sim.swarm import run_seed

pytestmark = [
    pytest.mark.long,
    pytest.mark.cluster,
    pytest.mark.skipif(bool(missing()), reason=missing() or "there is a browser"),
]

LEADER = "return document.querySelector('tr[data-role=leader]')?.dataset.node ?? ''"
TIME = "return document.getElementById('time').textContent"
LATE_HEAD = """
const modules = [import('/page/film.js'), import('/page/source.js')];
return Promise.all(modules).then(([{ Film }, source]) => {
  const begin = source.present(), asked = window.fetch, film = new Film(Infinity);
  const was = [begin - 3.5, begin - 0.5];
  const line = (record) => new TextEncoder().encode(JSON.stringify(record) + "\\n");
  const state = (t) => ({ t, node: "n1", kind: "state" });
  const body = new ReadableStream({ start(tell) {
    tell.enqueue(line({ kind: "film", node: "n1", nodes: {}, now: begin - 3 }));
    for (const t of was) tell.enqueue(line(state(t)));
    setTimeout(() => {
      was.push(source.present());
      tell.enqueue(line(state(was[2])));
    }, 400);
  } });
  window.fetch = () => Promise.resolve(new Response(body));
  const end = new AbortController();
  source.follow(film, () => {}, end.signal);
  return new Promise((resolve) => {
    const wait = setInterval(() => {
      const states = film.states.get("n1") ?? [];
      if (states.length < 3) return;
      clearInterval(wait);
      end.abort();
      window.fetch = asked;
      resolve(states.map(({ t }, place) => t - was[place]));
    }, 20);
  });
});
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(profile=tmp_path_factory.mktemp("profile")) as made:
        yield made


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    made = Cluster(tmp_path_factory.mktemp("nodes"))
    made.configure({"cluster_token": "test", **page_settings(made.nodes)})
    yield made.start()
    made.close()


def picture(browser: Browser, name: str) -> None:
    if os.environ.get("RAFTD_PICTURES"):
        browser.picture(ROOT / "docs" / name)


def test_it_plays_a_seed_of_the_simulator(
    browser: Browser, cluster: Cluster, tmp_path: Path
) -> None:
    path = tmp_path / "seed.jsonl"
    with path.open("w") as file:
        run_seed(42, watch=lambda simulated: film(simulated, file))
    browser.open(f"http://127.0.0.1:{cluster.nodes[0].ports.admin}/")
    browser.type("#file", str(path))
    browser.until(lambda: "seed 42" in browser.text("#source"), "the file to be played")
    browser.until(lambda: "is elected" in browser.text("#elections"), "its elections")
    browser.run("document.activeElement.blur()")
    browser.type("body", " ")
    browser.until(lambda: browser.text("#play") == "play", "the pause")
    moment = browser.run(TIME)
    browser.type("body", "n")
    browser.until(lambda: browser.run(TIME) != moment, "the next election")
    assert "asked" in browser.text("#explanation")
    browser.type("body", "n")
    browser.type("body", "p")
    browser.click("#back-to-live")
    browser.until(lambda: browser.run(LEADER), "the cluster again")
    assert browser.complaints() == []


def test_a_head_that_was_long_on_its_way_makes_nothing_late(
    browser: Browser, cluster: Cluster
) -> None:
    """After the start of a busy page, half a second of a node's life was shown late."""
    browser.open(f"http://127.0.0.1:{cluster.nodes[0].ports.admin}/")
    late = browser.run(LATE_HEAD)
    assert len(late) == 3
    assert all(abs(seconds) < 0.2 for seconds in late), late


def test_a_file_that_is_no_film_is_refused_by_its_line(
    browser: Browser, cluster: Cluster, tmp_path: Path
) -> None:
    path = tmp_path / "no-film.jsonl"
    path.write_text('{"kind": "film", "version": 1}\n{"t": 1}\n')
    browser.open(f"http://127.0.0.1:{cluster.nodes[0].ports.admin}/")
    browser.type("#file", str(path))
    browser.until(lambda: "line 2 has no t" in browser.text("#problem"), "the refusal")


def test_a_vote_that_came_too_late_was_given_and_not_counted(
    browser: Browser, cluster: Cluster, tmp_path: Path
) -> None:
    """It said "it has 2 of 3, and needs 2. It did not get them" (seed 42 of the simulator)."""
    places = dict.fromkeys(("first", "last", "durable", "commit", "applied", "snapshot"), 0)
    voters = {"voters": ["n1", "n2", "n3"], "terms": [], "timer": None, "vote": None}
    campaign = {"node": "n1", "kind": "event", "event": "role", "role": "candidate"}
    vote = {"node": "n2", "kind": "reply", "to": "n1", "what": "vote", "granted": True}
    records = [
        {"kind": "film", "version": 1, "source": "sim", "nodes": {"n1": "", "n2": "", "n3": ""}},
        {"t": 0, "node": "n1", "kind": "state", "role": "follower", "term": 0, **places, **voters},
        {"t": 1, **campaign, "term": 1, "detail": "follower -> candidate: election timeout"},
        {"t": 2, **vote, "term": 1},
        {"t": 3, **campaign, "term": 2, "detail": "candidate -> candidate: election timeout"},
    ]
    path = tmp_path / "late.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    browser.open(f"http://127.0.0.1:{cluster.nodes[0].ports.admin}/")
    browser.type("#file", str(path))
    browser.until(lambda: "not elected" in browser.text("#elections"), "its elections")
    browser.click("#elections li:last-child button")
    told = browser.text("#explanation")
    assert "n2 voted for it. No answer of n3 was seen." in told
    assert "With its own vote these are 2 of 3, and it needs 2, but they did not all" in told
    assert browser.complaints() == []


def test_it_follows_a_cluster_whose_leader_dies(browser: Browser, cluster: Cluster) -> None:
    leader = cluster.leader()
    browser.open(f"http://127.0.0.1:{leader.ports.admin}/")
    browser.until(lambda: browser.run(LEADER) == leader.id, "the page to show the leader")
    client = cluster.client()
    for number in range(12):
        client.put(b"key %d" % number, b"value")
    committed = (
        "return [...document.querySelectorAll('#servers td:nth-child(8)')].map(c => +c.textContent)"
    )
    applied = cluster.wait_level()
    browser.until(lambda: browser.run(committed) == [applied] * 3, "the page to show the commits")
    browser.until(lambda: "key 11" in browser.text("#changes tbody"), "the store's last changes")
    browser.until(lambda: "entry, ms" in browser.text("#rates"), "what an entry took")
    leader.kill()  # and it is the one that serves the page
    others = {node.id for node in cluster.nodes if node is not leader}
    browser.until(lambda: browser.run(LEADER) in others, "the page to show the next leader")
    gone = f"tr[data-node={leader.id}][data-role=dead]"
    assert browser.run("return Boolean(document.querySelector(arguments[0]))", gone)
    assert browser.run(LEADER) == cluster.leader().id

    browser.click("#elections li[data-won=true] button")
    browser.until(lambda: "a majority, so" in browser.text("#explanation"), "all that was said")
    assert f"No answer of {leader.id} was seen" in browser.text("#explanation")
    browser.until(lambda: browser.text("#play") == "play", "the pause")
    before = browser.text("#servers tbody")
    for _ in range(12):
        browser.click("#step")
    assert browser.text("#servers tbody") != before
    picture(browser, "page.png")
    browser.click("#live")
    browser.until(lambda: browser.run(LEADER) in others, "the present again")
    assert browser.complaints() == []
