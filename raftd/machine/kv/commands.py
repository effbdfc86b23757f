"""The store's side of raftd/wire/kv.py: commands and queries decoded, answers encoded.

Bytes that mean nothing are refused by MachineError, alike on every node: they came through the log,
so skipping or guessing is not open to one node alone. Any thread, no I/O.
"""

from __future__ import annotations

from struct import error as StructError
from typing import NamedTuple

from raftd.machine.protocol import MachineError
from raftd.wire import kv as wire


class Cas(NamedTuple):
    """value None: delete. expected: of kind VALUE; number: of the others."""

    key: bytes
    value: bytes | None
    kind: int
    number: int
    expected: bytes


class Range(NamedTuple):
    prefix: bytes
    after: bytes
    limit: int


def refused_put(command: bytes) -> MachineError:
    """Why the store, which decodes puts itself, does not take this one."""
    try:
        end = wire.KEYED_HEAD.size + _keyed(command)
        if end <= len(command):
            _check_value(command[end:])
    except MachineError as error:
        return error
    return malformed(command)


def decode_key(command: bytes) -> bytes:
    """The key of a delete or a get. Raises MachineError, as all decoders here."""
    if 3 + _keyed(command) != len(command):
        raise malformed(command)
    return command[3:]


def decode_cas(command: bytes) -> Cas:
    try:
        _, key_bytes, kind, action, number, expected_bytes = wire.CAS_HEAD.unpack_from(command)
    except StructError:
        raise malformed(command) from None
    middle = wire.CAS_HEAD.size + key_bytes
    end = middle + expected_bytes
    key, expected, value = command[wire.CAS_HEAD.size : middle], command[middle:end], command[end:]
    _check_key_bytes(key_bytes)
    _check_value(value)
    if (
        end > len(command)
        or not wire.ABSENT <= kind <= wire.MOD_REVISION
        or action not in (wire.PUT, wire.DELETE)
        or (action == wire.DELETE and value)
    ):
        raise malformed(command)
    return Cas(key, value if action == wire.PUT else None, kind, number, expected)


def decode_batch_ops(command: bytes) -> list[tuple[bytes, bytes | None]]:
    """(key, value) puts and (key, None) deletes, each key once."""
    try:
        count: int = wire.KEYED_HEAD.unpack_from(command)[1]
        if count > wire.OPERATIONS_MAX:
            raise MachineError(
                f"atomic batch: {count} operations, the limit is {wire.OPERATIONS_MAX}"
            )
        operations: dict[bytes, bytes | None] = {}
        at = wire.KEYED_HEAD.size
        for _ in range(count):
            action, key_bytes, value_bytes = wire.OPERATION_HEAD.unpack_from(command, at)
            middle = at + wire.OPERATION_HEAD.size + key_bytes
            key, at = command[at + wire.OPERATION_HEAD.size : middle], middle + value_bytes
            _check_key_bytes(key_bytes)
            value = command[middle:at]
            _check_value(value)
            if at > len(command) or action not in (wire.PUT, wire.DELETE):
                raise malformed(command)
            if key in operations:
                raise MachineError(f"atomic batch: key {key[:64]!r} appears twice")
            if action == wire.DELETE and value:
                raise malformed(command)
            operations[key] = value if action == wire.PUT else None
    except StructError:
        raise malformed(command) from None
    if at != len(command):
        raise malformed(command)
    return list(operations.items())


def decode_range(query: bytes) -> Range:
    try:
        _, prefix_bytes, after_bytes, limit = wire.RANGE_HEAD.unpack_from(query)
    except StructError:
        raise malformed(query) from None
    middle = wire.RANGE_HEAD.size + prefix_bytes
    if middle + after_bytes != len(query):
        raise malformed(query)
    limit = min(limit or wire.RANGE_LIMIT_DEFAULT, wire.RANGE_LIMIT_MAX)
    return Range(query[wire.RANGE_HEAD.size : middle], query[middle:], limit)


def encode_delete(revision: int, deleted: bool) -> bytes:
    return wire.FLAG_ANSWER.pack(wire.DELETE, revision, deleted)


def encode_cas(revision: int, succeeded: bool, key: bytes, record: bytes | None) -> bytes:
    return wire.FLAG_ANSWER.pack(wire.CAS, revision, succeeded) + encode_pair(key, record)


def encode_batch_ops(revision: int, versions: list[int]) -> bytes:
    head = wire.COUNT_ANSWER.pack(wire.BATCH, revision, len(versions))
    return head + b"".join(map(wire.VERSIONS_ITEM.pack, versions))


def encode_get(revision: int, key: bytes, record: bytes | None) -> bytes:
    found = record is not None
    return wire.FLAG_ANSWER.pack(wire.GET, revision, found) + encode_pair(key, record)


def encode_range(revision: int, more: bool, count: int, parts: list[bytes]) -> bytes:
    """parts: `count` pairs, in as many pieces as may be."""
    head = wire.RANGE_ANSWER.pack(wire.RANGE, revision, more, count)
    return head + b"".join(parts)


def encode_pair(key: bytes, record: bytes | None) -> bytes:
    """A key with its record, as in answers and snapshots; nothing at all for None."""
    if record is None:
        return b""
    return wire.PAIR_HEAD.pack(len(key), len(record)) + key + record


def _keyed(command: bytes) -> int:
    """The key's length in a put, delete or get."""
    try:
        key_bytes: int = wire.KEYED_HEAD.unpack_from(command)[1]
    except StructError:
        raise malformed(command) from None
    _check_key_bytes(key_bytes)
    return key_bytes


def _check_key_bytes(key_bytes: int) -> None:
    if not 0 < key_bytes <= wire.KEY_BYTES_MAX:
        raise MachineError(f"key: {key_bytes} bytes, must be 1 to {wire.KEY_BYTES_MAX}")


def _check_value(value: bytes) -> None:
    if len(value) > wire.VALUE_BYTES_MAX:
        raise MachineError(f"value: {len(value)} bytes, the limit is {wire.VALUE_BYTES_MAX}")


def malformed(command: bytes) -> MachineError:
    return MachineError(
        f"not a key-value command or query: {len(command)} bytes {command[:16].hex()}"
    )
