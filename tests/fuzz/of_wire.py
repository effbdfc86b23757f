"""Targets: the bytes inside log entries, the built-in store's, and what sessions make of them."""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from raftd.machine import session_table
from raftd.machine.kv import commands
from raftd.machine.kv.store import SNAPSHOT_HEAD, KvStore
from raftd.machine.protocol import MachineError, MachineFailure, SnapshotFormatError
from raftd.machine.session_table import KEPT_HEAD, SESSION_HEAD, Limits
from raftd.machine.sessions import Sessions
from raftd.wire import batch, kv, session_id
from raftd.wire.errors import WireError
from tests.fuzz.target import Fields, Target, framed

TIGHT = Limits(3, 6, 400, 4, 200, 150, 90)
"""The format's own limits are out of reach of an input of a few KiB."""


def batch_payload(data: bytes) -> None:
    """The door and the decoder must agree: what passes the first is applied by the second."""
    try:
        count = batch.check_batch(data)
    except WireError:
        decoded = batch.decode_batch(data)
        if decoded.version == batch.VERSION and data[1] != batch.TAKEN:
            raise AssertionError("decoded, but refused at the door") from None
        if decoded.version == batch.VERSION:
            sent = data[batch.NOTE.size + len(decoded.principal) :]
            assert batch.noted(sent, decoded.taken_ms, decoded.principal) == data
            batch.check_batch(sent)
        return
    decoded = batch.decode_batch(data)
    assert len(decoded.commands) == count
    if decoded.kind == batch.OPEN:
        again = batch.encode_open(decoded.session[: session_id.NONCE_BYTES])
    elif decoded.kind == batch.CLOSE:
        again = batch.encode_close(decoded.session)
    else:
        session = decoded.session if decoded.kind == batch.IN_SESSION else b""
        again = batch.encode_batch(session, decoded.floor, decoded.commands)
    assert again == data


def batch_results(data: bytes) -> None:
    if len(data) == session_id.ID_BYTES:
        assert batch.decode_session(data) == data
        return
    assert batch.encode_results(batch.decode_results(data)) == data


def _record(found: kv.KeyValue | None) -> tuple[bytes, bytes | None]:
    if found is None:
        return b"", None
    head = kv.RECORD_HEAD.pack(found.create_revision, found.mod_revision, found.version)
    return found.key, head + found.value


def _pairs(found: list[kv.KeyValue]) -> list[bytes]:
    return [commands.encode_pair(*_record(one)) for one in found]


ANSWERS: dict[int, tuple[Callable[[bytes], Any], Callable[[Any], bytes]]] = {
    kv.PUT: (kv.decode_put, lambda got: kv.PUT_ANSWER.pack(kv.PUT, *got)),
    kv.DELETE: (kv.decode_delete, lambda got: commands.encode_delete(*got)),
    kv.CAS: (
        kv.decode_cas,
        lambda got: commands.encode_cas(got.revision, got.succeeded, *_record(got.current)),
    ),
    kv.BATCH: (kv.decode_batch_ops, lambda got: commands.encode_batch_ops(*got)),
    kv.GET: (kv.decode_get, lambda got: commands.encode_get(got.revision, *_record(got.kv))),
    kv.RANGE: (
        kv.decode_range,
        lambda got: commands.encode_range(got.revision, got.more, len(got.kvs), _pairs(got.kvs)),
    ),
}


def kv_answer(data: bytes) -> None:
    """What the client decodes. Flags may be any number but 0, so not always the same bytes."""
    for number, (decode, _) in ANSWERS.items():
        if data[:1] == bytes((number,)):
            continue
        try:
            decode(data)
        except WireError:
            continue
        raise AssertionError(f"an answer of kind {data[:1].hex()} was taken for one of {number}")
    decode, encode = ANSWERS.get(data[0] if data else 0, ANSWERS[kv.PUT])
    found = decode(data)
    assert decode(encode(found)) == found


