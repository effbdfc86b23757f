"""The built-in state machine: keys in byte order, under one global revision, as in the etcd v3 API.

A fresh store is at revision 1. Every put, every delete of something and every atomic batch that
changes something takes one revision; what changes nothing takes none. A key's version counts its
puts since it was made; made anew after a delete, it starts at 1 again.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from struct import error as StructError
from typing import BinaryIO, Final

from raftd.machine.kv import commands
from raftd.machine.kv.table import Frozen, Table
from raftd.machine.protocol import SnapshotFormatError
from raftd.wire import kv as wire

FIRST_REVISION: Final = 1

MAGIC: Final = b"rkv1"
SNAPSHOT_HEAD: Final = Struct("<4sQQ")
"""magic, revision, number of keys; then pairs as in wire.kv, in byte order of keys [frozen]."""
CHUNK_BYTES: Final = 64 << 10
"""Small: the thread that iterates holds the interpreter for one chunk at a time, some 0.1 ms."""
READ_BYTES: Final = 1 << 20

_keyed = wire.KEYED_HEAD.unpack_from  # looked up once, as is all on the path of every put
_pack_put = wire.PUT_ANSWER.pack
PUT: Final = wire.PUT
PUT_END_MAX: Final = wire.KEYED_HEAD.size + wire.KEY_BYTES_MAX

NO_RECORD: Final = wire.RECORD_HEAD.pack(0, 0, 0)


class KvStore:
    """See raftd.machine.protocol.StateMachine for threads and errors."""

    quick = True

    def __init__(self) -> None:
        self._table = Table()
        self._put = self._table.put
        self._revision = FIRST_REVISION

    def apply(self, command: bytes) -> bytes:
        """Execute a command of wire.kv. Raises MachineError, and then nothing has changed."""
        operation = command[0] if command else 0
        if operation == PUT:  # the hot path, with as few calls as can be
            try:
                end = _keyed(command)[1] + 3
            except StructError:
                raise commands.malformed(command) from None
            key, value = command[3:end], command[end:]
            if (
                not 3 < end <= PUT_END_MAX
                or end > len(command)
                or len(value) > wire.VALUE_BYTES_MAX
            ):
                raise commands.refused_put(command)
            revision = self._revision + 1
            version = self._put(key, value, revision)
            self._revision = revision
            return _pack_put(PUT, revision, version)
        if operation == wire.CAS:
            return self._compare_and_set(commands.decode_cas(command))
        if operation == wire.DELETE:
            key = commands.decode_key(command)
            return commands.encode_delete(*self._delete(key))
        if operation == wire.BATCH:
            return self._batch(commands.decode_batch_ops(command))
        raise commands.malformed(command)

    def query(self, request: bytes) -> bytes:
        """Answer a query of wire.kv. Raises MachineError."""
        operation = request[0] if request else 0
        if operation == wire.GET:
            key = commands.decode_key(request)
            return commands.encode_get(self._revision, key, self._table.get(key))
        if operation == wire.RANGE:
            return self._range(commands.decode_range(request))
        raise commands.malformed(request)

    def capture(self) -> Iterator[bytes]:
        """Costs a copy of a list with an item for every 341-682 keys."""
        head = SNAPSHOT_HEAD.pack(MAGIC, self._revision, self._table.count)
        return _chunks(head, self._table.capture())

    def restore(self, reader: BinaryIO) -> None:
        """Read what `capture` wrote. Raises SnapshotFormatError; the store is of no use then."""
        self._table.clear()
        source = _Source(reader)
        magic, revision, count = SNAPSHOT_HEAD.unpack(source.take(SNAPSHOT_HEAD.size))
        if magic != MAGIC:
            raise SnapshotFormatError(f"key-value snapshot: starts with {magic!r}, not {MAGIC!r}")
        self._table.load(source.pairs(count))
        self._revision = revision

    @property
    def revision(self) -> int:
        return self._revision

    def __len__(self) -> int:
        """The number of keys."""
        return self._table.count

    def _delete(self, key: bytes) -> tuple[int, bool]:
        deleted = self._table.delete(key)
        if deleted:
            self._revision += 1
        return self._revision, deleted

    def _compare_and_set(self, cas: commands.Cas) -> bytes:
        record = self._table.get(cas.key)
        if not _holds(cas, record):
            return commands.encode_cas(self._revision, False, cas.key, record)
        if cas.value is None:
            self._delete(cas.key)
            return commands.encode_cas(self._revision, True, cas.key, None)
        self._revision += 1
        self._table.put(cas.key, cas.value, self._revision)
        record = self._table.get(cas.key)
        assert record is not None
        head_only = record[: wire.RECORD_HEAD.size]  # the caller knows the value
        return commands.encode_cas(self._revision, True, cas.key, head_only)

    def _batch(self, operations: list[tuple[bytes, bytes | None]]) -> bytes:
        table, revision = self._table, self._revision + 1
        changed = False
        versions: list[int] = []
        for key, value in operations:
            if value is None:
                changed |= table.delete(key)
                versions.append(0)
            else:
                changed = True
                versions.append(table.put(key, value, revision))
        if changed:
            self._revision = revision
        return commands.encode_batch_ops(self._revision, versions)

    def _range(self, wanted: commands.Range) -> bytes:
        """Some 0.7 us a key, and 0.1 ms for each run of keys that has to be sorted first."""
        prefix, after, limit = wanted
        start, exclusive = (after, True) if after >= prefix else (prefix, False)
        pack, room = wire.PAIR_HEAD.pack, wire.RANGE_BYTES_MAX
        parts: list[bytes] = []
        count = 0
        for keys, run in self._table.ascend(start, exclusive):
            for key in keys:
                if not key.startswith(prefix):
                    return commands.encode_range(self._revision, False, count, parts)
                record = run[key]
                head = pack(len(key), len(record))
                room -= len(head) + len(key) + len(record)
                if count >= limit or (room < 0 and count):
                    return commands.encode_range(self._revision, True, count, parts)
                parts += (head, key, record)
                count += 1
        return commands.encode_range(self._revision, False, count, parts)


def _holds(cas: commands.Cas, record: bytes | None) -> bool:
    """Is what the compare-and-set expects there? An absent key has version and mod_revision 0."""
    if cas.kind == wire.ABSENT:
        return record is None
    if cas.kind == wire.VALUE:
        return record is not None and record[wire.RECORD_HEAD.size :] == cas.expected
    _, mod_revision, version = wire.RECORD_HEAD.unpack_from(record or NO_RECORD)
    return bool(cas.number == (version if cas.kind == wire.VERSION else mod_revision))


def _chunks(head: bytes, frozen: Frozen) -> Iterator[bytes]:
    """The snapshot in pieces of CHUNK_BYTES or one pair. Any thread."""
    parts = [head]
    size = 0
    pack = wire.PAIR_HEAD.pack
    for key, record in frozen:
        parts += (pack(len(key), len(record)), key, record)
        size += len(key) + len(record)
        if size >= CHUNK_BYTES:
            yield b"".join(parts)
            parts.clear()
            size = 0
    if parts:
        yield b"".join(parts)


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
        """`count` pairs in strictly ascending order, and then the end."""
        unpack, head_bytes = wire.PAIR_HEAD.unpack_from, wire.PAIR_HEAD.size
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
            if key <= last or record_bytes < wire.RECORD_HEAD.size:
                raise SnapshotFormatError(
                    f"key-value snapshot: key {key[:64]!r} out of order or cut"
                )
            yield key, record
            last = key
        if self._at != len(self._data) or self._reader.read(1):
            raise SnapshotFormatError(f"key-value snapshot: more bytes after {count} keys")

    def _fill(self, size: int) -> None:
        """Have `size` bytes or more at hand; a reader may return less than asked for."""
        parts = [self._data[self._at :]]
        have = len(parts[0])
        while have < size:
            part = self._reader.read(READ_BYTES)  # never as much as a length in the bytes says
            if not part:
                raise SnapshotFormatError("key-value snapshot: it ends too early")
            parts.append(part)
            have += len(part)
        self._data, self._at = b"".join(parts), 0
