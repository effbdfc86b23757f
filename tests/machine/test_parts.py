"""The state in parts, as nodes compare it: equal where states are, and no byte is left out."""

from __future__ import annotations

import hashlib
import io
import random
from bisect import bisect_right
from collections.abc import Callable
from typing import cast

import pytest

from raftd.machine.kv.store import KvStore
from raftd.machine.sessions import Sessions
from raftd.wire import batch, leases
from raftd.wire import kv as wire
from raftd.wire.txn import PutOp, Txn, encode_txn
from tests.machine.answered import answered

TAKEN_MS = 1_700_000_000_000
KEYS = 3000


def digests(sessions: Sessions) -> dict[str, bytes]:
    found = {}
    for name, chunks in sessions.parts():
        found[name] = hashlib.sha256(b"".join(chunks)).digest()
    return found


def filled(seed: int = 1) -> Sessions:
    """Keys made, changed, deleted and leased in sessions and without; runs split and merged."""
    rng = random.Random(seed)
    sessions = Sessions(KvStore())
    index = 1
    opened = batch.noted(batch.encode_open(b"n" * 16), TAKEN_MS)
    (answer,) = batch.decode_results(answered(sessions.apply_batch(index, 1, opened)))
    for seq in range(1, 400):
        index += 1
        commands = []
        if seq == 1:
            commands.append((seq, leases.encode_lease_grant(7, 60)))
        elif seq % 50 == 0:
            key = b"k%05d" % rng.randrange(KEYS)
            commands.append((seq, encode_txn(Txn([], [PutOp(key, b"leased", lease=7)]))))
        elif seq % 7 == 0:
            commands.append((seq, wire.encode_delete(b"k%05d" % rng.randrange(KEYS))))
        else:
            commands.append((seq, wire.encode_put(b"k%05d" % rng.randrange(KEYS), b"v%d" % seq)))
        frame = batch.encode_batch(answer[1], max(0, seq - 20), commands)
        sessions.apply_batch(index, 1, batch.noted(frame, TAKEN_MS + seq))
        sessions.on_applied(index)
    plain = [(0, wire.encode_put(b"k%05d" % number, b"bulk" * 20)) for number in range(KEYS)]
    sessions.apply_batch(index + 1, 1, batch.noted(batch.encode_batch(b"", 0, plain), TAKEN_MS))
    sessions.on_applied(index + 1)
    return sessions


def restored(sessions: Sessions) -> Sessions:
    """The same state, cut into runs and chunks otherwise."""
    held, chunks = sessions.capture()
    copy = Sessions(KvStore(chunk=100))
    copy.restore(held, io.BytesIO(b"".join(chunks)))
    return copy


def store(sessions: Sessions) -> KvStore:
    assert isinstance(sessions.machine, KvStore)
    return sessions.machine


def test_equal_states_have_equal_parts_however_they_are_cut() -> None:
    one = filled()
    other = restored(one)
    table, second = store(one)._table, store(other)._table
    assert table._lows != second._lows
    assert digests(one) == digests(other) == digests(filled())
    assert digests(one) != digests(filled(seed=2))


def test_a_chunk_of_sizes_covers_a_few_thousand_items_at_most() -> None:
    """A size has four bytes: a chunk filled with them held the interpreter for 51 ms."""
    keys = 40_000
    sessions = Sessions(KvStore())
    plain = [(0, wire.encode_put(b"k%06d" % number, b"")) for number in range(keys)]
    for at in range(0, keys, 1000):
        frame = batch.encode_batch(b"", 0, plain[at : at + 1000])
        sessions.apply_batch(at // 1000 + 1, 1, batch.noted(frame, TAKEN_MS))
        sessions.on_applied(at // 1000 + 1)
    lengths = {name: [len(c) for c in chunks] for name, chunks in sessions.parts()}
    for part in ("sizes of keys", "sizes of values"):
        assert sum(lengths[part]) == 4 * keys
        assert max(lengths[part]) <= 4 * 4096, part


def test_a_frozen_state_stays_as_it_was() -> None:
    sessions = filled()
    before, frozen = digests(sessions), sessions.parts()
    changes = [(0, wire.encode_put(b"k%05d" % number, b"new")) for number in range(KEYS)]
    sessions.apply_batch(999, 1, batch.noted(batch.encode_batch(b"", 0, changes), TAKEN_MS))
    sessions.on_applied(999)
    found = {name: hashlib.sha256(b"".join(chunks)).digest() for name, chunks in frozen}
    assert found == before


def flip_value(sessions: Sessions) -> None:
    table = store(sessions)._table
    run = table._runs[bisect_right(table._lows, b"k00100") - 1]
    run[b"k00100"] = run[b"k00100"][:-1] + b"!"


def flip_head(sessions: Sessions) -> None:
    table = store(sessions)._table
    run = table._runs[bisect_right(table._lows, b"k00100") - 1]
    record = run[b"k00100"]
    run[b"k00100"] = bytes([record[0] ^ 1]) + record[1:]


def flip_key(sessions: Sessions) -> None:
    table = store(sessions)._table
    at = bisect_right(table._lows, b"k00100") - 1
    run = table._runs[at]
    run[b"k0010/"] = run.pop(b"k00100")
    table._orders[at] = None


def flip_history(sessions: Sessions) -> None:
    chunks = store(sessions).history._chunks
    first = list(chunks[0])
    at = next(at for at, item in enumerate(first) if isinstance(item, tuple))
    key, record = cast(tuple[bytes, bytes], first[at])
    first[at] = (key, record[:-1] + b"!")
    chunks[0] = first


def flip_lease(sessions: Sessions) -> None:
    store(sessions).leases.granted_s[7] ^= 1


def flip_revision(sessions: Sessions) -> None:
    store(sessions)._revision += 1


def flip_answer(sessions: Sessions) -> None:
    session = next(iter(sessions._sessions.values()))
    seq, kept = next(iter(session.applied.items()))
    session.applied[seq] = kept[:-1] + bytes([kept[-1] ^ 1])


def flip_floor(sessions: Sessions) -> None:
    next(iter(sessions._sessions.values())).floor -= 1


@pytest.mark.parametrize(
    ("flip", "part"),
    [
        (flip_value, "values"),
        (flip_head, "values"),
        (flip_key, "keys"),
        (flip_history, "history from 2"),
        (flip_lease, "leases"),
        (flip_revision, "revisions"),
        (flip_answer, "sessions"),
        (flip_floor, "sessions"),
    ],
)
def test_a_flipped_bit_shows_in_its_part_and_in_no_other(
    flip: Callable[[Sessions], None], part: str
) -> None:
    sessions = filled()
    before = digests(sessions)
    flip(sessions)
    after = digests(sessions)
    assert [name for name in before if before[name] != after.get(name)] == [part]


def test_a_machine_that_tells_no_parts_is_compared_as_a_whole() -> None:
    class Plain:
        def apply(self, command: bytes) -> bytes:
            return command

        def query(self, request: bytes) -> bytes:
            return request

        def capture(self) -> list[bytes]:
            return [b"all ", b"of it"]

        def restore(self, reader: io.BytesIO) -> None:
            reader.read()

    parts = Sessions(Plain()).parts()  # type: ignore[arg-type]
    assert [(name, b"".join(chunks)) for name, chunks in parts][1:] == [("state", b"all of it")]
