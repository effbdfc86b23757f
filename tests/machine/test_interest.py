"""Who watches a key, found by hash or in the tree, is who a look at every span finds, each once."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from itertools import chain, count

import pytest

from raftd.machine.kv import interest as interest_module
from raftd.machine.kv.interest import Interest, Node
from raftd.machine.pieces import Effort, at_once
from raftd.wire.spans import Span, prefix_span, span_of
from tests.machine.test_pieces import longest_piece

KEYS = [b"c", b"ca", b"cab", b"d", b"\xff", b"\xff\xff", b"\0"]
FEW, MANY = 4_000, 16_000


def key_of(rng: random.Random) -> bytes:
    return bytes(rng.choice(b"ab\xff") for _ in range(rng.randrange(1, 6)))


def spans(rng: random.Random) -> Span:
    if rng.random() < 0.5:
        return span_of(key_of(rng), rng.choice((key_of(rng), b"\0")))
    key = rng.choice(KEYS)
    return rng.choice((span_of(key, b""), prefix_span(key), span_of(key, rng.choice(KEYS))))


def found(interest: Interest[int], key: bytes) -> list[int]:
    groups = interest.of(key) + at_once(interest.of_ranges(key, Effort()))
    return sorted(chain.from_iterable(groups))


def check_tree(node: Node[int] | None) -> list[Node[int]]:
    """In order. Each knows the highest stop of its branch, and none has a lower rank above it."""
    if node is None:
        return []
    left, right = check_tree(node.left), check_tree(node.right)
    assert node.highest == max(each.name[1] for each in (*left, node, *right))
    assert all(each.rank <= node.rank for each in (*left, *right))
    assert [each.name for each in left] < [node.name]
    assert all(each.name > node.name for each in right)
    return [*left, node, *right]


RANKS: dict[str, Callable[[random.Random], Callable[[object], float]]] = {
    "as it is": lambda _: hash,
    "often the same": lambda rng: lambda _: rng.randrange(3),
    "a long branch": lambda _: partial(lambda ranks, _: next(ranks), count()),
}


@pytest.mark.parametrize("ranks", RANKS)
@pytest.mark.parametrize("seed", range(20))
def test_each_watcher_of_a_key_is_found_once(
    seed: int, ranks: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interest_module, "SOME", 3)
    rng = random.Random(seed)
    interest: Interest[int] = Interest(RANKS[ranks](rng))
    there: dict[int, Span] = {}
    for number in range(120):
        if there and rng.random() < (0.3 if number < 80 else 0.8):
            gone = rng.choice(list(there))
            interest.remove(there.pop(gone), gone)
        else:
            there[number] = spans(rng)
            interest.add(there[number], number)
        names = [node.name for node in check_tree(interest.ranges.root)]
        assert len(names) == len(set(names)) == len(interest.ranges)
        for key in (*KEYS, key_of(rng), key_of(rng)):
            assert found(interest, key) == sorted(
                who for who, span in there.items() if span.holds(key)
            )


def test_a_prefix_longer_than_the_key_does_not_find_a_shorter_one_again() -> None:
    interest: Interest[str] = Interest()
    interest.add(prefix_span(b"c"), "c")
    interest.add(prefix_span(b"ca"), "ca")
    assert [list(group) for group in interest.of(b"c")] == [["c"]]


def filled(count: int, range_of: Callable[[int], Span]) -> Interest[int]:
    rng = random.Random(1)
    interest: Interest[int] = Interest(lambda _: rng.random())
    for number in range(count):
        interest.add(range_of(number), number)
    return interest


def beside(number: int) -> Span:
    return Span(b"k%06d" % number, b"k%06d\x05" % number)


def before(number: int) -> Span:
    """All begin before the key, few end behind it."""
    return Span(b"a%06d" % number, b"z" if number % FEW == 0 else b"k%06d" % (number % 600))


@pytest.mark.parametrize("range_of", [beside, before])
def test_whom_a_key_concerns_is_found_without_a_look_at_the_others(
    range_of: Callable[[int], Span],
) -> None:
    """The story without it: a hundred thousand ranges cost every put 15 ms."""
    for ranges in (FEW, MANY):
        interest = filled(ranges, range_of)
        work = partial(interest.of_ranges, b"k%06d\x01" % 700, Effort())
        assert longest_piece(work)[0] < ranges // 16


def over(number: int) -> Span:
    return Span(b"k%06d" % number, b"n%06d" % number)


def test_ranges_that_all_hold_a_key_are_found_in_pieces() -> None:
    few, many = (
        longest_piece(partial(filled(ranges, over).of_ranges, b"m", Effort()))
        for ranges in (FEW, MANY)
    )
    assert many[0] <= 1.5 * few[0]
    assert many[1] >= MANY // 2048


def test_who_leaves_between_two_pieces_is_harmless() -> None:
    interest = filled(FEW, over)
    work = interest.of_ranges(b"m", Effort())
    next(work)
    for number in range(0, FEW, 2):
        interest.remove(over(number), number)
    left = list(chain.from_iterable(at_once(work)))
    assert left == sorted(set(left))
    assert set(left) >= set(range(1, FEW, 2))
