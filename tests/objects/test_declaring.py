"""What cannot be replicated is refused at its definition; a wrong argument, before it is sent."""

from __future__ import annotations

import datetime
import random
import time
from collections.abc import Callable
from dataclasses import field
from typing import Any

import pytest

from raftd.objects import (
    CommandFailed,
    CommandRefused,
    Counter,
    DeclarationError,
    Dict,
    Objects,
    Queue,
    command,
    local,
    query,
    replicated,
    stale,
)
from tests.objects.shop import Ledger, Line, Shop


def clock() -> Any:
    @replicated
    class Late:
        @command
        def go(self) -> float:
            return time.monotonic()


def chance() -> Any:
    @replicated
    class Dice:
        @command
        def roll(self) -> list[int]:
            return [random.randrange(6) for _ in range(2)]


def wall() -> Any:
    @replicated
    class Dated:
        @query
        def day(self) -> str:
            return datetime.datetime.now(datetime.UTC).isoformat()


def hashes() -> Any:
    @replicated
    class Hashed:
        @command
        def pick(self, of: list[str]) -> list[str]:
            return list(set(of))


def own_init() -> Any:
    @replicated
    class Made:
        def __init__(self) -> None:
            self.items: list[str] = []


def mistaken() -> Any:
    @replicated
    class Sum:
        total: int = 0

        @query
        def add(self, by: int) -> None:
            self.total += by


def waiting() -> Any:
    @replicated
    class Slow:
        @command
        async def add(self, by: int) -> None:
            pass


def yielding() -> Any:
    @replicated
    class Stream:
        @query
        def numbers(self) -> Any:
            yield 1


@replicated
class SetField:
    items: set[str] = field(default_factory=set)


@replicated
class AnyField:
    items: dict[str, Any] = field(default_factory=dict)


@replicated
class ObjectField:
    item: object | None = None


@replicated
class WrongDefault:
    count: int = "none"  # type: ignore[assignment]


@replicated
class Untyped:
    @command
    def add(self, what) -> None:  # type: ignore[no-untyped-def]
        pass


@replicated
class Answerless:
    @command
    def add(self, what: int):  # type: ignore[no-untyped-def]
        pass


@replicated
class Starred:
    @command
    def add(self, *what: int) -> None:
        pass


def held(item: Any) -> Callable[[], object]:
    return lambda: type("App", (Objects,), {"item": item})


@pytest.mark.parametrize(
    ("declare", "said"),
    [
        (clock, "Late.go uses time: nodes would differ"),
        (chance, "Dice.roll uses random"),
        (wall, "Dated.day asks for the time: pass it as an argument"),
        (hashes, r"Hashed.pick uses set\(\)"),
        (mistaken, "Sum.add changes total: under @query it must not; make it a @command"),
        (waiting, r"Slow.add is async or yields: write a plain def .*call it by .aio\("),
        (yielding, "Stream.numbers is async or yields: "),
        (own_init, "Made: leave __init__ out"),
        (held(SetField()), "item: field SetField.items: a set has no order"),
        (held(AnyField()), "AnyField.items: say what it holds"),
        (held(ObjectField()), "ObjectField.item: "),
        (held(WrongDefault()), "WrongDefault: it begins wrong: .*Expected `int`, got `str`"),
        (held(Untyped()), "item.add: its argument what has no annotation"),
        (held(Answerless()), "item.add: its answer has no annotation"),
        (held(Starred()), r"item.add: \*args and \*\*kwargs have no types"),
        (held(Dict()), r"its types are open: declare it as Dict\[str, int\]\(\)"),
        (held(Counter), r"App.item is a class: make one: item = Counter\(\)"),
        (held(Dict[str, int]), r"is a class: make one: item = Dict\[str, int\]\(\)$"),
        (lambda: type("App", (Objects,), {"stop": Counter()}), "App.stop: that name is taken"),
    ],
)
def test_what_cannot_be_replicated_is_refused_at_its_definition(
    declare: Callable[[], object], said: str
) -> None:
    with pytest.raises(DeclarationError, match=said):
        declare()


