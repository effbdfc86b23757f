"""Objects to build with: a dict, a counter, a set and a queue."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field
from typing import Final, Generic, TypeVar

from raftd.objects.declaring import replicated
from raftd.objects.errors import CommandRefused
from raftd.objects.methods import command, query

K = TypeVar("K")
V = TypeVar("V")

COUNT_MAX: Final = (1 << 63) - 1
"""Of a counter, either side of 0: what every decoder can hold."""
QUEUE_MAX: Final = 100_000


@replicated
class Dict(Generic[K, V]):
    """`stock = Dict[str, int]()`. Keeps the order in which keys came, as dict does."""

    table: dict[K, V] = field(default_factory=dict)

    @command
    def set(self, key: K, value: V) -> None:
        self.table[key] = value

    @command
    def update(self, values: dict[K, V]) -> None:
        """All of them at once."""
        self.table.update(values)

    @command
    def setdefault(self, key: K, value: V) -> V:
        """What is there now; `value` if nothing was."""
        return self.table.setdefault(key, value)

    @command
    def compare_and_set(self, key: K, expected: V | None, value: V | None) -> bool:
        """None: no such key. False: it was not as expected, and nothing was done."""
        if self.table.get(key) != expected:
            return False
        if value is None:
            self.table.pop(key, None)
        else:
            self.table[key] = value
        return True

    @command
    def pop(self, key: K, default: V | None = None) -> V | None:
        """Take it out."""
        return self.table.pop(key, default)

    @command
    def clear(self) -> None:
        self.table.clear()

    @query
    def get(self, key: K, default: V | None = None) -> V | None:
        return self.table.get(key, default)

    @query
    def find(self, key: K) -> list[V]:
        """[its value], or []."""
        return [self.table[key]] if key in self.table else []

    @query
    def has(self, key: K) -> bool:
        return key in self.table

    @query
    def all(self) -> dict[K, V]:
        """The whole of it; an answer has 1 MiB at most."""
        return dict(self.table)

    @query
    def size(self) -> int:
        return len(self.table)

    def __getitem__(self, key: K) -> V:
        found = self.find(key)
        if not found:
            raise KeyError(key)
        return found[0]

    def __setitem__(self, key: K, value: V) -> None:
        self.set(key, value)

    def __iter__(self) -> Iterator[K]:
        """Over the keys as they were at one moment, as `all`."""
        return iter(self.all())

    def __contains__(self, key: K) -> bool:
        return self.has(key)

    def __len__(self) -> int:
        return self.size()

    def __bool__(self) -> bool:
        """An object is true, empty or not: `if app.stock` asks no node."""
        return True


@replicated
class Counter:
    """`hits = Counter()`. 64 bits."""

    total: int = 0

    @command
    def add(self, by: int = 1) -> int:
        """The sum."""
        total = self.total + by
        if abs(total) > COUNT_MAX:
            raise CommandRefused(f"the sum would be {total}, beyond 64 bits")
        self.total = total
        return total

    @command
    def reset(self, value: int = 0) -> int:
        """What it was."""
        if abs(value) > COUNT_MAX:
            raise CommandRefused(f"{value} is beyond 64 bits")
        before, self.total = self.total, value
        return before

    @query
    def value(self) -> int:
        return self.total


@replicated
class Set(Generic[K]):
    """`members = Set[str]()`. Keeps the order in which items came: all nodes agree on that."""

    members: dict[K, None] = field(default_factory=dict)

    @command
    def add(self, item: K) -> bool:
        """Whether it is new."""
        new = item not in self.members
        self.members[item] = None
        return new

    @command
    def discard(self, item: K) -> bool:
        """Whether it was there."""
        there = item in self.members
        self.members.pop(item, None)
        return there

    @command
    def clear(self) -> None:
        self.members.clear()

    @query
    def has(self, item: K) -> bool:
        return item in self.members

    @query
    def all(self) -> list[K]:
        """The whole of it; an answer has 1 MiB at most."""
        return list(self.members)

    @query
    def size(self) -> int:
        return len(self.members)

    def __iter__(self) -> Iterator[K]:
        """Over the items as they were at one moment, as `all`."""
        return iter(self.all())

    def __contains__(self, item: K) -> bool:
        return self.has(item)

    def __len__(self) -> int:
        return self.size()

    def __bool__(self) -> bool:
        """As of Dict."""
        return True


@replicated
class Queue(Generic[V]):
    """`jobs = Queue[str]()`: first in, first out. limit: beyond so many, `put` is refused."""

    limit: int = QUEUE_MAX
    items: dict[int, V] = field(default_factory=dict)
    first: int = 0
    """The number of the oldest; the items have one each, without gaps."""

    @command
    def put(self, item: V) -> int:
        """How many there are now."""
        if len(self.items) >= self.limit:
            raise CommandRefused(f"the queue is full: it has {self.limit} items")
        self.items[self.first + len(self.items)] = item
        return len(self.items)

    @command
    def get(self) -> V | None:
        """The oldest, which is out then; None: it is empty."""
        if not self.items:
            return None
        self.first += 1
        return self.items.pop(self.first - 1)

    @command
    def clear(self) -> int:
        """How many there were."""
        gone = len(self.items)
        self.first += gone
        self.items.clear()
        return gone

    @query
    def peek(self) -> V | None:
        return self.items.get(self.first)

    @query
    def size(self) -> int:
        return len(self.items)

    def __len__(self) -> int:
        return self.size()

    def __bool__(self) -> bool:
        """As of Dict."""
        return True
