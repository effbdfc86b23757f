"""Who watches a key, found by hash, is who a look at every span finds, each once."""

from __future__ import annotations

import random
from itertools import chain

import pytest

from raftd.machine.kv.interest import Interest
from raftd.wire.spans import Span, prefix_span, span_of

KEYS = [b"c", b"ca", b"cab", b"d", b"\xff", b"\xff\xff", b"\0"]


def spans(rng: random.Random) -> Span:
    key = rng.choice(KEYS)
    return rng.choice((span_of(key, b""), prefix_span(key), span_of(key, rng.choice(KEYS))))


@pytest.mark.parametrize("seed", range(20))
def test_each_watcher_of_a_key_is_found_once(seed: int) -> None:
    rng = random.Random(seed)
    interest: Interest[int] = Interest()
    there: dict[int, Span] = {}
    for number in range(60):
        if there and rng.random() < 0.3:
            gone = rng.choice(list(there))
            interest.remove(there.pop(gone), gone)
        else:
            there[number] = spans(rng)
            interest.add(there[number], number)
        for key in KEYS:
            found = sorted(chain.from_iterable(interest.of(key)))
            assert found == sorted(who for who, span in there.items() if span.holds(key))


def test_a_prefix_longer_than_the_key_does_not_find_a_shorter_one_again() -> None:
    interest: Interest[str] = Interest()
    interest.add(prefix_span(b"c"), "c")
    interest.add(prefix_span(b"ca"), "ca")
    assert [list(group) for group in interest.of(b"c")] == [["c"]]
