"""What the store of today wrote is read for ever: a log, its answers, and the snapshot after it.

golden_v2.json was written by the first version with history, golden_v3.json by the first with users
and roles; never write them anew. What version 1 wrote is in test_replicas.py.
"""

from __future__ import annotations

import io
import json
from pathlib import Path

from raftd.machine.kv.store import KvStore
from raftd.machine.protocol import MachineError, TellsChanges
from raftd.wire import refusals

GOLDEN = json.loads((Path(__file__).parent / "golden_v2.json").read_text())
SNAPSHOT = bytes.fromhex(GOLDEN["snapshot"])


def _told(store: KvStore, command: bytes) -> str:
    try:
        return store.apply(command).hex()
    except MachineError as error:
        return f"refused: {refusals.refusal_of(str(error))}"


def test_a_log_gives_the_same_answers_and_the_same_snapshot() -> None:
    store = KvStore(chunk=7)
    answers = [_told(store, bytes.fromhex(command)) for command in GOLDEN["log"]]
    assert answers == GOLDEN["answers"]
    assert b"".join(store.capture()) == SNAPSHOT


def test_a_snapshot_is_read_with_its_history_and_its_leases() -> None:
    store = KvStore()
    store.restore(io.BytesIO(SNAPSHOT))
    assert b"".join(store.capture()) == SNAPSHOT
    assert isinstance(store, TellsChanges)
    assert len(store.leases) > 0
    told = list(store.changes(store.history.first - 1))
    assert [changes.revision for changes in told] == list(
        range(store.history.first, store.revision + 1)
    )


WITH_USERS = json.loads((Path(__file__).parent / "golden_v3.json").read_text())


def test_users_and_roles_come_to_the_same_snapshot_and_back() -> None:
    store, snapshot = KvStore(), bytes.fromhex(WITH_USERS["snapshot"])
    answers = [_told(store, bytes.fromhex(command)) for command in WITH_USERS["log"]]
    assert answers == WITH_USERS["answers"]
    assert b"".join(store.capture()) == snapshot
    other = KvStore()
    other.restore(io.BytesIO(snapshot))
    assert b"".join(other.capture()) == snapshot
    assert sorted(other.auth.users) == ["ann", "root"]
    assert other.auth.enabled
