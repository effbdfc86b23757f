"""One list in two places is two lists at once, on all replicas, as it is after a snapshot."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from raftd.objects import Dict, check_objects, command, query, replicated
from raftd.objects.checking import LocalChannel
from raftd.objects.machine import ObjectsMachine
from raftd.objects.objects import Objects

EVERYWHERE: list[str] = []
"""What no method should use: a list that all objects would share."""


@dataclass
class Line:
    words: list[str] = field(default_factory=list)


@replicated
class Pad:
    items: list[str] = field(default_factory=list)
    last: list[str] = field(default_factory=list)
    lines: dict[str, Line] = field(default_factory=dict)
    newest: Line | None = None
    pairs: list[tuple[str, list[str]]] = field(default_factory=list)

    @command
    def keep(self) -> None:
        self.last = self.items

    @command
    def add(self, word: str) -> None:
        self.items.append(word)

    @command
    def line(self, key: str, words: list[str]) -> None:
        self.lines[key] = self.newest = Line(words)

    @command
    def pair(self, words: list[str]) -> None:
        self.pairs += [("a", words), ("b", words)]

    @command
    def word(self, key: str, word: str) -> None:
        self.lines[key].words.append(word)

    @command
    def first_of_pair(self, word: str) -> None:
        self.pairs[0][1].append(word)

    @command
    def keep_and_fail(self) -> None:
        self.last = self.items
        raise RuntimeError("half of it is done")

    @command
    def everybodys(self) -> None:
        self.items = EVERYWHERE

    @query
    def all(self) -> tuple[list[str], list[str]]:
        return self.items, self.last

    @query
    def newest_words(self) -> list[str]:
        return self.newest.words if self.newest is not None else []

    @query
    def second_of_pair(self) -> list[str]:
        return self.pairs[1][1]


class Desk(Objects):
    left = Pad()
    right = Pad()
    stock = Dict[str, int]()


def _twice(use: Callable[[Desk], None]) -> tuple[bytes, bytes]:
    """The state after `use`, and that of a replica that read a snapshot after each command."""
    channel = LocalChannel(Desk)
    use(Desk(channel))
    other = ObjectsMachine(Desk.declared)
    for data in channel.commands:
        other.apply(data)
        other.restore(io.BytesIO(b"".join(other.capture())))
    return b"".join(channel.machine.capture()), b"".join(other.capture())


def keeps(desk: Desk) -> None:
    desk.left.keep()
    desk.left.add("a")
    assert desk.left.all() == (["a"], [])


def fails_after_it(desk: Desk) -> None:
    with pytest.raises(Exception, match="RuntimeError"):
        desk.left.keep_and_fail()
    desk.left.add("a")
    assert desk.left.all() == (["a"], [])


def puts_one_object_in_two_places(desk: Desk) -> None:
    desk.left.line("k", ["a"])
    desk.left.word("k", "b")
    assert desk.left.newest_words() == ["a"]


def puts_one_list_into_two_tuples(desk: Desk) -> None:
    desk.left.pair(["a"])
    desk.left.first_of_pair("b")
    assert desk.left.second_of_pair() == ["a"]


def takes_a_list_of_the_modules(desk: Desk) -> None:
    desk.left.everybodys()
    desk.right.everybodys()
    desk.right.add("a")
    assert desk.left.all() == ([], [])


USES = [
    keeps,
    fails_after_it,
    puts_one_object_in_two_places,
    puts_one_list_into_two_tuples,
    takes_a_list_of_the_modules,
]


@pytest.mark.parametrize("use", USES, ids=lambda use: use.__name__)
def test_replicas_stay_together(use: Callable[[Desk], None]) -> None:
    try:
        live, restored = _twice(use)
    finally:
        EVERYWHERE.clear()
    assert live == restored


@pytest.mark.parametrize("use", USES[:-1], ids=lambda use: use.__name__)
def test_the_check_finds_nothing_to_blame(use: Callable[[Desk], None]) -> None:
    check_objects(Desk, use)


def test_it_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "raftd.objects"):
        _twice(keeps)
    assert "left.keep leaves one list, dict or object in two places, left.items and left.last" in (
        caplog.text
    )
    assert "left.add" not in caplog.text


def test_what_shares_nothing_keeps_its_objects() -> None:
    machine = LocalChannel(Desk)
    desk = Desk(machine)
    before = machine.machine._states["stock"]
    desk.stock["a"] = 1
    desk.left.line("k", ["a"])
    assert machine.machine._states["stock"] is before
