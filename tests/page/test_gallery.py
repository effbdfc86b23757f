"""docs/gallery shows what the code does."""

from __future__ import annotations

import json

import pytest

from tests.page.gallery import FILMS, GALLERY, film_of


@pytest.mark.parametrize("name", FILMS)
def test_a_film_is_what_its_script_shows_today(name: str) -> None:
    stored = (GALLERY / f"{name}.jsonl").read_text()
    assert stored == film_of(name), "write it anew: .venv/bin/python -m tests.page.gallery"
    records = [json.loads(line) for line in stored.splitlines()]
    assert all({"t", "node", "kind"} <= set(record) for record in records[1:])
    votes = [record for record in records if record["kind"] == "reply"]
    assert all(record["granted"] != bool(record["why"]) for record in votes)
    assert any(record["kind"] == "note" for record in records)


def outcomes(name: str) -> list[tuple[str, str, int]]:
    """Who came to which role, in which term."""
    records = [json.loads(line) for line in film_of(name).splitlines()]
    roles = [record for record in records if record.get("event") == "role"]
    return [(record["node"], record["role"], record["term"]) for record in roles]


def test_the_stories_end_as_they_are_told() -> None:
    assert outcomes("leader-killed")[-1] == ("n2", "leader", 2)
    split = outcomes("split-vote")
    assert not [node for node, role, term in split if (role, term) == ("leader", 1)]
    assert split[-1] == ("n1", "leader", 2)
    assert {term for _, _, term in outcomes("one-way-partition")} == {0, 1}


def test_the_gallery_names_every_film() -> None:
    text = (GALLERY / "README.md").read_text()
    assert all(f"[{name}.jsonl]({name}.jsonl)" in text for name in FILMS)
    assert {path.stem for path in GALLERY.glob("*.jsonl")} == set(FILMS)
