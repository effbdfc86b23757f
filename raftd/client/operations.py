"""The table of operations: how each is encoded, which stream carries it, how its answer is decoded.

Both faces run what these functions return. They raise Invalid, naming the argument and the limit.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, Literal, NamedTuple, ParamSpec, TypeVar

from raftd.client.errors import Invalid
from raftd.wire import alarms as alarm_wire
from raftd.wire import batch, kv, leases
from raftd.wire.errors import WireError
from raftd.wire.txn import encode_txn
from raftd.wire.txn_answers import RangeAnswer, decode_txn_answer
from raftd.wire.txn_types import PutOp, RangeOp, Txn

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


def put(key: Data, value: Data, lease: int = 0) -> Operation[kv.PutResult]:
    name, content = data("key", key), data("value", value)
    if not lease:
        return Operation("small", encoded(kv.encode_put, name, content), kv.decode_put)
    both = Txn(success=[PutOp(name, content, lease), RangeOp(name, keys_only=True)])
    return Operation("small", encoded(encode_txn, both), _put_in_txn)


def _put_in_txn(answer: bytes) -> kv.PutResult:
    """A put of a transaction tells no version, so the key is read after it."""
    done = decode_txn_answer(answer)
    (_, read) = done.responses
    return kv.PutResult(done.revision, _only(read).version)


def put_many(pairs: Iterable[tuple[Data, Data]]) -> Bulk[kv.PutResult]:
    commands = []
    for key, value in _pairs(pairs):
        if value is None:
            raise Invalid(f"put_many: key {key[:64]!r}: value: NoneType, expected bytes or str")
        commands.append(encoded(kv.encode_put, key, value))
    return Bulk(commands, kv.decode_put)


def delete(key: Data) -> Operation[kv.DeleteResult]:
    return Operation("small", encoded(kv.encode_delete, data("key", key)), kv.decode_delete)


def cas(key: Data, value: Data | None, expect: kv.Expect) -> Operation[kv.CasResult]:
    new = None if value is None else data("value", value)
    payload = encoded(kv.encode_cas, data("key", key), new, _expectation(expect))
    return Operation("small", payload, kv.decode_cas)


def atomic_batch(
    operations: Iterable[tuple[Data, Data | None]],
) -> Operation[kv.BatchResult]:
    payload = encoded(kv.encode_batch_ops, _pairs(operations))
    return Operation("small", payload, kv.decode_batch_ops)


def get(key: Data, consistency: Consistency, revision: int = 0) -> Operation[kv.GetResult]:
    name, lane = data("key", key), _lane(consistency)
    if not revision:
        return Operation(lane, encoded(kv.encode_get, name), kv.decode_get)
    read = Txn(success=[RangeOp(name, revision=revision)])
    return Operation(lane, encoded(encode_txn, read), _get_in_txn)


def _get_in_txn(answer: bytes) -> kv.GetResult:
    done = decode_txn_answer(answer)
    (read,) = done.responses
    assert isinstance(read, RangeAnswer)
    return kv.GetResult(done.revision, read.kvs[0] if read.kvs else None)


def _only(read: object) -> kv.KeyValue:
    assert isinstance(read, RangeAnswer)
    return read.kvs[0]


def page(
    prefix: Data, limit: int, after: Data, consistency: Consistency
) -> Operation[kv.RangeResult]:
    payload = encoded(kv.encode_range, data("prefix", prefix), limit, data("after", after))
    return Operation(_lane(consistency), payload, kv.decode_range)


# -- leases and history of the built-in store --------------------------------------------------


def lease_grant(lease_id: int, ttl_s: int) -> Operation[leases.GrantResult]:
    payload = encoded(leases.encode_lease_grant, lease_id, ttl_s)
    return Operation("small", payload, leases.decode_grant_answer)


def lease_revoke(lease_id: int) -> Operation[leases.RevokeResult]:
    payload = encoded(leases.encode_lease_revoke, lease_id)
    return Operation("small", payload, leases.decode_revoke_answer)


def lease_renew(lease_id: int) -> Operation[leases.RenewResult]:
    """A query that only the leader answers: the stream of queries goes on until it is there."""
    payload = encoded(leases.encode_lease_renew, lease_id)
    return Operation("queries", payload, leases.decode_renew_answer)


def lease_time_to_live(lease_id: int, keys: bool) -> Operation[leases.TimeToLiveResult]:
    payload = encoded(leases.encode_lease_time_to_live, lease_id, keys)
    return Operation("queries", payload, leases.decode_time_to_live_answer)


def lease_list() -> Operation[leases.LeaseListResult]:
    return Operation("queries", leases.encode_lease_list(), leases.decode_list_answer)


def compact(revision: int) -> Operation[leases.CompactResult]:
    payload = encoded(leases.encode_compact, revision)
    return Operation("small", payload, leases.decode_compact_answer)


def alarms() -> Operation[alarm_wire.AlarmsResult]:
    """Those that are raised."""
    return Operation("queries", alarm_wire.encode_alarms(), alarm_wire.decode_alarms_answer)


def clear_alarm(kind: alarm_wire.Kind) -> Operation[alarm_wire.AlarmsResult]:
    """Of all members; what is raised then."""
    payload = alarm_wire.encode_alarm(alarm_wire.Action.CLEAR, alarm_wire.Alarm(kind, ""))
    return Operation("small", payload, alarm_wire.decode_alarms_answer)


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


def _expectation(expect: kv.Expect) -> kv.Expect:
    given: Any = expect
    if not isinstance(given, kv.Expect):
        made = "expect_value, expect_version, expect_mod_revision or expect_absent"
        raise Invalid(f"expect: {type(given).__name__}, expected what {made} gives")
    if given.value is None:
        raise Invalid("expect_value: None; that there is no such key, expect_absent() says")
    return given._replace(value=data("expect_value", given.value))


def encoded(encode: Callable[P, bytes], *args: P.args, **kwargs: P.kwargs) -> bytes:
    try:
        return encode(*args, **kwargs)
    except WireError as error:
        raise Invalid(str(error)) from None
    except struct.error as error:  # a float, for one
        raise Invalid(f"a number does not fit: {error}") from None


def _lane(consistency: Consistency) -> LaneName:
    if consistency not in ("linearizable", "stale"):
        raise Invalid(f"consistency {consistency!r}: expected 'linearizable' or 'stale'")
    return "stale" if consistency == "stale" else "queries"


def _same(answer: bytes) -> bytes:
    """The decoder of answers that are opaque to us."""
    return answer
