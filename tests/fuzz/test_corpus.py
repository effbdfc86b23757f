"""Every target, without a fuzzer: what is kept, and a second of hypothesis round it.

`make fuzz` is what looks for more.
"""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import Count
from tests.fuzz.corpus import CORPUS, inputs, kept_files
from tests.fuzz.reach import choose
from tests.fuzz.target import NotOneLine, Target, attempt
from tests.fuzz.targets import ALL

MEMORY_BYTES = 4 << 20
MEMORY_FACTOR = 100
"""An input may cost so many bytes, and so many for each of its own."""

EXAMPLES = 150
NUMBERS = tuple(
    number.to_bytes(size, "little")
    for size in (1, 2, 4, 8)
    for number in (0, 1, 2 ** (8 * size - 1) - 1, 2 ** (8 * size - 1), 2 ** (8 * size) - 1)
)

targets = pytest.mark.parametrize("target", ALL.values(), ids=ALL)


@targets
def test_seeds_are_taken(target: Target) -> None:
    """Else the fuzzer starts in front of a closed door."""
    assert any(attempt(target, seed) for seed in target.seeds)


@targets
def test_what_is_kept_is_taken_or_rightly_refused(target: Target, count: Count) -> None:
    count("seeds and kept inputs", len(inputs(target)))
    for data in inputs(target):
        tracemalloc.start()
        try:
            attempt(target, data)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak <= MEMORY_BYTES + MEMORY_FACTOR * len(data), f"{peak} bytes for {data!r}"


@targets
def test_what_is_near_it_too(target: Target) -> None:
    @settings(max_examples=EXAMPLES, deadline=None)
    @given(_near(inputs(target), target.words))
    def check(data: bytes) -> None:
        attempt(target, data)

    check()


def _near(known: list[bytes], words: tuple[bytes, ...]) -> st.SearchStrategy[bytes]:
    """Known inputs, cut, spliced and written over in a few places; or any bytes."""
    pieces = st.one_of(st.sampled_from(NUMBERS + words), st.binary(max_size=8))

    @st.composite
    def build(draw: st.DrawFn) -> bytes:
        data = bytearray(draw(st.sampled_from(known)))
        for _ in range(draw(st.integers(1, 4))):
            at = draw(st.integers(0, len(data)))
            piece = draw(pieces)
            gone = draw(st.sampled_from((0, len(piece), len(data))))
            if gone == len(data):  # the rest comes from another
                data[at:] = draw(st.sampled_from(known))[at:]
            else:
                data[at : at + gone] = piece
        return bytes(data)

    return st.one_of(build(), st.binary(max_size=64))


def test_the_corpus_is_small_and_belongs_to_targets() -> None:
    assert {path.name for path in CORPUS.iterdir()} <= set(ALL)
    sizes = [path.stat().st_size for target in ALL.values() for path in kept_files(target)]
    assert sum(sizes) <= 100 << 10


def _planted(data: bytes) -> None:
    """A decoder with every fault that `attempt` is there for."""
    if data == b"value":
        raise ValueError("plain and short")
    if data == b"lines":
        raise ValueError("two\nlines")
    if data == b"text":
        b"\xff".decode()
    if data == b"index":
        data[9]


PLANTED = Target("planted", _planted, (ValueError,), (b"",), ("tests/fuzz/test_corpus.py",))


def test_what_a_target_must_not_do_is_seen() -> None:
    assert attempt(PLANTED, b"")
    assert not attempt(PLANTED, b"value")
    for data, kind in ((b"lines", NotOneLine), (b"text", UnicodeDecodeError)):
        with pytest.raises(kind):
            attempt(PLANTED, data)
    with pytest.raises(IndexError):
        attempt(PLANTED, b"index")


def test_the_smallest_inputs_that_reach_something_are_kept() -> None:
    target = ALL["results"]
    long = target.seeds[0] + b"more"
    kept, reach = choose(target, [long, b"", b"\0", *target.seeds], 1000)
    assert b"" in kept
    assert b"\0" not in kept, "it goes the same way as no bytes at all"
    assert set(target.seeds) <= set(kept)
    assert len(reach.lines("raftd/wire/results.py")) > 15
    assert choose(target, [long], 3)[0] == []
