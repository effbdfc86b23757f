"""Whoever read a snapshot goes on like whoever applied the commands, also with 0 for a float."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, NamedTuple, TypedDict

import msgspec
import pytest

from raftd import objects as ro
from raftd.machine.sessions import Sessions
from raftd.objects import encoding
from raftd.objects.declaring import declared
from raftd.objects.errors import DeclarationError
from raftd.objects.machine import ObjectsMachine
from raftd.wire import batch as wire
from tests.machine.answered import answered

BIG = 2**60 + 1
"""A float of it is another number."""


class Pair(NamedTuple):
    name: str
    price: float


class Typed(TypedDict, total=False):
    price: float
    count: int


@dataclass(frozen=True)
class Frozen:
    price: float
    prices: list[float]


class Tagged(msgspec.Struct, array_like=True, tag=True):
    price: float
    count: int = 0


class Renamed(msgspec.Struct, rename="upper", omit_defaults=True):
    price: float
    rest: float = 0.5


@ro.replicated
class Account:
    total: float = 0
    held: dict[str, float] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)

    @ro.command
    def add(self, amount: int) -> float:
        self.total += amount
        self.held.setdefault("all", 0)
        self.held["all"] += amount
        self.lines.append(f"{self.total} {self.held['all']}")
        return self.total


class Bank(ro.Objects):
    account = Account()


def apply(replica: Sessions, index: int, payload: bytes) -> bytes:
    return answered(replica.apply_batch(index, 1, wire.noted(payload, 1)))


def parts(replica: Sessions) -> list[tuple[str, bytes]]:
    return [(name, b"".join(chunks)) for name, chunks in replica.parts()]


def test_answers_and_states_are_the_same_whether_a_snapshot_was_read_or_not() -> None:
    add = Bank.declared["account"].methods["add"]
    applied, restored = (Sessions(ObjectsMachine(Bank.declared)) for _ in range(2))
    opened = apply(applied, 1, wire.encode_open(bytes(range(16))))
    session = wire.decode_session(wire.decode_results(opened)[0][1])
    for number in range(1, 6):
        command = encoding.encode_call("account", add, None, (number,), {})
        payload = wire.encode_batch(session, number - 1, [(number, command)])
        answer = apply(applied, number + 1, payload)
        if number > 3:
            assert apply(restored, number + 1, payload) == answer
            assert parts(restored) == parts(applied)
        sessions, chunks = applied.capture()
        if number == 3:
            restored.restore(sessions, BytesIO(b"".join(chunks)))
    assert restored.digest() == applied.digest()


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (float, 3),
        (float, BIG),
        (float, 3.5),
        (float | None, 3),
        (int | float, 3),
        (bool | float, True),
        (dict[str, float], {"a": 1, "b": 2.5}),
        (dict[float, float], {1.5: 3, 2: 5, -1: 0.0}),
        (dict[tuple[int, tuple[float, float]], float], {(1, (2, 3)): 3}),
        (list[tuple[int, float]], [(1, 2), (3, 4.5)]),
        (dict[str, Pair], {"a": Pair("x", 4)}),
        (list[Typed], [{"count": 3, "price": 4}, {"price": 4.5}]),
        (dict[str, Frozen], {"a": Frozen(1, [2, 3.5, BIG])}),
        (list[Tagged], [Tagged(1), Tagged(2.5, 3)]),
        (list[Renamed], [Renamed(1), Renamed(2, 3)]),
    ],
    ids=str,
)
def test_a_snapshot_is_read_as_it_was_written(kind: Any, value: Any) -> None:
    cls: Any = type("Holder", (), {"__annotations__": {"it": kind}, "it": field(default=None)})
    each = declared("holder", ro.replicated(cls)())
    state = each.new_state({"it": value})
    written = b"".join(encoding.dump([each], {"holder": state}))
    read = encoding.load([each], BytesIO(written))
    assert b"".join(encoding.dump([each], read)) == written
    assert repr(read["holder"].it) == repr(value)


@pytest.mark.parametrize(
    ("kind", "value", "names"),
    [
        (dict[str, list[int]], defaultdict(list), "a defaultdict, and .* a dict"),
        (list[list[int]], [(1, 2)], "a tuple, and .* a list"),
        (dict[str, bytes], {"a": bytearray(b"x")}, "a bytearray, and .* a bytes"),
    ],
    ids=str,
)
def test_what_a_snapshot_would_make_something_else_of_is_refused(
    kind: Any, value: Any, names: str
) -> None:
    holder = {"__annotations__": {"it": kind}, "it": field(default_factory=lambda: value)}
    cls: Any = ro.replicated(type("Holder", (), holder))
    with pytest.raises(DeclarationError, match=f"it has {names}"):
        encoding.check_initial(declared("holder", cls()))
