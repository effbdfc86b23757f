"""The store's bytes in a snapshot [frozen formats, little-endian].

    version 4   as version 3 with the magic "rkv4", users and roles perhaps of length 0, and behind
                them: count u16, length u32, the alarms that are raised (as in wire.alarms); written
                while there are any
    version 3   as version 2 with the magic "rkv3", and behind `grants`: length u32, users and
                roles (auth_snapshot.py); written where there ever was a user or a role, so that
                programs without auth read the snapshots of stores without it
    version 2   magic "rkv2", revision u64, compacted u64, first u64, keys u64, leases u32,
                grants u64,
                pairs (as in wire.kv, in byte order of keys; records as in wire.txn_answers),
                leases (id i64, seconds granted i64, serial u64; ascending),
                then per revision from `first` on: changes u32, per change: key length u16,
                length of the record before u32 (0: there was none), key, that record
    version 1   magic "rkv1", revision u64, keys u64, pairs; read for ever, written no more

A version 1 knows nothing of what was before: its history begins at its revision.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from struct import Struct
from typing import BinaryIO, Final, NamedTuple

from raftd.machine.kv import auth_snapshot
from raftd.machine.kv.auth import Auth, Held
from raftd.machine.kv.history import Before, FrozenHistory, History, Item, changes_of
from raftd.machine.kv.leases import FrozenLeases, Leases
from raftd.machine.kv.quota import Alarms
from raftd.machine.kv.table import Frozen, Table
from raftd.machine.protocol import SnapshotFormatError
from raftd.wire.alarms import Alarm, decode_items, encode_items
from raftd.wire.errors import WireError
from raftd.wire.kv import PAIR_HEAD, RECORD_HEAD
from raftd.wire.txn_answers import LEASED_AT, LEASED_BIT, LEASED_HEAD

MAGIC: Final = b"rkv2"
MAGIC_3: Final = b"rkv3"
MAGIC_4: Final = b"rkv4"
MAGIC_1: Final = b"rkv1"
HEAD: Final = Struct("<QQQQIQ")
HEAD_1: Final = Struct("<QQ")
AUTH_BYTES: Final = Struct("<I")
ALARMS_BYTES: Final = Struct("<HI")
LEASE: Final = Struct("<qqQ")
ITEM_HEAD: Final = Struct("<I")
CHUNK_BYTES: Final = 64 << 10
"""Small: the thread that iterates holds the interpreter for one chunk at a time, some 0.1 ms."""
READ_BYTES: Final = 1 << 20


class Captured(NamedTuple):
    """A store as it was. Any thread."""

    revision: int
    first: int
    keys: int
    table: Frozen
    leases: FrozenLeases
    history: FrozenHistory
    auth: bytes = b""
    """As auth_snapshot writes it; empty where there never was a user or a role."""
    alarms: Sequence[Alarm] = ()


def chunks(store: Captured) -> Iterator[bytes]:
    """The snapshot in pieces of CHUNK_BYTES, or of one pair or one revision. Any thread."""
    leases = store.leases
    head = store.revision, store.history.compacted, store.first, store.keys
    magic = MAGIC_4 if store.alarms else MAGIC_3 if store.auth else MAGIC
    parts = [magic, HEAD.pack(*head, len(leases.granted_s), leases.grants)]
    if magic != MAGIC:
        parts += (AUTH_BYTES.pack(len(store.auth)), store.auth)
    if magic == MAGIC_4:
        raised = encode_items(store.alarms)
        parts += (ALARMS_BYTES.pack(len(store.alarms), len(raised)), raised)
    size = 0
    for part in _parts(store):
        parts.append(part)
        size += len(part)
        if size >= CHUNK_BYTES:
            yield b"".join(parts)
            parts.clear()
            size = 0
    if parts:
        yield b"".join(parts)


def _parts(store: Captured) -> Iterator[bytes]:
    pack = PAIR_HEAD.pack
    for key, record in store.table:
        yield pack(len(key), len(record)) + key + record
    _, serials, _ = store.leases
    for lease, ttl_s in sorted(store.leases.granted_s.items()):
        yield LEASE.pack(lease, ttl_s, serials[lease])
    for item in store.history:
        yield ITEM_HEAD.pack(len(item) if type(item) is list else 1)
        for key, before in changes_of(item):
            yield pack(len(key), len(before or b"")) + key + (before or b"")


def load(
    reader: BinaryIO, table: Table, history: History, leases: Leases, auth: Auth, alarms: Alarms
) -> None:
    """Replace all five by what `chunks` wrote. Raises SnapshotFormatError; they are of no use
    then.
    """
    source = _Source(reader)
    leases.clear()
    alarms.put(())
    magic = source.take(len(MAGIC))
    if magic == MAGIC_1:
        revision, keys = HEAD_1.unpack(source.take(HEAD_1.size))
        auth.become(Held())
        table.load(source.pairs(keys))
        _load_leases(source, 0, table, leases)
        history.clear(revision, 0)  # nobody has compacted: that command came later
    elif magic in (MAGIC, MAGIC_3, MAGIC_4):
        revision, compacted, first, keys, count, leases.grants = HEAD.unpack(source.take(HEAD.size))
        if not compacted <= revision or not max(compacted, 1) <= first <= revision + 1:
            raise _bad(f"revision {revision}, compacted {compacted}, first {first}")
        auth.become(_load_auth(source, magic))
        if magic == MAGIC_4:
            _load_alarms(source, alarms)
        table.load(source.pairs(keys))
        _load_leases(source, count, table, leases)
        history.clear(revision, compacted, first)
        for _ in range(first, revision + 1):
            history.add(_load_item(source, table))
            history.roll()
    else:
        raise _bad(f"starts with {magic!r}, this program reads {MAGIC_1!r} to {MAGIC_4!r}")
    source.finish()


def _load_auth(source: _Source, magic: bytes) -> Held:
    if magic == MAGIC:
        return Held()
    (size,) = AUTH_BYTES.unpack(source.take(AUTH_BYTES.size))
    if not size and magic == MAGIC_4:
        return Held()
    return auth_snapshot.load(source.take(size))


def _load_alarms(source: _Source, alarms: Alarms) -> None:
    count, size = ALARMS_BYTES.unpack(source.take(ALARMS_BYTES.size))
    try:
        alarms.put(decode_items(source.take(size), count))
    except WireError as error:
        raise _bad(str(error)) from None


def _load_leases(source: _Source, count: int, table: Table, leases: Leases) -> None:
    last = -(2**63) - 1
    for _ in range(count):
        lease, ttl_s, serial = LEASE.unpack(source.take(LEASE.size))
        if lease <= last or not lease or ttl_s < 1 or not 0 < serial <= leases.grants:
            raise _bad(f"lease {lease} of {ttl_s} s, serial {serial}, after {last}")
        leases.granted_s[lease], leases.serials[lease] = ttl_s, serial
        last = lease
    for key, lease in table.leased():
        if lease not in leases.granted_s:
            raise _bad(f"key {key[:64]!r} has lease {lease}, which is not there")
        leases.attach(lease, key)


def _load_item(source: _Source, table: Table) -> Item:
    (count,) = ITEM_HEAD.unpack(source.take(ITEM_HEAD.size))
    if count == 1:
        return _load_before(source, table)
    if not count:
        raise _bad("a revision that changed nothing")
    return [_load_before(source, table) for _ in range(count)]


def _load_before(source: _Source, table: Table) -> Before:
    key_bytes, record_bytes = PAIR_HEAD.unpack(source.take(PAIR_HEAD.size))
    key = source.take(key_bytes)
    if not record_bytes:
        return table.own_key(key)
    record = source.take(record_bytes)
    if _is_cut(record):
        raise _bad(f"key {key[:64]!r} has a record that is cut")
    return key, record


def _is_cut(record: bytes) -> bool:
    size = len(record)
    return size < RECORD_HEAD.size or (size < LEASED_HEAD.size and record[LEASED_AT] >= LEASED_BIT)


class _Source:
    """A snapshot's bytes, read in large pieces."""

    def __init__(self, reader: BinaryIO) -> None:
        self._reader = reader
        self._data = b""
        self._at = 0

    def take(self, size: int) -> bytes:
        end = self._at + size
        if end > len(self._data):
            self._fill(size)
            end = size
        part = self._data[self._at : end]
        self._at = end
        return part

    def pairs(self, count: int) -> Iterator[tuple[bytes, bytes]]:
        """`count` pairs in strictly ascending order."""
        unpack, head_bytes = PAIR_HEAD.unpack_from, PAIR_HEAD.size
        last = b""
        for _ in range(count):
            if self._at + head_bytes > len(self._data):
                self._fill(head_bytes)
            key_bytes, record_bytes = unpack(self._data, self._at)
            self._at += head_bytes
            if self._at + key_bytes + record_bytes > len(self._data):
                self._fill(key_bytes + record_bytes)
            middle = self._at + key_bytes
            key, self._at = self._data[self._at : middle], middle + record_bytes
            record = self._data[middle : self._at]
            if key <= last or (record_bytes < LEASED_HEAD.size and _is_cut(record)):
                raise _bad(f"key {key[:64]!r} out of order or cut")
            yield key, record
            last = key

    def finish(self) -> None:
        """Raises SnapshotFormatError if there is anything left."""
        if self._at != len(self._data) or self._reader.read(1):
            raise _bad("more bytes after the end")

    def _fill(self, size: int) -> None:
        """Have `size` bytes or more at hand; a reader may return less than asked for."""
        parts = [self._data[self._at :]]
        have = len(parts[0])
        while have < size:
            part = self._reader.read(READ_BYTES)  # never as much as a length in the bytes says
            if not part:
                raise _bad("it ends too early")
            parts.append(part)
            have += len(part)
        self._data, self._at = b"".join(parts), 0


def _bad(what: str) -> SnapshotFormatError:
    return SnapshotFormatError(f"key-value snapshot: {what}")
