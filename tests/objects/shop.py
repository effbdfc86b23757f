"""An application that has an object of every kind, and one class of its own."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from raftd.objects import (
    CommandFailed,
    CommandRefused,
    Counter,
    Dict,
    Lock,
    Objects,
    Queue,
    Set,
    command,
    machine_of,
    query,
    replicated,
)
from raftd.objects.checking import LocalChannel


@dataclass
class Line:
    what: str
    amount: int


@replicated
class Ledger:
    """Accounts: sums that never fall below zero."""

    lines: list[Line] = field(default_factory=list)
    sums: dict[str, int] = field(default_factory=dict)

    @command
    def book(self, what: str, amount: int) -> int:
        if self.balance(what) + amount < 0:
            raise CommandRefused(f"{what} has {self.balance(what)}")
        self.lines.append(Line(what, amount))
        self.sums[what] = self.sums.get(what, 0) + amount
        return self.sums[what]

    @command
    def move(self, source: str, target: str, amount: int) -> int:
        self.book(source, -amount)
        return self.book(target, amount)

    @command
    def careless(self, at: int) -> str:
        self.sums["careless"] = self.sums.get("careless", 0) + 1
        return self.lines[at].what

    @query
    def balance(self, what: str) -> int:
        return self.sums.get(what, 0)

    @query
    def last(self, count: int = 1) -> list[Line]:
        return self.lines[-count:]


class Shop(Objects):
    stock = Dict[str, int]()
    seen = Set[int]()
    orders = Counter()
    jobs = Queue[str](limit=3)
    books = Ledger()
    door = Lock()


Machine = machine_of(Shop)


def drive(shop: Shop, seed: int = 1, calls: int = 60) -> None:
    """Random calls of every kind, refused ones and failing ones included."""
    draw = random.Random(seed)
    for _ in range(calls):
        key, number = draw.choice("abc"), draw.randrange(-4, 9)
        choices: list[Callable[[], object]] = [
            partial(shop.stock.set, key, number),
            partial(shop.stock.pop, key),
            partial(shop.seen.add, number),
            partial(shop.seen.discard, number),
            partial(shop.orders.add, number),
            partial(shop.jobs.put, key),
            shop.jobs.get,
            partial(shop.books.book, key, number),
            partial(shop.books.careless, number),
            partial(shop.door.acquire, key),
            partial(shop.door.release, number),
        ]
        with suppress(CommandRefused, CommandFailed):
            draw.choice(choices)()
    shop.stock.all()
    shop.seen.all()
    shop.books.last(9)


def digest() -> str:
    """Of the state after many random calls; the same in every process."""
    channel = LocalChannel(Shop)
    drive(Shop(channel), seed=3, calls=300)
    return hashlib.sha256(b"".join(channel.machine.capture())).hexdigest()


if __name__ == "__main__":
    print(digest())