def test_arguments_are_checked_before_anything_is_sent() -> None:
    shop = local(Shop)
    untyped: Any = shop
    wrong: list[tuple[Callable[[], object], str]] = [
        (lambda: untyped.stock.set("a", "b"), r"stock.set: Expected `int`, got `str`.*value"),
        (lambda: untyped.stock.set(b"a", 1), r"stock.set: Expected `str`, got `bytes`.*key"),
        (lambda: untyped.stock.set("a", True), "got `bool`"),
        (lambda: untyped.stock.set("a"), "missing a required argument: 'value'"),
        (lambda: untyped.stock.set("a", 1, 2), "too many positional"),
        (lambda: untyped.stock.set("a", 1 << 70), "stock.set: can't serialize ints"),
        (lambda: untyped.stock.get(None), r"stock.get: Expected `str`, got `None`"),
        (lambda: untyped.books.book("a", amount=1.5), "Expected `int`, got `float`"),
        (lambda: untyped.jobs.put("\ud800"), "surrogates not allowed"),
    ]
    for call, said in wrong:
        with pytest.raises(TypeError, match=said):
            call()
    assert not shop.stock.all()
    channel: Any = shop._channel
    assert not channel.commands, "nothing went out"


def test_a_handle_has_no_fields_and_says_where_they_are() -> None:
    shop = local(Shop)
    with pytest.raises(AttributeError, match="on the nodes: read them by a method under @query"):
        _ = shop.orders.total
    with pytest.raises(AttributeError, match=r"Dict.sett: there is no such method; .*pop, set, "):
        _ = shop.stock.sett  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match=r"Counter.__enter__: there is no such method; it "):
        shop.orders.__enter__()  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match="no attribute 'missing'"):
        _ = Counter().missing  # type: ignore[attr-defined]
    assert repr(shop.orders) == "<Counter 'orders' of a cluster>"
    assert repr(Counter(4)) == "Counter(total=4)"


def test_a_state_is_a_plain_object() -> None:
    ledger = Ledger()
    assert ledger.book("tea", 5) == 5
    assert ledger.move("tea", "cake", 2) == 2
    with pytest.raises(CommandRefused, match="tea has 3"):
        ledger.book("tea", -4)
    assert ledger.last(2) == [Line("tea", -2), Line("cake", 2)]
    table = Dict[str, int]()
    table["a"] = 1
    assert "a" in table
    assert stale(table)["a"] == 1
    queue = Queue[str](limit=1)
    assert queue.put("x") == len(queue) == 1
    with pytest.raises(CommandRefused, match="full: it has 1 items"):
        queue.put("y")


def test_what_a_method_raises_is_no_end_of_the_nodes(caplog: pytest.LogCaptureFixture) -> None:
    shop = local(Shop)
    with pytest.raises(CommandFailed, match=r"^books.careless raised IndexError$"):
        shop.books.careless(3)
    assert "list index out of range" in caplog.text
    assert shop.books.balance("careless") == 1, "it was applied as far as it came"
    with pytest.raises(CommandRefused, match="tea has 0"):
        shop.books.move("tea", "cake", 1)
    with pytest.raises(KeyError):
        shop.stock["none"]


def test_an_application_may_build_on_another() -> None:
    class More(Shop):
        visits = Counter()

    more = local(More)
    assert more.visits.add() == more.orders.add() == 1
    assert set(More.declared) == {*Shop.declared, "visits"}
    assert "visits" not in Shop.declared


def test_what_is_assigned_to_a_handle_would_stay_in_this_process() -> None:
    shop = local(Shop)
    with pytest.raises(AttributeError, match=r"Counter.total: the fields are on the nodes"):
        shop.orders.total = 5
    with pytest.raises(AttributeError, match=r"Ledger.suns: the fields are on the nodes"):
        shop.books.suns = {}  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match=r"Counter.total: the fields are on the nodes"):
        stale(shop.orders).total = 5
    with pytest.raises(AttributeError, match=r"Shop.stock: it is on the nodes"):
        shop.stock = Dict[str, int]()
    assert shop.orders.value() == 0
    assert isinstance(shop.orders, Counter)
    assert repr(shop.orders) == "<Counter 'orders' of a cluster>"
    state = Counter()
    state.total = 5
    assert state.value() == 5


def test_walking_over_a_dict_or_a_set() -> None:
    """Without a way of its own Python asks a dict for 0, 1, 2 and so on, until it fails."""
    shop = local(Shop)
    shop.stock.update({"b": 1, "a": 2})
    shop.seen.add(7)
    assert list(shop.stock) == ["b", "a"]
    for name in shop.stock:
        shop.stock[name + name] = 3
    assert {name: shop.stock[name] for name in shop.stock} == {"b": 1, "a": 2, "bb": 3, "aa": 3}
    assert list(shop.seen) == [7]
