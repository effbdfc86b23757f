"""Long work of a machine in pieces, for the thread that sends heartbeats does it. Machine's thread.

A read of everything looks at every key, and so may a transaction's compares; the end of a lease may
delete all of them. Such work is a generator: it gives way whenever a piece of it is done, and what
it comes to is what it returns. Nothing else is applied or asked meanwhile, so all of it sees one
state, and nobody sees half of a change.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Generator, Iterator
from itertools import islice
from typing import Any, Final, TypeVar

T = TypeVar("T")
Pieces = Generator[None, None, T]

PIECE: Final = 2048
"""Keys looked at in a piece: about a millisecond, as the slices of the machine's owner are."""
SOME: Final = 512
"""Keys that are looked at, and counted, together."""
SORTED_AT_ONCE: Final = 2048


class Effort:
    """How much of the present piece is left. One for each command or query."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = PIECE

    def took(self, keys: int) -> bool:
        """So many keys were looked at. True: this piece is full, so give way."""
        self._left -= keys
        if self._left > 0:
            return False
        self._left = PIECE
        return True


def at_once(work: Pieces[T]) -> T:
    """All of it, where nobody waits."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


def begun(work: Pieces[T]) -> T | Pieces[T]:
    """What it comes to if that takes one piece, as it mostly does; else what is left of it."""
    try:
        next(work)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    return work


def in_order(
    items: list[T], effort: Effort, key: Callable[[T], Any] | None = None, descend: bool = False
) -> Pieces[Iterator[T]]:
    """As `sorted` would have them, equal ones in the order in which they came.

    One sort of 300,000 pairs would be a hold of 0.2 s: lists are sorted, and merged as they are
    asked for.
    """
    lists: list[list[T]] = []
    for at in range(0, len(items), SORTED_AT_ONCE):
        part = items[at : at + SORTED_AT_ONCE]
        lists.append(sorted(part, key=key, reverse=descend))  # type: ignore[type-var,arg-type]
        if effort.took(len(part)):
            yield
    if len(lists) <= 1:
        return iter(lists[0] if lists else ())
    return heapq.merge(*lists, key=key, reverse=descend)  # type: ignore[arg-type]


def some_of(items: Iterator[T], size: int = SOME) -> Iterator[list[T]]:
    """The same, some at a time."""
    while some := list(islice(items, size)):
        yield some
