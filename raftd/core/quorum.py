"""Majorities of a set of voters as pure functions; `Configuration` is their only caller.

`voters` is never empty.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from enum import Enum
from typing import TypeVar

Number = TypeVar("Number", int, float)


class VoteResult(Enum):
    WON = "won"
    LOST = "lost"
    PENDING = "pending"


def majority(count: int) -> int:
    """How many of `count` are a majority."""
    return count // 2 + 1


def vote_result(voters: Sequence[str], votes: Mapping[str, bool]) -> VoteResult:
    """Judge an election early: WON as soon as it is, LOST as soon as it cannot be won any more.

    Votes of nodes that are not voters do not count. Section 5.2.
    """
    granted = refused = 0
    for voter in voters:
        vote = votes.get(voter)
        if vote is True:
            granted += 1
        elif vote is False:
            refused += 1
    need = majority(len(voters))
    if granted >= need:
        return VoteResult.WON
    if refused > len(voters) - need:
        return VoteResult.LOST
    return VoteResult.PENDING


def both(one: VoteResult, other: VoteResult) -> VoteResult:
    """Of an election that must be won in two sets of voters (joint consensus, Section 6)."""
    for result in (VoteResult.LOST, VoteResult.PENDING):
        if result in (one, other):
            return result
    return VoteResult.WON


def reached_by_majority(voters: Sequence[str], value_of: Callable[[str], Number]) -> Number:
    """The largest value that a majority of voters has reached (Figure 2, last rule)."""
    values = sorted(map(value_of, voters), reverse=True)
    return values[majority(len(values)) - 1]


def is_majority(voters: Sequence[str], nodes: Container[str]) -> bool:
    """Are more than half of `voters` among `nodes`? Counted in another way than above."""
    return 2 * sum(voter in nodes for voter in voters) > len(voters)
