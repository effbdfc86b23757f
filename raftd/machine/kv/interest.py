"""Who watches a key. One key and prefixes are found by hash, other ranges in a tree.

A prefix that a key starts with is the key's own beginning, so it takes a look-up for each length of
prefix that anybody watches, however many prefixes there are. The other ranges stand in a search
tree, in order, and each node knows the highest stop beneath it: whole branches that end before a
key are passed over. Each node has a rank that nobody can foresee, and none stands beneath a lower
one: that keeps the tree flat, whatever ranges come in whatever order. Machine's thread.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final, Generic, TypeVar

from raftd.machine.pieces import SOME, Effort, Pieces
from raftd.wire.kv import KEY_BYTES_MAX
from raftd.wire.spans import Span, prefix_span

T = TypeVar("T")
Group = dict[T, None]
Name = tuple[bytes, bytes]
"""Start and stop of a range; they are in order of it."""

NO_END: Final = b"\xff" * (KEY_BYTES_MAX + 1)
"""Above every key."""


class Node(Generic[T]):
    """A range. highest: of all stops in its branch."""

    __slots__ = ("group", "highest", "left", "name", "rank", "right")

    def __init__(self, name: Name, rank: Callable[[object], float]) -> None:
        self.name = name
        # Not the name's hash alone, which is the same everywhere where PYTHONHASHSEED is set.
        self.rank = rank((name, id(self)))
        self.group: Group[T] = {}
        self.highest = name[1]
        self.left: Node[T] | None = None
        self.right: Node[T] | None = None

    def mend(self) -> bool:
        """What stands beneath it has changed. True: so has `highest`."""
        highest, left, right = self.name[1], self.left, self.right
        if left is not None and left.highest > highest:
            highest = left.highest
        if right is not None and right.highest > highest:
            highest = right.highest
        if highest == self.highest:
            return False
        self.highest = highest
        return True


class Ranges(Generic[T]):
    def __init__(self, rank: Callable[[object], float]) -> None:
        self._rank = rank
        self.root: Node[T] | None = None
        self._nodes: dict[Name, Node[T]] = {}

    def __len__(self) -> int:
        return len(self._nodes)

    def add(self, name: Name, who: T) -> None:
        node = self._nodes.get(name)
        if node is None:
            node = self._nodes[name] = Node(name, self._rank)
            self._insert(node)
        node.group[who] = None

    def remove(self, name: Name, who: T) -> None:
        node = self._nodes[name]
        del node.group[who]
        if not node.group:
            del self._nodes[name]
            self._cut_out(node)

    def holding(self, key: bytes, behind: Name) -> Iterator[Node[T]]:
        """Those that hold `key`, in order, behind this one. Not to be used across a change."""
        path: list[Node[T]] = []
        node = self.root
        while True:
            while node is not None and node.highest > key:
                if node.name > behind:
                    path.append(node)
                    node = node.left
                else:
                    node = node.right
            if not path:
                return
            node = path.pop()
            if node.name[0] > key:
                return
            if node.name[1] > key:
                yield node
            node = node.right

    def _insert(self, new: Node[T]) -> None:
        name, rank = new.name, new.rank
        above, node = None, self.root
        while node is not None and node.rank >= rank:
            if name[1] > node.highest:
                node.highest = name[1]
            above, node = node, node.left if name < node.name else node.right
        new.left, new.right = _split(node, name)
        new.mend()
        self._hang(above, new, name)

    def _cut_out(self, gone: Node[T]) -> None:
        name, path = gone.name, []
        node = self.root
        while node is not gone:
            assert node is not None
            path.append(node)
            node = node.left if name < node.name else node.right
        self._hang(path[-1] if path else None, _joined(gone.left, gone.right), name)
        while path and path.pop().mend():
            pass

    def _hang(self, above: Node[T] | None, node: Node[T] | None, name: Name) -> None:
        if above is None:
            self.root = node
        elif name < above.name:
            above.left = node
        else:
            above.right = node


def _split(node: Node[T] | None, name: Name) -> tuple[Node[T] | None, Node[T] | None]:
    """(what is before `name`, what is behind it)."""
    if node is None:
        return None, None
    if node.name < name:
        node.right, rest = _split(node.right, name)
        node.mend()
        return node, rest
    first, node.left = _split(node.left, name)
    node.mend()
    return first, node


def _joined(left: Node[T] | None, right: Node[T] | None) -> Node[T] | None:
    """All of `left` is before all of `right`."""
    if left is None:
        return right
    if right is None:
        return left
    if left.rank >= right.rank:
        left.right = _joined(left.right, right)
        left.mend()
        return left
    right.left = _joined(left, right.left)
    right.mend()
    return right


class Interest(Generic[T]):
    """Spans, each with those who watch it."""

    def __init__(self, rank: Callable[[object], float] = hash) -> None:
        """rank: for tests. It decides nothing that anybody sees."""
        self._points: dict[bytes, Group[T]] = {}
        self._prefixes: dict[bytes, Group[T]] = {}
        self._lengths: Counter[int] = Counter()
        self.ranges: Ranges[T] = Ranges(rank)

    def add(self, span: Span, who: T) -> None:
        if _is_point(span):
            self._points.setdefault(span.start, {})[who] = None
        elif _is_prefix(span):
            group = self._prefixes.setdefault(span.start, {})
            if not group:
                self._lengths[len(span.start)] += 1
            group[who] = None
        else:
            self.ranges.add(_name(span), who)

    def remove(self, span: Span, who: T) -> None:
        if _is_point(span):
            _remove(self._points, span.start, who)
        elif not _is_prefix(span):
            self.ranges.remove(_name(span), who)
        elif _remove(self._prefixes, span.start, who):
            self._lengths[len(span.start)] -= 1
            if not self._lengths[len(span.start)]:
                del self._lengths[len(span.start)]

    @property
    def looks(self) -> int:
        """How much work it is to find, add or remove one, in looks at one key."""
        return 1 + (len(self.ranges).bit_length() >> 1) + (len(self._lengths) >> 2)

    @property
    def at_once(self) -> int:
        """Of so many it is as much work as to look at SOME keys, or it is only one."""
        return max(SOME // self.looks, 1)

    def of(self, key: bytes) -> list[Group[T]]:
        """Groups of those who watch `key`, but for `of_ranges`."""
        groups = []
        if point := self._points.get(key):
            groups.append(point)
        for length in self._lengths:
            # A longer prefix is not the key's own beginning, and cut off it would be found again.
            if length <= len(key) and (prefixed := self._prefixes.get(key[:length])):
                groups.append(prefixed)
        return groups

    def of_ranges(self, key: bytes, effort: Effort) -> Pieces[list[Group[T]]]:
        """Of those who watch other ranges. Some may leave whenever it gives way."""
        groups: list[Group[T]] = []
        behind = b"", b""
        while some := list(islice(self.ranges.holding(key, behind), SOME)):
            groups += [node.group for node in some]
            behind = some[-1].name
            if effort.took(len(some)):
                yield
        return groups


K = TypeVar("K")


def _remove(groups: dict[K, Group[T]], name: K, who: T) -> bool:
    """True if nobody is left under this name."""
    group = groups[name]
    del group[who]
    if group:
        return False
    del groups[name]
    return True


def _name(span: Span) -> Name:
    return span.start, NO_END if span.stop is None else span.stop


def _is_point(span: Span) -> bool:
    return span.stop == span.start + b"\0"


def _is_prefix(span: Span) -> bool:
    return span.start != b"" and span == prefix_span(span.start)
