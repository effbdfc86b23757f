"""Commands, queries and answers of the built-in key-value store [frozen formats, little-endian].

    put     1  key length u16, key, value (the rest)
    delete  2  key length u16, key
    cas     3  key length u16, what is expected u8, action u8, number u64, expected length u32,
               key, expected value, new value (the rest)
    batch   4  count u16, then per operation:
               action u8, key length u16, value length u32, key, value
    get    16  key length u16, key
    range  17  prefix length u16, after length u16, limit u32, prefix, after

An answer starts with the number of what it answers. A key with its value travels as: key length
u16, record length u32, key, record; a record is create_revision, mod_revision and version (u64
each) and the value. That is also how the store keeps it, so a page or a snapshot is a plain copy.

The encoders here are the client's side, as are the decoders of answers; machine/kv/commands.py
holds the other side. Any thread, no I/O. Bad input or bad bytes: WireError, one line, nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import Final, NamedTuple

from raftd.wire.errors import WireError
from raftd.wire.kv_results import BatchResult as BatchResult
from raftd.wire.kv_results import CasResult as CasResult
from raftd.wire.kv_results import DeleteResult as DeleteResult
from raftd.wire.kv_results import GetResult as GetResult
from raftd.wire.kv_results import KeyValue as KeyValue
from raftd.wire.kv_results import PutResult as PutResult
from raftd.wire.kv_results import RangeResult as RangeResult

PUT: Final = 1
DELETE: Final = 2
CAS: Final = 3
BATCH: Final = 4
GET: Final = 16
RANGE: Final = 17

ABSENT: Final = 1
VALUE: Final = 2
VERSION: Final = 3
MOD_REVISION: Final = 4

KEY_BYTES_MAX: Final = 32_768
VALUE_BYTES_MAX: Final = (1 << 20) + (256 << 10)
OPERATIONS_MAX: Final = 1024
"""Per atomic batch: it is applied in one go, so it bounds a pause."""
OPERATIONS_BYTES_MAX: Final = 1_572_864
"""A whole atomic batch is one command: raftd.wire.batch.COMMAND_BYTES_MAX."""
RANGE_LIMIT_DEFAULT: Final = 1000
RANGE_LIMIT_MAX: Final = 10_000
RANGE_BYTES_MAX: Final = 2 << 20
"""A page ends before it passes either bound, but holds at least one key if there is one."""

KEYED_HEAD: Final = Struct("<BH")
CAS_HEAD: Final = Struct("<BHBBQI")
OPERATION_HEAD: Final = Struct("<BHI")
RANGE_HEAD: Final = Struct("<BHHI")
PUT_ANSWER: Final = Struct("<BQQ")
FLAG_ANSWER: Final = Struct("<BQB")
COUNT_ANSWER: Final = Struct("<BQH")
RANGE_ANSWER: Final = Struct("<BQBI")
VERSIONS_ITEM: Final = Struct("<Q")
PAIR_HEAD: Final = Struct("<HI")
RECORD_HEAD: Final = Struct("<QQQ")


class Expect(NamedTuple):
    """What a compare-and-set compares with; made by the expect_... functions."""

    kind: int
    number: int = 0
    value: bytes = b""


def expect_absent() -> Expect:
    return Expect(ABSENT)


def expect_value(value: bytes | str) -> Expect:
    """Text stands for its UTF-8 bytes."""
    return Expect(VALUE, 0, value.encode() if isinstance(value, str) else value)


def expect_version(version: int) -> Expect:
    """Version 0 is the same as absent."""
    return Expect(VERSION, version)


def expect_mod_revision(mod_revision: int) -> Expect:
    """Revision 0 is the same as absent."""
    return Expect(MOD_REVISION, mod_revision)


def encode_put(key: bytes, value: bytes) -> bytes:
    """Raises WireError if the key is empty, or key or value over the limit; so do all encoders."""
    size = len(key)
    if not 0 < size <= KEY_BYTES_MAX or len(value) > VALUE_BYTES_MAX:
        check_key(key)
        check_value(value)
    return KEYED_HEAD.pack(PUT, size) + key + value


def encode_delete(key: bytes) -> bytes:
    check_key(key)
    return KEYED_HEAD.pack(DELETE, len(key)) + key


def encode_cas(key: bytes, value: bytes | None, expect: Expect) -> bytes:
    """Put `value` (None: delete the key) if `expect` holds."""
    check_key(key)
    if value is not None:
        check_value(value)
    check_value(expect.value)
    if not ABSENT <= expect.kind <= MOD_REVISION:
        raise WireError(f"compare-and-set: unknown kind {expect.kind} of expectation")
    if not 0 <= expect.number < 2**64:
        raise WireError(f"compare-and-set: expected number {expect.number} does not fit 64 bits")
    action = DELETE if value is None else PUT
    head = CAS_HEAD.pack(CAS, len(key), expect.kind, action, expect.number, len(expect.value))
    command = b"".join((head, key, expect.value, value or b""))
    return _bounded("compare-and-set", command)


def encode_batch_ops(ops: Sequence[tuple[bytes, bytes | None]]) -> bytes:
    """An atomic batch: (key, value) puts, (key, None) deletes. A key may appear once."""
    if len(ops) > OPERATIONS_MAX:
        raise WireError(f"atomic batch: {len(ops)} operations, the limit is {OPERATIONS_MAX}")
    seen: set[bytes] = set()
    parts = [KEYED_HEAD.pack(BATCH, len(ops))]
    for key, value in ops:
        check_key(key)
        if key in seen:
            raise WireError(f"atomic batch: key {key[:64]!r} appears twice; a key may appear once")
        seen.add(key)
        if value is None:
            parts += (OPERATION_HEAD.pack(DELETE, len(key), 0), key)
        else:
            check_value(value)
            parts += (OPERATION_HEAD.pack(PUT, len(key), len(value)), key, value)
    return _bounded("atomic batch", b"".join(parts))


def encode_get(key: bytes) -> bytes:
    check_key(key)
    return KEYED_HEAD.pack(GET, len(key)) + key


def encode_range(prefix: bytes = b"", limit: int = 0, after: bytes = b"") -> bytes:
    """Keys that start with `prefix` and are greater than `after`, `limit` of them at most.

    limit 0 means RANGE_LIMIT_DEFAULT, one over RANGE_LIMIT_MAX means that.
    """
    for name, data in (("prefix", prefix), ("after", after)):
        if len(data) > KEY_BYTES_MAX:
            raise WireError(f"range: {name} has {len(data)} bytes, the limit is {KEY_BYTES_MAX}")
    if not 0 <= limit < 2**32:
        raise WireError(f"range: limit {limit} is not in 0..{2**32 - 1}")
    return RANGE_HEAD.pack(RANGE, len(prefix), len(after), limit) + prefix + after


def check_key(key: bytes) -> None:
    if not key:
        raise WireError("key: empty; a key has 1 byte or more")
    if len(key) > KEY_BYTES_MAX:
        raise WireError(f"key: {len(key)} bytes, the limit is {KEY_BYTES_MAX}")


def check_value(value: bytes) -> None:
    if len(value) > VALUE_BYTES_MAX:
        raise WireError(f"value: {len(value)} bytes, the limit is {VALUE_BYTES_MAX}")


def _bounded(what: str, command: bytes) -> bytes:
    if len(command) > OPERATIONS_BYTES_MAX:
        raise WireError(f"{what}: {len(command)} bytes, the limit is {OPERATIONS_BYTES_MAX}")
    return command


def decode_put(answer: bytes) -> PutResult:
    if len(answer) != PUT_ANSWER.size or answer[0] != PUT:
        raise _mismatch("put", answer)
    _, revision, version = PUT_ANSWER.unpack(answer)
    return PutResult(revision, version)


def decode_delete(answer: bytes) -> DeleteResult:
    if len(answer) != FLAG_ANSWER.size or answer[0] != DELETE:
        raise _mismatch("delete", answer)
    _, revision, deleted = FLAG_ANSWER.unpack(answer)
    return DeleteResult(revision, deleted != 0)


def decode_cas(answer: bytes) -> CasResult:
    if len(answer) < FLAG_ANSWER.size or answer[0] != CAS:
        raise _mismatch("compare-and-set", answer)
    _, revision, succeeded = FLAG_ANSWER.unpack_from(answer)
    return CasResult(revision, succeeded != 0, _one_or_none("compare-and-set", answer))


def decode_batch_ops(answer: bytes) -> BatchResult:
    if len(answer) < COUNT_ANSWER.size or answer[0] != BATCH:
        raise _mismatch("atomic batch", answer)
    _, revision, count = COUNT_ANSWER.unpack_from(answer)
    if len(answer) != COUNT_ANSWER.size + count * VERSIONS_ITEM.size:
        raise _mismatch("atomic batch", answer)
    versions = [version for (version,) in VERSIONS_ITEM.iter_unpack(answer[COUNT_ANSWER.size :])]
    return BatchResult(revision, versions)


def decode_get(answer: bytes) -> GetResult:
    if len(answer) < FLAG_ANSWER.size or answer[0] != GET:
        raise _mismatch("get", answer)
    revision: int = FLAG_ANSWER.unpack_from(answer)[1]
    return GetResult(revision, _one_or_none("get", answer))


def decode_range(answer: bytes) -> RangeResult:
    if len(answer) < RANGE_ANSWER.size or answer[0] != RANGE:
        raise _mismatch("range", answer)
    _, revision, more, count = RANGE_ANSWER.unpack_from(answer)
    if count > RANGE_LIMIT_MAX:
        raise WireError(f"range: {count} keys in a page, the limit is {RANGE_LIMIT_MAX}")
    kvs: list[KeyValue] = []
    at = RANGE_ANSWER.size
    for _ in range(count):
        kv, at = _pair("range", answer, at)
        kvs.append(kv)
    if at != len(answer):
        raise _mismatch("range", answer)
    return RangeResult(revision, kvs, more != 0)


def _one_or_none(what: str, answer: bytes) -> KeyValue | None:
    """The pair after a FLAG_ANSWER, if any."""
    if len(answer) == FLAG_ANSWER.size:
        return None
    kv, at = _pair(what, answer, FLAG_ANSWER.size)
    if at != len(answer):
        raise _mismatch(what, answer)
    return kv


def _pair(what: str, data: bytes, at: int) -> tuple[KeyValue, int]:
    begin = at + PAIR_HEAD.size
    if begin > len(data):
        raise _mismatch(what, data)
    key_bytes, record_bytes = PAIR_HEAD.unpack_from(data, at)
    middle = begin + key_bytes
    end = middle + record_bytes
    if end > len(data) or record_bytes < RECORD_HEAD.size:
        raise _mismatch(what, data)
    create_revision, mod_revision, version = RECORD_HEAD.unpack_from(data, middle)
    value = data[middle + RECORD_HEAD.size : end]
    return KeyValue(data[begin:middle], value, create_revision, mod_revision, version), end


def _mismatch(what: str, answer: bytes) -> WireError:
    return WireError(f"{what}: not the answer to one: {len(answer)} bytes {answer[:16].hex()}...")