def kv_command(data: bytes) -> None:
    """What the store decodes; the client's encoder must give the same bytes or mean the same."""
    operation = data[0] if data else 0
    if operation == kv.CAS:
        cas = commands.decode_cas(data)
        expect = kv.Expect(cas.kind, cas.number, cas.expected)
        assert kv.encode_cas(cas.key, cas.value, expect) == data
    elif operation == kv.BATCH:
        assert kv.encode_batch_ops(commands.decode_batch_ops(data)) == data
    elif operation in (kv.DELETE, kv.GET):
        encode = kv.encode_delete if operation == kv.DELETE else kv.encode_get
        assert encode(commands.decode_key(data)) == data
    elif operation == kv.RANGE:
        wanted = commands.decode_range(data)
        again = kv.encode_range(wanted.prefix, wanted.limit, wanted.after)
        assert commands.decode_range(again) == wanted
    store = KvStore()
    before = store.revision
    if operation in (kv.GET, kv.RANGE):
        ANSWERS[operation][0](store.query(data))
    else:
        ANSWERS.get(operation, ANSWERS[kv.PUT])[0](store.apply(data))
    assert store.revision in (before, before + 1)


def sessions_life(data: bytes) -> None:
    """Payloads one after the other through sessions and store, then a snapshot and back."""
    fields = Fields(data)
    sessions = Sessions(KvStore(), TIGHT)
    index = 0
    while fields:
        index += 1
        payload = fields.blob(2)
        try:
            results = batch.decode_results(sessions.apply_batch(index, 1, payload))
        except MachineFailure as failure:
            # Only what the door refuses may stop a node; all else is answered.
            if not isinstance(failure.__cause__, WireError):
                raise AssertionError("a payload that passed the door stopped the node") from failure
            continue
        assert len(results) == max(1, len(batch.decode_batch(payload).commands))
    table, chunks = sessions.capture()
    again = Sessions(KvStore(), TIGHT)
    again.restore(table, io.BytesIO(b"".join(chunks)))
    assert again.digest() == sessions.digest()


def sessions_table(data: bytes) -> None:
    table, taken_ms = session_table.load(data)
    again = session_table.dump(table, taken_ms)
    if data[4:5] != bytes((session_table.VERSION_1,)):
        assert again == (data or session_table.dump(OrderedDict(), 0))
    assert session_table.dump(*session_table.load(again)) == again


