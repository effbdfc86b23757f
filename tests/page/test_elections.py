"""Elections on the page: what is told of them, and by which keys one gets about."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.page.browser import Browser, missing

pytestmark = [
    pytest.mark.long,
    pytest.mark.cluster,
    pytest.mark.skipif(bool(missing()), reason=missing() or "there is a browser"),
]

Record = dict[str, Any]
VOTERS = ["n1", "n2", "n3"]
ROUNDS = 4
FOCUS = "return document.activeElement.dataset.id ?? document.activeElement.id"
LATE_VOTE = """
return import('/page/panels.js').then(({ electionList }) => {
  const one = { node: "n1", t: 1, won: true, term: 2, votes: new Map() };
  const more = { ...one, votes: new Map([["n2", { granted: true }]]) };
  let chosen = null;
  for (const each of [one, more]) electionList([each], 2, null, String, (it) => { chosen = it; });
  document.querySelector("#elections button").click();
  return chosen.votes.size;
});
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(profile=tmp_path_factory.mktemp("profile")) as made:
        yield made


def press(browser: Browser, key: str) -> None:
    """Wherever the focus is."""
    strokes = [{"type": kind, "value": key} for kind in ("keyDown", "keyUp")]
    browser.act([{"type": "key", "id": "keyboard", "actions": strokes}])


def lone_node() -> list[Record]:
    """n1 asks for pre-votes ROUNDS times and nobody answers; in the last round n3 is back."""
    places = dict.fromkeys(("first", "last", "durable", "commit", "applied", "snapshot"), 0)
    shown = {"voters": VOTERS, "terms": [], "timer": None, "vote": None, "role": "follower"}
    event = {"node": "n1", "kind": "event", "event": "role", "level": "info", "term": 4}
    reply = {"node": "n3", "kind": "reply", "to": "n1", "term": 5, "granted": True, "why": ""}
    records: list[Record] = [
        {"kind": "film", "version": 1, "source": "sim", "nodes": dict.fromkeys(VOTERS, "")},
        {"t": 0, "node": "n1", "kind": "state", "term": 4, **places, **shown},
    ]
    for number in range(ROUNDS):
        before = "pre-candidate" if number else "follower"
        detail = f"{before} -> pre-candidate: election timeout"
        records.append({"t": 1 + 0.3 * number, **event, "role": "pre-candidate", "detail": detail})
    end = 1 + 0.3 * (ROUNDS - 1)
    last = {**event, "term": 5}
    return [
        *records,
        {"t": end + 0.01, **reply, "what": "pre-vote"},
        {"t": end + 0.02, **last, "role": "candidate", "detail": "x -> candidate: pre-vote won"},
        {"t": end + 0.03, **reply, "what": "vote"},
        {"t": end + 0.04, **last, "role": "leader", "detail": "candidate -> leader of term 5"},
        {"t": 4, "node": "n2", "kind": "gone", "why": "killed"},
    ]


CHOSEN = """
    const all = [...document.querySelectorAll("#elections button")];
    return all.findIndex(button => button.getAttribute("aria-pressed") === "true");
"""
"""The place of the election that is shown, in the list."""


@pytest.fixture
def film(browser: Browser, port: int, tmp_path: Path) -> Browser:
    path = tmp_path / "film.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in lone_node()))
    browser.open(f"http://127.0.0.1:{port}/")
    browser.type("#file", str(path))
    browser.until(lambda: "is elected" in browser.text("#elections"), "its elections")
    return browser


def test_rounds_of_pre_votes_are_one_campaign(film: Browser) -> None:
    """Thirty of them filled the list, and a vote of the last round was told of the three before."""
    titles = film.run(
        "return [...document.querySelectorAll('#elections li')].map(e => e.innerText)"
    )
    assert [title.split(" s ")[1] for title in titles] == [
        "n1 is elected in term 5",
        f"n1 is not elected (pre-vote for term 5, {ROUNDS - 1} times)",
    ]
    film.click("#elections li:last-child button")
    assert film.text("#explanation") == (
        f"n1 asked whether it could win in term 5, {ROUNDS - 1} times, because: election timeout. "
        "No answer of n2 and n3 was seen. With its own vote it has 1 of 3, and needs 2. "
        "It did not get them: election timeout."
    )
    # The list is drawn anew with the next frame: a button of before would be gone when clicked.
    film.until(lambda: film.run(CHOSEN) == 1, "the choice to be shown")
    film.click("#elections li:first-child button")
    assert "n3 voted for it. No answer of n2 was seen." in film.text("#explanation")
    assert film.complaints() == []


def test_an_answer_that_comes_later_belongs_to_the_election_that_is_listed(
    browser: Browser, port: int
) -> None:
    """A leader that got its vote from a node just started: "whose votes is not in this film"."""
    browser.open(f"http://127.0.0.1:{port}/")
    assert browser.run(LATE_VOTE) == 1


def test_keys_work_wherever_the_focus_is(film: Browser) -> None:
    """They did nothing after a click on a button; and choosing an election lost the focus."""
    film.click("#play")
    film.run("document.querySelector('#elections button').focus()")
    focus = film.run(FOCUS)
    press(film, "\ue007")  # enter
    film.until(lambda: "n1 asked for votes" in film.text("#explanation"), "the explanation")
    film.until(
        lambda: film.run("return document.querySelector('[aria-pressed=true][data-id]') !== null"),
        "the election to be marked",
    )
    assert film.run(FOCUS) == focus
    moment = film.text("#time")
    press(film, "\ue012")  # left
    film.until(lambda: film.text("#time") != moment, "a step back")
    moment = film.text("#time")
    film.click("#step-back")
    film.until(lambda: film.text("#time") != moment, "another one")
    moment = film.text("#time")
    press(film, "\ue014")  # right, on the button that was clicked
    film.until(lambda: film.text("#time") != moment, "a step on")
    film.run("document.querySelector('#elections [aria-pressed=true]').focus()")
    press(film, " ")
    film.until(lambda: film.text("#play") == "pause", "the film to go on")
    assert film.complaints() == []


def test_a_node_never_seen_takes_the_whole_row(film: Browser) -> None:
    cells = "return [...document.querySelector('tr[data-node=n2]').cells].map(c => c.colSpan)"
    film.run("document.getElementById('timeline').value = 1000")
    film.until(lambda: film.run("return document.querySelector('tr[data-node=n2]') !== null"), "n2")
    assert film.run(cells) == [1, 9]
