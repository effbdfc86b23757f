"""The table of operations: how each is encoded, which stream carries it, how its answer is decoded.

Both faces run what these functions return. They raise Invalid, naming the argument and the limit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, Literal, NamedTuple, ParamSpec, TypeVar

from raftd.client.errors import Invalid
from raftd.wire import batch, kv
from raftd.wire.errors import WireError

Consistency = Literal["linearizable", "stale"]
LaneName = Literal["small", "bulk", "queries", "stale"]
Data = bytes | str
"""A key, value or command: bytes, or text that stands for its UTF-8 bytes."""
P = ParamSpec("P")
Answer = TypeVar("Answer")


class Operation(NamedTuple, Generic[Answer]):
    """One command or query, ready to be sent. lane: the stream that carries it."""

    lane: LaneName
    payload: bytes
    decode: Callable[[bytes], Answer]


class Bulk(NamedTuple, Generic[Answer]):
    """Many commands of one kind, for the bulk stream."""

    commands: Sequence[bytes]
    decode: Callable[[bytes], Answer]


# -- any state machine -------------------------------------------------------------------------


def submit(command: Data) -> Operation[bytes]:
    return Operation("small", _checked(command), _same)


def query(query: Data, consistency: Consistency) -> Operation[bytes]:
    return Operation(_lane(consistency), _checked(query), _same)


def submit_many(commands: Iterable[Data]) -> Bulk[bytes]:
    return Bulk([_checked(command) for command in commands], _same)


# -- the built-in store ------------------------------------------------------------------------


def put(key: Data, value: Data) -> Operation[kv.PutResult]:
    payload = _encoded(kv.encode_put, data("key", key), data("value", value))
    return Operation("small", payload, kv.decode_put)


def put_many(pairs: Iterable[tuple[Data, Data]]) -> Bulk[kv.PutResult]:
    commands = []
    for key, value in _pairs(pairs):
        if value is None:
            raise Invalid(f"put_many: key {key[:64]!r}: value: NoneType, expected bytes or str")
        commands.append(_encoded(kv.encode_put, key, value))
    return Bulk(commands, kv.decode_put)


def delete(key: Data) -> Operation[kv.DeleteResult]:
    return Operation("small", _encoded(kv.encode_delete, data("key", key)), kv.decode_delete)


def cas(key: Data, value: Data | None, expect: kv.Expect) -> Operation[kv.CasResult]:
    new = None if value is None else data("value", value)
    payload = _encoded(kv.encode_cas, data("key", key), new, expect)
    return Operation("small", payload, kv.decode_cas)


def atomic_batch(
    operations: Iterable[tuple[Data, Data | None]],
) -> Operation[kv.BatchResult]:
    payload = _encoded(kv.encode_batch_ops, _pairs(operations))
    return Operation("small", payload, kv.decode_batch_ops)


def get(key: Data, consistency: Consistency) -> Operation[kv.GetResult]:
    payload = _encoded(kv.encode_get, data("key", key))
    return Operation(_lane(consistency), payload, kv.decode_get)


def page(
    prefix: Data, limit: int, after: Data, consistency: Consistency
) -> Operation[kv.RangeResult]:
    payload = _encoded(kv.encode_range, data("prefix", prefix), limit, data("after", after))
    return Operation(_lane(consistency), payload, kv.decode_range)


# -- arguments ---------------------------------------------------------------------------------


def data(name: str, value: Data) -> bytes:
    """The bytes that an argument stands for; text is UTF-8. Raises Invalid, naming the argument."""
    if type(value) is bytes:
        return value
    if isinstance(value, str):
        try:
            return value.encode()
        except UnicodeEncodeError:
            raise Invalid(f"{name} {value[:64]!r}: is no text that UTF-8 can hold") from None
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    raise Invalid(f"{name}: {type(value).__name__}, expected bytes or str")


def _pairs(
    operations: Iterable[tuple[Data, Data | None]],
) -> list[tuple[bytes, bytes | None]]:
    """Keys and values; a value of None is a delete."""
    found: list[tuple[bytes, bytes | None]] = []
    given: Iterable[Any] = operations
    for number, operation in enumerate(given):
        name = f"operations[{number}]"
        if not isinstance(operation, tuple | list) or len(operation) != 2:
            raise Invalid(f"{name}: expected (key, value), or (key, None) for a delete")
        key, value = operation
        found.append((data(f"{name} key", key), None if value is None else data(name, value)))
    return found


def _checked(command: Data) -> bytes:
    """Raises Invalid for a command or query that no node would take."""
    command = data("command", command)
    if len(command) > batch.COMMAND_BYTES_MAX:
        raise Invalid(
            f"command: {len(command)} bytes, the limit is {batch.COMMAND_BYTES_MAX}; split it"
        )
    return command


def _encoded(encode: Callable[P, bytes], *args: P.args, **kwargs: P.kwargs) -> bytes:
    try:
        return encode(*args, **kwargs)
    except WireError as error:
        raise Invalid(str(error)) from None


def _lane(consistency: Consistency) -> LaneName:
    if consistency not in ("linearizable", "stale"):
        raise Invalid(f"consistency {consistency!r}: expected 'linearizable' or 'stale'")
    return "stale" if consistency == "stale" else "queries"


def _same(answer: bytes) -> bytes:
    """The decoder of answers that are opaque to us."""
    return answer
