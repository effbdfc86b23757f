"""Whole replicas, sessions and store together: the same log gives the same everything."""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from raftd.machine.kv import table as table_module
from raftd.machine.kv.store import KvStore
from raftd.machine.session_table import Limits
from raftd.machine.sessions import Sessions
from raftd.wire import batch as wire
from raftd.wire import kv, session_id
from raftd.wire.errors import WireError
from raftd.wire.leases import encode_compact
from tests.machine.answered import answered
from tests.machine.models import random_commands

LIMITS = Limits(sessions=4, all_numbers=25, session_numbers=8)
"""So small that expiry and fullness happen all the time."""


def random_log(seed: int, entries: int) -> list[bytes]:
    """Batches of some sessions, with retries, reuse, stale numbers, strangers, opens and closes."""
    rng = random.Random(seed)
    commands = random_commands(seed, 50)
    ids: list[bytes] = []
    log: list[bytes] = []

    def opened() -> None:
        nonce = rng.randbytes(session_id.NONCE_BYTES)
        log.append(noted(wire.encode_open(nonce)))
        ids.append(session_id.with_index(nonce, len(log)))

    def noted(payload: bytes) -> bytes:
        return wire.noted(
            payload, 1_700_000_000_000 + rng.randrange(5000), b"me"[: rng.randrange(3)]
        )

    opened()
    opened()
    while len(log) < entries:
        draw = rng.random()
        if draw < 0.02:
            opened()
        elif draw < 0.03:
            log.append(noted(wire.encode_close(rng.choice(ids))))
        else:
            session = rng.choice([b"", *ids[-5:]])
            base = len(log) // 10
            floor = max(0, base - rng.randrange(4)) if session else 0
            batch = [
                (max(1, base + rng.randrange(-2, 12)), commands[rng.randrange(len(commands))])
                for _ in range(rng.randrange(1, 8))
            ]
            log.append(noted(wire.encode_batch(session, floor, batch)))
    return log


def run(log: list[bytes], replica: Sessions, first: int = 0) -> list[bytes]:
    return [
        answered(replica.apply_batch(index + 1, 1, log[index])) for index in range(first, len(log))
    ]


def new() -> Sessions:
    return Sessions(KvStore(), LIMITS)


def fingerprint(seed: int) -> str:
    """Of all answers and the final state of one random log."""
    replica = new()
    answers = b"".join(run(random_log(seed, 300), replica))
    return hashlib.sha256(answers).hexdigest()[:16] + replica.digest().hex()[:16]


@pytest.mark.parametrize("seed", range(3))
def test_snapshot_and_rest_of_the_log_are_the_whole_log(seed: int) -> None:
    log = random_log(seed, 200)
    whole = new()
    answers = run(log, whole)
    assert {s for answer in answers for s, _ in wire.decode_results(answer)} >= {0, 1, 2, 3, 4, 5}
    for taken in range(0, len(log) + 1, 7):
        early, late = new(), new()
        run(log[:taken], early)
        sessions, chunks = early.capture()
        late.restore(sessions, io.BytesIO(b"".join(chunks)))
        assert late.digest() == early.digest()
        assert run(log, late, taken) == answers[taken:]
        assert late.digest() == whole.digest()
        assert (late._kept_numbers, late._kept_bytes) == (whole._kept_numbers, whole._kept_bytes)


@pytest.mark.parametrize("hash_seed", ["0", "1", "4242"])
def test_the_hash_seed_of_a_process_changes_nothing(hash_seed: str) -> None:
    program = "from tests.machine.test_replicas import fingerprint; print(fingerprint(11))"
    output = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    assert output.strip() == fingerprint(11)


def test_the_answers_of_format_2_are_frozen() -> None:
    """Another value here means that old and new nodes in one cluster would diverge."""
    assert fingerprint(5)[:16] == "0dba8e24faea82d0"


def test_what_version_1_wrote_is_replayed_to_the_same_answers_and_states() -> None:
    """A log and two snapshots that the program before version 2 wrote: never write them anew.

    A floor that nobody sent and an answer that is too long are in it, by the rules of that time.
    """
    golden = json.loads((Path(__file__).parent / "golden_v1.json").read_text())
    log, answers = ([bytes.fromhex(one) for one in golden[name]] for name in ("log", "answers"))
    limits = replace(LIMITS, answer_bytes=90)
    whole = Sessions(KvStore(), limits)
    assert run(log, whole) == answers
    for taken, table, body in golden["snapshots"]:
        early, late = Sessions(KvStore(), limits), Sessions(KvStore(), limits)
        run(log[:taken], early)
        late.restore(bytes.fromhex(table), io.BytesIO(bytes.fromhex(body)))
        assert present(late) == present(early)
        assert late.sessions() == early.sessions()
        assert run(log, late, taken) == answers[taken:]
        assert present(late) == present(whole)
        # What was before it knows less of; the next compaction makes them equal.
        assert late.digest() != whole.digest()
        for replica in (late, twin := _replayed(log, limits)):
            revision = kv.decode_get(answered(replica.query(kv.encode_get(b"k")))[1]).revision
            replica.machine.apply(kv.encode_put(b"one more", b""))
            replica.machine.apply(encode_compact(revision + 1))
        assert late.digest() == twin.digest()


def present(replica: Sessions) -> kv.RangeResult:
    """All keys as they are now, and the revision."""
    return kv.decode_range(answered(replica.query(kv.encode_range(limit=10_000)))[1])


def _replayed(log: list[bytes], limits: Limits) -> Sessions:
    replica = Sessions(KvStore(), limits)
    run(log, replica)
    return replica


def test_nobody_of_today_can_name_a_session_of_version_1() -> None:
    replica = Sessions(KvStore())
    replica.apply_batch(1, 1, wire.HEADER_1.pack(1, wire.OPEN, 0, 0, 0))
    before = replica.digest()
    forged = wire.HEAD_OUT.pack(2, wire.CLOSE, 0, session_id.of_version_1(1), 0)
    with pytest.raises(WireError):
        wire.check_batch(forged)
    replica.apply_batch(2, 1, wire.encode_close(session_id.with_index(b"\x01" + bytes(15), 1)))
    assert replica.digest() == before


def test_a_snapshot_is_read_on_another_thread_while_applying_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(table_module, "SPLIT_AT", 32)
    monkeypatch.setattr(table_module, "MERGE_BELOW", 4)
    monkeypatch.setattr(table_module, "MERGED_MAX", 16)
    replica = Sessions(KvStore())
    rng = random.Random(1)
    before: list[bytes] = []
    found: list[bytes] = []
    threads = []
    index = 0

    def batch(operations: int) -> bytes:
        keys = [b"%d" % rng.randrange(3000) for _ in range(operations)]
        return wire.encode_batch(
            b"",
            0,
            [
                (0, kv.encode_delete(key) if rng.random() < 0.4 else kv.encode_put(key, key * 9))
                for key in keys
            ],
        )

    for _ in range(12):
        for _ in range(8):
            index += 1
            replica.apply_batch(index, 1, batch(150))
        before.append(b"".join(replica.capture()[1]))
        slot = len(found)
        found.append(b"")
        chunks = replica.capture()[1]

        def read(chunks: object = chunks, slot: int = slot) -> None:
            found[slot] = b"".join(chunks)  # type: ignore[arg-type]

        threads.append(threading.Thread(target=read))
        threads[-1].start()
    for thread in threads:
        thread.join(30)
    assert found == before
