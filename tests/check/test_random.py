"""Both checks against each other on random small histories; thousands of each kind.

`python -m tests.check.test_random 100000` compares as many as asked for.
"""

from __future__ import annotations

import sys
from random import Random

import pytest

from raftd.check.operations import Op
from tests.check.alphabets import by_exact_search, by_revisions, by_search
from tests.check.generate import Maker, Shape, spoil

SHAPES = [
    Shape(),
    Shape(ops=12, clients=4, keys=3, values=0),
    Shape(ops=10, clients=5, keys=1, values=2, unknown=0.5),
    Shape(ops=9, clients=3, keys=2, versions=False),
    Shape(ops=7, clients=2, keys=1, values=1, unknown=0.35, versions=False),
]


def compare(count: int, seed: int) -> tuple[int, int]:
    """(linearizable, not): the two searches by revision agree on every one of `count`."""
    good = 0
    for number in range(count):
        random = Random(f"{seed} {number}")
        shape = SHAPES[number % len(SHAPES)]
        ops = Maker(random, shape).history()
        honest = number % 2 == 0
        if not honest:
            ops = spoil(ops, random)
        fast, slow = by_revisions(ops), by_exact_search(ops)
        assert fast == slow, _text(f"{seed} {number}: revisions say {fast}, search {slow}", ops)
        if honest:
            assert fast, _text(f"{seed} {number}: an honest store was blamed", ops)
        if fast:
            assert by_search(ops), _text(f"{seed} {number}: fails without revisions only", ops)
        good += fast
    return good, count - good


def _text(what: str, ops: list[Op]) -> str:
    return "\n".join([what, *map(str, ops)])


@pytest.mark.parametrize("seed", [1, 2])
def test_revisions_and_search_agree(seed: int) -> None:
    good, bad = compare(2500, seed)
    print(f"{good + bad} random histories, {good} linearizable, {bad} not, 0 disagreements")
    assert bad > 400


if __name__ == "__main__":
    linearizable, not_so = compare(int(sys.argv[1]), 0)
    print(f"{linearizable} linearizable, {not_so} not, 0 disagreements")
