"""The bytes: frozen, read by type, and harmless whoever made them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from raftd.machine.protocol import MachineError, SnapshotFormatError
from raftd.objects import Counter, Dict, Objects, local
from raftd.objects.checking import LocalChannel
from raftd.objects.machine import ObjectsMachine
from tests.objects.shop import Machine, Shop

GOLDEN = Path(__file__).with_name("golden_v1.json")


def use(shop: Shop) -> list[object]:
    """Calls of every kind, and their answers."""
    token = shop.door.acquire("ann", 30.0)
    return [
        shop.stock.set("tea", 3),
        shop.stock.compare_and_set("tea", 3, None),
        shop.stock.update({"b": 1, "a": -2}),
        shop.stock.all(),
        shop.seen.add(7),
        shop.seen.all(),
        shop.orders.add(40),
        shop.jobs.put("dust"),
        shop.jobs.put("sweep"),
        shop.jobs.get(),
        shop.books.book("tea", 12),
        shop.books.last(3),
        token,
        shop.door.renew(1),
        shop.door.held_by(),
    ]


def recorded() -> dict[str, Any]:
    channel = LocalChannel(Shop)
    answers = use(Shop(channel))
    return {
        "commands": [each.hex() for each in channel.commands],
        "queries": [each.hex() for each in channel.queries],
        "answers": [msgspec.msgpack.encode(each).hex() for each in answers],
        "snapshot": b"".join(channel.machine.capture()).hex(),
    }


def test_the_bytes_are_those_of_version_1() -> None:
    """Logs and snapshots hold them: a difference is a new version, and this one is read for ever.

    Made by: python -m tests.objects.test_encoding
    """
    golden = json.loads(GOLDEN.read_text())
    assert recorded() == golden
    machine = Machine()
    for each in golden["commands"]:
        machine.apply(bytes.fromhex(each))
    assert b"".join(machine.capture()).hex() == golden["snapshot"]
    again = Machine()
    again.restore(io.BytesIO(bytes.fromhex(golden["snapshot"])))
    assert b"".join(again.capture()).hex() == golden["snapshot"]


BYTES = [bytes.fromhex(each) for each in recorded()["commands"]]
PATIENT = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@PATIENT
@given(st.data())
def test_a_strangers_bytes_are_refused_and_change_nothing(data: st.DataObject) -> None:
    """Or they are a command: then they are applied. Nothing else comes of them."""
    raw = bytearray(data.draw(st.sampled_from(BYTES)))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at] = data.draw(st.integers(0, 255))
    raw = raw[: data.draw(st.integers(0, len(raw)))] + data.draw(st.binary(max_size=4))
    machine = Machine()
    before = machine.capture()
    try:
        machine.apply(bytes(raw))
    except MachineError:
        assert machine.capture() == before
    machine.restore(io.BytesIO(b"".join(machine.capture())))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is expected, this is nothing"),
        (b"\x02" + BYTES[0][1:], "version 1 is expected, this is version 2"),
        (BYTES[0][:-1], "not a command of replicated objects"),
        (b"\x01" + b"\x91" * 5000, "not a command of replicated objects"),
    ],
)
def test_what_is_no_command_is_refused_in_a_line(data: bytes, said: str) -> None:
    for ask in (Machine().apply, Machine().query):
        with pytest.raises(MachineError, match=said):
            ask(data)


def test_a_command_is_no_query_and_the_other_way_round() -> None:
    channel = LocalChannel(Shop)
    use(Shop(channel))
    with pytest.raises(MachineError, match=r"door\.acquire is a command"):
        channel.machine.query(channel.commands[0])
    with pytest.raises(MachineError, match=r"stock\.all is a query"):
        channel.machine.apply(channel.queries[0])


class Small(Objects):
    stock = Dict[str, int]()


class Other(Objects):
    stock = Counter()


class Grown(Shop):
    visits = Counter(5)


def test_an_application_may_grow_and_not_shrink() -> None:
    channel = LocalChannel(Shop)
    use(Shop(channel))
    taken = b"".join(channel.machine.capture())
    grown = ObjectsMachine(Grown.declared)
    grown.restore(io.BytesIO(taken))
    assert b"visits" in b"".join(grown.capture())
    for less, said in [(Small, "has an object 'books': declare it"), (Other, "object 'books'")]:
        with pytest.raises(SnapshotFormatError, match=said):
            ObjectsMachine(less.declared).restore(io.BytesIO(taken))
    small = b"".join(LocalChannel(Small).machine.capture())
    with pytest.raises(SnapshotFormatError, match="a Dict in the snapshot and a Counter here"):
        ObjectsMachine(Other.declared).restore(io.BytesIO(small))
    with pytest.raises(MachineError, match=r"no door\.acquire here: is the program older"):
        ObjectsMachine(Small.declared).apply(channel.commands[0])


@PATIENT
@given(st.data())
def test_a_damaged_snapshot_is_refused_or_is_another_one(data: st.DataObject) -> None:
    raw = bytearray.fromhex(json.loads(GOLDEN.read_text())["snapshot"])
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    raw = raw[: data.draw(st.integers(0, len(raw)))]
    machine = Machine()
    try:
        machine.restore(io.BytesIO(bytes(raw)))
    except SnapshotFormatError:
        assert machine.capture() == Machine().capture(), "as it was"
    machine.capture()


@pytest.mark.parametrize("size", [*range(12), -1])
def test_a_snapshot_that_is_cut_off_or_too_long_is_refused(size: int) -> None:
    taken = b"".join(Machine().capture())
    with pytest.raises(SnapshotFormatError, match="cut off"):
        Machine().restore(io.BytesIO(taken[:size]))
    with pytest.raises(SnapshotFormatError, match="bytes behind the last object"):
        Machine().restore(io.BytesIO(taken + taken[:1]))


def test_local_goes_through_the_bytes() -> None:
    shop = local(Shop)
    given = {"b": 1}
    shop.stock.update(given)
    given["b"] = 2
    assert shop.stock.all() == {"b": 1}


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(recorded(), indent=1) + "\n")