class Trickle(io.RawIOBase):
    """Gives what it has in small pieces, and will not be asked for more than a snapshot may be."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def read(self, size: int = -1) -> bytes:
        assert 0 <= size <= 4 << 20, f"asked for {size} bytes at once: a length was believed"
        return self._data.read(min(size, 100))


def store_restore(data: bytes) -> None:
    store = KvStore()
    store.restore(Trickle(data))  # type: ignore[arg-type]
    assert b"".join(store.capture()) == data
    kv.decode_range(store.query(kv.encode_range(b"", 5)))


PLAIN = batch.encode_batch(b"", 0, [(0, kv.encode_put(b"key", b"value")), (1, kv.encode_get(b"k"))])
SESSION = session_id.with_index(bytes(range(1, 17)), 1)
OPEN = batch.encode_open(SESSION[: session_id.NONCE_BYTES])
CLOSE = batch.encode_close(SESSION)
OTHERS = [batch.encode_open(bytes((number,)) * 16) for number in range(1, 4)]
VERSION_1 = batch.HEADER_1.pack(1, batch.IN_SESSION, 1, 7, 2) + batch.COMMAND_HEAD.pack(3, 1) + b"x"


def _in_session(floor: int, *numbers: int) -> bytes:
    puts = [(seq, kv.encode_put(b"k%d" % seq, b"v" * seq)) for seq in numbers]
    return batch.encode_batch(SESSION, floor, puts)


CAS = kv.encode_cas(b"key", b"new", kv.expect_value(b"old"))
ATOMIC = kv.encode_batch_ops([(b"a", b"1"), (b"b", None)])
PAIR = commands.encode_pair(b"key", kv.RECORD_HEAD.pack(2, 3, 1) + b"value")
KEPT = KEPT_HEAD.pack(4, 77, batch.OK, 2) + b"ok"
TABLE = (
    session_table.TABLE_HEAD.pack(session_table.MAGIC, session_table.VERSION, 2)
    + session_table.TAKEN.pack(1_700_000_000_000)
    + SESSION_HEAD.pack(24, 2, 3, 1_700_000_000_000, 1)
    + SESSION
    + b"me"
    + KEPT
    + SESSION_HEAD.pack(8, 0, 0, 0, 0)
    + session_id.of_version_1(5)
)
TABLE_1 = (
    session_table.TABLE_HEAD.pack(session_table.MAGIC, session_table.VERSION_1, 2)
    + session_table.SESSION_HEAD_1.pack(9, 3, 1)
    + KEPT
    + session_table.SESSION_HEAD_1.pack(5, 0, 0)
)
SNAPSHOT = (
    SNAPSHOT_HEAD.pack(b"rkv1", 4, 2)
    + commands.encode_pair(b"a", kv.RECORD_HEAD.pack(2, 2, 1))
    + commands.encode_pair(b"b", kv.RECORD_HEAD.pack(3, 4, 2) + b"value")
)

TARGETS = (
    Target(
        "batch",
        batch_payload,
        (WireError,),
        (
            PLAIN,
            OPEN,
            batch.encode_close(SESSION),
            _in_session(2, 3, 5),
            batch.noted(_in_session(0, 1), 1_700_000_000_000, b"me"),
            VERSION_1,
        ),
        ("raftd/wire/batch.py", "raftd/wire/session_id.py"),
    ),
    Target(
        "results",
        batch_results,
        (WireError,),
        (batch.encode_results([(0, b"ok"), (1, b"no"), (6, b"")]), SESSION),
        ("raftd/wire/results.py", "raftd/wire/session_id.py"),
    ),
    Target(
        "kv-answer",
        kv_answer,
        (WireError,),
        (
            kv.PUT_ANSWER.pack(kv.PUT, 5, 2),
            commands.encode_delete(5, True),
            commands.encode_cas(5, False, b"key", kv.RECORD_HEAD.pack(2, 3, 1) + b"value"),
            commands.encode_batch_ops(5, [1, 0]),
            commands.encode_get(5, b"key", None),
            commands.encode_range(5, True, 2, [PAIR, PAIR]),
        ),
        ("raftd/wire/kv.py",),
    ),
    Target(
        "kv-command",
        kv_command,
        (MachineError,),
        (
            kv.encode_put(b"key", b"value"),
            kv.encode_delete(b"key"),
            CAS,
            kv.encode_cas(b"key", None, kv.expect_version(0)),
            ATOMIC,
            kv.encode_get(b"key"),
            kv.encode_range(b"k", 10, b"ka"),
        ),
        ("raftd/machine/kv/commands.py", "raftd/machine/kv/store.py", "raftd/wire/kv.py"),
    ),
    Target(
        "sessions",
        sessions_life,
        (),
        (
            framed(
                OPEN, _in_session(0, 1, 2), _in_session(1, 2, 3), batch.encode_close(SESSION), PLAIN
            ),
            framed(OPEN, *OTHERS, _in_session(0, 1, 2, 3, 4, 5), OPEN),
            framed(OPEN, batch.encode_batch(SESSION, 0, [(1, CAS), (2, ATOMIC), (1, ATOMIC)])),
        ),
        ("raftd/machine/sessions.py", "raftd/machine/session_table.py", "raftd/wire/batch.py"),
    ),
    Target(
        "session-table",
        sessions_table,
        (SnapshotFormatError,),
        (b"", TABLE, TABLE_1),
        ("raftd/machine/session_table.py",),
        (session_table.MAGIC,),
    ),
    Target(
        "store-snapshot",
        store_restore,
        (SnapshotFormatError,),
        (SNAPSHOT,),
        ("raftd/machine/kv/store.py",),
        (b"rkv1",),
    ),
)
