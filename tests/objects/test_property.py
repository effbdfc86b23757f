"""Random use of every object gives what plain Python objects give, on every replica."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections import deque
from contextlib import suppress
from dataclasses import field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from raftd.machine.kit import MachineCheckFailed
from raftd.objects import CommandRefused, check_objects, command, query, replicated
from raftd.objects.checking import LocalChannel
from raftd.objects.objects import Objects
from tests.objects.shop import Line, Machine, Shop, digest, drive

ROOT = Path(__file__).resolve().parents[2]
KEYS = st.sampled_from(["a", "b", "c", "é"])
NUMBERS = st.integers(-(1 << 63), (1 << 63) - 1)


class BesidePlainObjects(RuleBasedStateMachine):
    """A shop beside a dict, a set's list, a number, a deque and a list."""

    def __init__(self) -> None:
        super().__init__()
        self.channel = LocalChannel(Shop)
        self.shop = Shop(self.channel)
        self.stock: dict[str, int] = {}
        self.seen: list[int] = []
        self.orders = 0
        self.jobs: deque[str] = deque()
        self.lines: list[Line] = []

    @rule(key=KEYS, value=NUMBERS)
    def put(self, key: str, value: int) -> None:
        self.shop.stock[key] = self.stock[key] = value

    @rule(key=KEYS, default=NUMBERS)
    def pop(self, key: str, default: int) -> None:
        assert self.shop.stock.pop(key, default) == self.stock.pop(key, default)

    @rule(key=KEYS, value=NUMBERS)
    def setdefault(self, key: str, value: int) -> None:
        assert self.shop.stock.setdefault(key, value) == self.stock.setdefault(key, value)

    @rule(key=KEYS, expected=st.none() | NUMBERS, value=st.none() | NUMBERS, right=st.booleans())
    def compare(self, key: str, expected: int | None, value: int | None, right: bool) -> None:
        expected = self.stock.get(key) if right else expected
        fits = self.stock.get(key) == expected
        assert self.shop.stock.compare_and_set(key, expected, value) == fits
        if fits and value is None:
            self.stock.pop(key, None)
        elif fits and value is not None:
            self.stock[key] = value

    @rule(item=st.integers(0, 5))
    def add(self, item: int) -> None:
        assert self.shop.seen.add(item) == (item not in self.seen)
        self.seen += [item] * (item not in self.seen)

    @rule(item=st.integers(0, 5))
    def discard(self, item: int) -> None:
        assert self.shop.seen.discard(item) == (item in self.seen)
        self.seen = [each for each in self.seen if each != item]

    @rule(by=NUMBERS)
    def count(self, by: int) -> None:
        if abs(self.orders + by) < 1 << 63:
            self.orders += by
            assert self.shop.orders.add(by) == self.orders
        else:
            with pytest.raises(CommandRefused, match="beyond 64 bits"):
                self.shop.orders.add(by)

    @rule(job=st.text(max_size=3))
    def queue(self, job: str) -> None:
        with suppress(CommandRefused):
            self.shop.jobs.put(job)
            self.jobs.append(job)
        assert len(self.jobs) <= 3

    @rule()
    def take(self) -> None:
        assert self.shop.jobs.get() == (self.jobs.popleft() if self.jobs else None)

    @rule(what=KEYS, amount=st.integers(-9, 9))
    def book(self, what: str, amount: int) -> None:
        if sum(each.amount for each in self.lines if each.what == what) + amount >= 0:
            self.shop.books.book(what, amount)
            self.lines.append(Line(what, amount))
        else:
            with pytest.raises(CommandRefused):
                self.shop.books.book(what, amount)

    @rule()
    def restart(self) -> None:
        """Another replica goes on from this one's snapshot."""
        taken = b"".join(self.channel.machine.capture())
        self.channel.machine = Machine()
        self.channel.machine.restore(io.BytesIO(taken))

    @rule()
    def replay(self) -> None:
        """So does one that had every command."""
        replica = Machine()
        for each in self.channel.commands:
            with suppress(CommandRefused):
                replica.apply(each)
        assert replica.capture() == self.channel.machine.capture()

    @invariant()
    def same(self) -> None:
        shop = self.shop
        assert list(shop.stock.all().items()) == list(self.stock.items())
        assert (shop.seen.all(), shop.orders.value()) == (self.seen, self.orders)
        assert (len(shop.jobs), shop.jobs.peek()) == (len(self.jobs), next(iter(self.jobs), None))
        assert shop.books.last(1000) == self.lines


BesidePlainObjects.TestCase.settings = settings(
    max_examples=16, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
TestBesidePlainObjects = BesidePlainObjects.TestCase


def test_the_kit_finds_nothing() -> None:
    check_objects(Shop, drive)


@replicated
class Impatient:
    total: int = 0

    @command
    def add(self, by: int) -> int:
        self.total += by
        if by < 0:
            raise CommandRefused("less")
        return self.total


@replicated
class Shared:
    """Its state is not in its fields."""

    total: int = 0

    @command
    def add(self, by: int) -> int:
        SEEN.append(by)
        return len(SEEN)


@replicated
class Loose:
    """It keeps what its annotation does not say."""

    names: list[str] = None  # type: ignore[assignment]
    total: int = 0

    @command
    def add(self, by: int) -> None:
        self.total = str(by)  # type: ignore[assignment]


SEEN: list[int] = []


@pytest.mark.parametrize(
    ("cls", "said"),
    [(Impatient, "was refused but changed the state"), (Shared, "was answered .* by one replica")],
)
def test_the_kit_finds_what_is_wrong_with_a_class(cls: type[Any], said: str) -> None:
    class App(Objects):
        thing: Any

    application = type("App", (Objects,), {"thing": cls()})

    def use(app: Any) -> None:
        for by in (1, -1, 2):
            with suppress(CommandRefused):
                app.thing.add(by)

    with pytest.raises(MachineCheckFailed, match=said):
        check_objects(application, use)


def test_the_kit_finds_a_query_that_changes_what_it_is_asked() -> None:
    """It was done on the one node that was asked, and nobody said a word."""

    @replicated
    class Noting:
        asked: list[int] = field(default_factory=list)

        @query
        def see(self, what: int) -> int:
            self.asked.append(what)
            return len(self.asked)

    class App(Objects):
        thing = Noting()

    def use(app: App) -> None:
        app.thing.see(1)

    with pytest.raises(MachineCheckFailed, match=r"^thing.see is a query and changed the state$"):
        check_objects(App, use)


def test_the_order_of_hashes_is_nowhere_in_the_state() -> None:
    said = subprocess.run(
        [sys.executable, "-m", "tests.objects.shop"],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == digest() + "\n", "this process has another seed"
