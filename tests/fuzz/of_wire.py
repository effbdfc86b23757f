"""Targets: the bytes inside log entries, and what sessions make of them."""

from __future__ import annotations

import io
from collections import OrderedDict

from raftd.machine import session_table
from raftd.machine.kv.store import KvStore
from raftd.machine.protocol import MachineFailure, SnapshotFormatError
from raftd.machine.session_table import KEPT_HEAD, SESSION_HEAD, Limits
from raftd.machine.sessions import Sessions
from raftd.wire import batch, kv, session_id
from raftd.wire.errors import WireError
from tests.fuzz.of_store import ATOMIC, CAS
from tests.fuzz.target import Fields, Target, framed
from tests.machine.answered import answered

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


def sessions_life(data: bytes) -> None:
    """Payloads one after the other through sessions and store, then a snapshot and back."""
    fields = Fields(data)
    sessions = Sessions(KvStore(), TIGHT)
    index = 0
    while fields:
        index += 1
        payload = fields.blob(2)
        try:
            results = batch.decode_results(answered(sessions.apply_batch(index, 1, payload)))
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


PLAIN = batch.encode_batch(b"", 0, [(0, kv.encode_put(b"key", b"value")), (1, kv.encode_get(b"k"))])
SESSION = session_id.with_index(bytes(range(1, 17)), 1)
OPEN = batch.encode_open(SESSION[: session_id.NONCE_BYTES])
CLOSE = batch.encode_close(SESSION)
OTHERS = [batch.encode_open(bytes((number,)) * 16) for number in range(1, 4)]
VERSION_1 = batch.HEADER_1.pack(1, batch.IN_SESSION, 1, 7, 2) + batch.COMMAND_HEAD.pack(3, 1) + b"x"


def _in_session(floor: int, *numbers: int) -> bytes:
    puts = [(seq, kv.encode_put(b"k%d" % seq, b"v" * seq)) for seq in numbers]
    return batch.encode_batch(SESSION, floor, puts)


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
)
