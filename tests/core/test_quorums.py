"""What makes a majority: a Configuration answers, with one set of voters or with two."""

from __future__ import annotations

import pytest

from raftd.core.quorum import VoteResult
from raftd.core.types import Configuration

THREE = Configuration(("a", "b", "c"))
FOUR = Configuration(("a", "b", "c", "d"), ("e",))
JOINT = Configuration(("a", "d", "e"), (), ("a", "b", "c"))


def votes(text: str) -> dict[str, bool]:
    """`ab-c`: a and b grant, c refuses."""
    granted, _, refused = text.partition("-")
    return dict.fromkeys(granted, True) | dict.fromkeys(refused, False)


@pytest.mark.parametrize(
    ("configuration", "text", "result"),
    [
        (THREE, "ab", VoteResult.WON),
        (THREE, "a", VoteResult.PENDING),
        (THREE, "a-bc", VoteResult.LOST),
        (FOUR, "ab", VoteResult.PENDING),
        (FOUR, "a-bc", VoteResult.LOST),
        (FOUR, "abe", VoteResult.PENDING),
        (JOINT, "abc", VoteResult.PENDING),
        (JOINT, "ade", VoteResult.PENDING),
        (JOINT, "abd", VoteResult.WON),
        (JOINT, "abc-de", VoteResult.LOST),
    ],
)
def test_an_election(configuration: Configuration, text: str, result: VoteResult) -> None:
    assert configuration.vote_result(votes(text)) is result
    assert configuration.has_majority(text.partition("-")[0]) is (result is VoteResult.WON)


@pytest.mark.parametrize(
    ("configuration", "reached"),
    [(THREE, 2), (FOUR, 2), (JOINT, 2), (Configuration(("c", "d", "e"), (), ("a", "b")), 1)],
)
def test_what_a_majority_has_reached(configuration: Configuration, reached: int) -> None:
    match = {"a": 1, "b": 2, "c": 3, "d": 4, "e": 5}
    assert configuration.reached_by_majority(match.__getitem__) == reached


def test_a_majority_of_the_others() -> None:
    assert Configuration(("a",)).has_majority_besides("a", ())
    assert not THREE.has_majority_besides("a", "b")
    assert THREE.has_majority_besides("a", "bc")
    assert not JOINT.has_majority_besides("a", "bc")
    assert JOINT.has_majority_besides("a", "bcde")
    assert JOINT.voters_besides("a") == ("d", "e", "b", "c")
