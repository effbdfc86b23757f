"""The table against a dict, with runs so small that they split, merge and are copied all along."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raftd.machine.kv import table as module
from raftd.machine.kv.table import Frozen, Table
from raftd.wire.kv import RECORD_HEAD


@pytest.fixture(autouse=True)
def _small_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SPLIT_AT", 8)
    monkeypatch.setattr(module, "MERGE_BELOW", 2)
    monkeypatch.setattr(module, "MERGED_MAX", 4)


def new_table() -> Table:
    return Table(lambda before: None, lambda key, lease: None)


def _check_shape(table: Table, model: dict[bytes, bytes]) -> None:
    pairs = [(key, record[RECORD_HEAD.size :]) for key, record in table.capture()]
    assert pairs == sorted(model.items())
    assert table.count == len(model)
    lows = table._lows
    assert lows == sorted(set(lows))
    assert lows[0] == b""
    columns = (table._runs, table._orders, table._generations, lows)
    assert len({len(column) for column in columns}) == 1
    for at, run in enumerate(table._runs):
        assert len(run) <= 8
        assert all(lows[at] <= key for key in run)
        assert at + 1 == len(lows) or all(key < lows[at + 1] for key in run)


@pytest.mark.parametrize("seed", range(8))
def test_the_table_is_a_sorted_dict(seed: int) -> None:
    rng = random.Random(seed)
    table, model = new_table(), dict[bytes, bytes]()
    frozen: list[tuple[Frozen, list[tuple[bytes, bytes]]]] = []
    for step in range(600):
        key, value = b"%03d" % rng.randrange(120), rng.randbytes(3)
        growing = (step // 150) % 2 == 0
        if rng.random() < (0.8 if growing else 0.2):
            table.put(key, value, step)
            model[key] = value
        else:
            assert (table.delete(key) is not None) == (model.pop(key, None) is not None)
        assert (table.get(key) is None) == (key not in model)
        if rng.random() < 0.05:
            capture = table.capture()
            frozen.append((capture, list(capture)))
        if step % 20 == 0:
            _check_shape(table, model)
    _check_shape(table, model)
    for old, pairs in frozen:
        assert list(old) == pairs


@settings(max_examples=60, deadline=None)
@given(
    st.sets(st.binary(min_size=1, max_size=3), max_size=60), st.binary(max_size=3), st.booleans()
)
def test_ascend_starts_where_it_is_told(keys: set[bytes], start: bytes, exclusive: bool) -> None:
    table = new_table()
    for key in keys:
        table.put(key, b"", 1)
    found = [key for order, _ in table.ascend(start, exclusive) for key in order]
    assert found == sorted(key for key in keys if key > start or (key == start and not exclusive))


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 8, 9, 100])
def test_a_loaded_table_goes_on_like_a_grown_one(count: int) -> None:
    record = RECORD_HEAD.pack(1, 1, 1)
    model = {b"%04d" % number: b"" for number in range(count)}
    table = new_table()
    table.put(b"gone", b"", 1)
    table.load((key, record) for key in sorted(model))
    _check_shape(table, model)
    for number in range(count):
        table.put(b"%04d+" % number, b"", 2)
        model[b"%04d+" % number] = b""
    _check_shape(table, model)
    for key in list(model):
        assert table.delete(key)
        assert not table.delete(key)
    _check_shape(table, {})


def test_a_capture_copies_runs_only_when_they_are_written() -> None:
    table = new_table()
    for number in range(100):
        table.put(b"%03d" % number, b"", 1)
    frozen = table.capture()
    table.put(b"000", b"new", 2)
    table.delete(b"999")
    shared = sum(any(run is old for old in frozen.runs) for run in table._runs)
    assert shared == len(table._runs) - 1
