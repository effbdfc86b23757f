"""The store's state in parts, to be compared with that of other nodes every few seconds.

A snapshot's bytes would say the same, but cost a Python step for every key. Here each part is one
column (all keys, all records, all sizes), and a chunk of it is one join over some hundreds of keys:
a million keys with values of 256 bytes take half a second, a third of it hashing, which lets other
threads run. The streams do not depend on how a table is cut into runs or a history into chunks.

History is compared among those only that hold the same of it: a store that was read from a snapshot
of version 1 knows nothing of what was before (snapshot.py). Any thread.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, cast

from raftd.machine.kv.history import FrozenHistory, Item, changes_of
from raftd.machine.kv.leases import FrozenLeases
from raftd.machine.kv.snapshot import HEAD, LEASE, Captured
from raftd.machine.kv.table import Frozen
from raftd.wire.alarms import encode_items

CHUNK_BYTES: Final = 256 << 10
CHUNK_PIECES: Final = 4
"""Of a table's runs, or of the history's chunks. A chunk is made without a rest, and a key costs
time however few bytes it gives: 256 KiB of sizes are 65,536 keys, some 50 ms of the interpreter.
"""
RECORD: Final = 1 << 31
SEVERAL: Final = 1 << 30
"""Added to what stands among the history's sizes, so that each shows what it is the size of."""


def of(store: Captured) -> list[tuple[str, Iterable[bytes]]]:
    """(name, chunks) a part."""
    table, history, leases = store.table, store.history, store.leases
    what = f"history from {store.first}"
    return [
        ("revisions", [_head(store)]),
        ("leases", map(_leases, [leases])),
        ("auth", [store.auth]),
        ("alarms", [encode_items(store.alarms)]),
        ("keys", gathered(b"".join(order) for order, _ in table.ordered())),
        ("values", gathered(_records(table))),
        ("sizes of keys", gathered(_packed(map(len, order)) for order, _ in table.ordered())),
        ("sizes of values", gathered(_record_sizes(table))),
        (what, gathered(map(_changes, history.pieces()))),
        (f"sizes of {what}", gathered(_sizes_of(history))),
    ]


def gathered(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in chunks of about CHUNK_BYTES, or of CHUNK_PIECES if that is less."""
    some, size = [], 0
    for piece in pieces:
        some.append(piece)
        size += len(piece)
        if size >= CHUNK_BYTES or len(some) >= CHUNK_PIECES:
            yield b"".join(some)
            some, size = [], 0
    yield b"".join(some)


def _head(store: Captured) -> bytes:
    """Not what the history holds: that stands in the name of its part."""
    grants, count = store.leases.grants, len(store.leases.granted_s)
    return HEAD.pack(store.revision, 0, 0, store.keys, count, grants)


def _leases(leases: FrozenLeases) -> bytes:
    return b"".join(
        LEASE.pack(lease, ttl_s, leases.serials[lease])
        for lease, ttl_s in sorted(leases.granted_s.items())
    )


def _records(table: Frozen) -> Iterator[bytes]:
    for order, run in table.ordered():
        yield b"".join(map(run.__getitem__, order))


def _record_sizes(table: Frozen) -> Iterator[bytes]:
    for order, run in table.ordered():
        yield _packed(map(len, map(run.__getitem__, order)))


def _packed(numbers: Iterable[int]) -> bytes:
    return array("I", numbers).tobytes()


def _changes(items: Sequence[Item]) -> bytes:
    try:
        return b"".join(cast(Sequence[bytes], items))  # new keys only, as after a bulk load
    except TypeError:
        parts: list[bytes] = []
        for item in items:
            for key, before in changes_of(item):
                parts.append(key)
                if before is not None:
                    parts.append(before)
        return b"".join(parts)


def _sizes_of(history: FrozenHistory) -> Iterator[bytes]:
    for items in history.pieces():
        sizes: list[int] = []
        for item in items:
            if type(item) is bytes:
                sizes.append(len(item))
                continue
            if type(item) is list:
                sizes.append(len(item) | SEVERAL)
            for key, before in changes_of(item):
                sizes.append(len(key))
                if before is not None:
                    sizes.append(len(before) | RECORD)
        yield _packed(sizes)
