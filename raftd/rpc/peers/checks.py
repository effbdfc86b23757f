"""Checks of single fields that come from outside. Each raises Rejected with one line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from raftd.core.types import INDEX_MAX, TERM_MAX

TERM_LEAP_MAX = 2**32
"""No cluster holds so many elections. A term near TERM_MAX would leave no room for the next one."""

SIZE_MAX = 2**62
RECORDS_MAX = 1024
MEMBERS_MAX = 1024
TEXT_MAX = 1024

PROTOCOL = 2
"""What this raftd says and understands between nodes. 2: commands of users, roles and alarms; see
wire/needs.py."""
PROTOCOL_OLDEST = 1
"""Of a node that this raftd can be in one cluster with."""

_NODE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_INCARNATION = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Rejected(ValueError):
    """A message that can never be valid. Nothing was changed; the text names field and limit."""


def check_term(field: str, value: int, least: int = 1) -> int:
    if not least <= value <= TERM_MAX:
        raise Rejected(f"{field} {value} is outside {least}..2^62")
    return value


def check_protocol(oldest: int, software: str) -> None:
    """oldest: what the other side understands at least, as it says in its Hello."""
    if oldest > PROTOCOL:
        raise Rejected(
            f"{software[:40]!r} speaks protocol {oldest} or later, and protocol {PROTOCOL} is "
            "spoken here: run one version of raftd on all nodes"
        )


def check_leap(term: int, own: int) -> None:
    """Is `term` one that a node which is now in term `own` can believe in?"""
    if term > own + TERM_LEAP_MAX:
        raise Rejected(f"term {term} is more than 2^32 above this node's {own}")


def check_index(field: str, value: int, least: int = 0) -> int:
    if not least <= value <= INDEX_MAX:
        raise Rejected(f"{field} {value} is outside {least}..2^62")
    return value


def check_position(what: str, index: int, term: int) -> None:
    """An (index, term) pair of the log: both zero (before the first entry) or both positive."""
    check_index(f"{what}_index", index)
    check_term(f"{what}_term", term, least=0)
    if (index == 0) != (term == 0):
        raise Rejected(f"{what}_index {index} and {what}_term {term} do not go together")


def check_node_id(field: str, value: str) -> str:
    if not _NODE_ID.fullmatch(value):
        raise Rejected(
            f"{field} {value[:80]!r} is not a node id ([A-Za-z0-9][A-Za-z0-9_.-]{{0,63}})"
        )
    return value


def check_incarnation(field: str, value: str) -> str:
    if not _INCARNATION.fullmatch(value):
        raise Rejected(f"{field} {value[:80]!r} is not an incarnation")
    return value


def check_members(field: str, ids: Sequence[str]) -> tuple[str, ...]:
    """Sorted, each once, bounded."""
    if len(ids) > MEMBERS_MAX:
        raise Rejected(f"{field} has {len(ids)} nodes, the limit is {MEMBERS_MAX}")
    for node in ids:
        check_node_id(field, node)
    if any(a >= b for a, b in pairwise(ids)):
        raise Rejected(f"{field} is not sorted, or names a node twice")
    return tuple(ids)


def check_text(field: str, value: str) -> str:
    if len(value) > TEXT_MAX or not value.isprintable():
        raise Rejected(f"{field} is not one printable line of at most {TEXT_MAX} characters")
    return value
