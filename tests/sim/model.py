"""A second, naive implementation of sessions and store, which every answer of the real ones is
compared with.

It sees each committed entry once, in order, when the first node applies it. What it says is what
exactly-once means: a number above the floor is executed at its first appearance, and never again.
"""

from __future__ import annotations

from collections import Counter

from raftd.wire import batch as wire
from raftd.wire import kv
from tests.sim.world import Violation


class Model:
    def __init__(self, stats: Counter[str], sessions_max: int) -> None:
        self._stats = stats
        self._sessions_max = sessions_max
        self._sessions: dict[bytes, tuple[list[int], dict[int, bytes]]] = {}
        self._store: dict[bytes, tuple[bytes, int, int]] = {}
        self._revision = 1
        self.made: dict[tuple[bytes, int], int] = {}
        """By session (empty: none) and number: the revision that a command made, 0 for none."""

    def apply(self, index: int, payload: bytes, results: bytes) -> None:
        """Raises Violation if `results` are not what they must be."""
        batch = wire.decode_batch(payload)
        if not batch.taken_ms or batch.version != wire.VERSION:
            raise Violation("batches-noted", f"entry {index} does not say when its leader took it")
        got = wire.decode_results(results)
        if batch.kind == wire.OPEN:
            self._open(index, batch.session, got)
        elif batch.kind == wire.CLOSE:
            self._sessions.pop(batch.session, None)
        elif batch.kind == wire.PLAIN:
            for offset, (seq, command) in enumerate(batch.commands):
                self._compare(index, (wire.OK, self._first(b"", seq, command)), got[offset])
        else:
            self._in_session(index, batch, got)

    def _open(self, index: int, nonce: bytes, got: list[tuple[int, bytes]]) -> None:
        """A second attempt finds the session of the first, as long as that is there."""
        known = [id for id in self._sessions if nonce.startswith(id[:-8])]
        id = known[0] if known else nonce[:-8] + index.to_bytes(8, "little")
        self._sessions[id] = self._sessions.pop(id, ([0], {}))
        self._stats["opened twice"] += len(known)
        self._compare(index, (wire.OK, id), got[0])
        while len(self._sessions) > self._sessions_max:
            self._stats["model sessions expired"] += 1
            del self._sessions[next(iter(self._sessions))]

    def _in_session(self, index: int, batch: wire.Batch, got: list[tuple[int, bytes]]) -> None:
        session = self._sessions.pop(batch.session, None)
        if session is None:
            if any(status != wire.SESSION_EXPIRED for status, _ in got):
                raise Violation(
                    "exactly-once", f"entry {index} of a session that is gone was answered {got}"
                )
            return
        self._sessions[batch.session] = session  # now the most recently used
        floor, seen = session
        if batch.floor > floor[0]:
            floor[0] = batch.floor
            for seq in [seq for seq in seen if seq <= batch.floor]:
                del seen[seq]
        for offset, (seq, command) in enumerate(batch.commands):
            if seq in seen:
                self._stats["dedup hits"] += 1
                self._compare(index, (wire.OK, seen[seq]), got[offset])
            elif seq <= floor[0]:
                self._stats["stale numbers"] += 1
                if got[offset][0] != wire.SEQ_STALE:
                    raise Violation(
                        "exactly-once",
                        f"entry {index} number {seq} at or below the floor was executed",
                    )
            else:
                seen[seq] = self._first(batch.session, seq, command)
                self._compare(index, (wire.OK, seen[seq]), got[offset])

    def _compare(self, index: int, expected: tuple[int, bytes], got: tuple[int, bytes]) -> None:
        if expected != got:
            raise Violation("exactly-once", f"entry {index} was answered {got}, must be {expected}")

    def _first(self, session: bytes, seq: int, command: bytes) -> bytes:
        before = self._revision
        answer = self._execute(command)
        self.made[session, seq] = self._revision if self._revision != before else 0
        return answer

    def _execute(self, command: bytes) -> bytes:
        kind = command[0]
        if kind == kv.PUT:
            size = kv.KEYED_HEAD.unpack_from(command)[1]
            at = kv.KEYED_HEAD.size
            version = self._put(command[at : at + size], command[at + size :])
            return kv.PUT_ANSWER.pack(kv.PUT, self._revision, version)
        if kind == kv.DELETE:
            found = self._delete(command[kv.KEYED_HEAD.size :])
            return kv.FLAG_ANSWER.pack(kv.DELETE, self._revision, found)
        if kind == kv.BATCH:
            return self._batch(command)
        return self._compare_and_set(command)

    def _put(self, key: bytes, value: bytes) -> int:
        self._revision += 1
        return self._set(key, value, self._revision)

    def _set(self, key: bytes, value: bytes, revision: int) -> int:
        version = self._store[key][2] + 1 if key in self._store else 1
        create = self._store[key][1] >> 32 if key in self._store else revision
        self._store[key] = (value, create << 32 | revision, version)
        return version

    def _delete(self, key: bytes) -> bool:
        found = self._store.pop(key, None) is not None
        self._revision += found
        return found

    def _batch(self, command: bytes) -> bytes:
        """One revision for all of it, or none."""
        count, at = kv.KEYED_HEAD.unpack_from(command)[1], kv.KEYED_HEAD.size
        versions, changed = b"", False
        for _ in range(count):
            action, key_bytes, value_bytes = kv.OPERATION_HEAD.unpack_from(command, at)
            at += kv.OPERATION_HEAD.size
            key, value = command[at : at + key_bytes], command[at + key_bytes :][:value_bytes]
            at += key_bytes + value_bytes
            if action == kv.PUT:
                version, changed = self._set(key, value, self._revision + 1), True
            else:
                version = 0
                changed |= self._store.pop(key, None) is not None
            versions += kv.VERSIONS_ITEM.pack(version)
        self._revision += changed
        return kv.COUNT_ANSWER.pack(kv.BATCH, self._revision, count) + versions

    def _compare_and_set(self, command: bytes) -> bytes:
        _, size, kind, action, number, expected_size = kv.CAS_HEAD.unpack_from(command)
        at = kv.CAS_HEAD.size
        key, expected = command[at : at + size], command[at + size :][:expected_size]
        shown, revisions, version = self._store.get(key, (b"", 0, 0))
        there = key in self._store
        succeeded = {
            kv.ABSENT: not there,
            kv.VALUE: there and shown == expected,
            kv.VERSION: version == number,
            kv.MOD_REVISION: (revisions & 0xFFFFFFFF) == number,
        }[kind]
        if succeeded and action == kv.PUT:
            self._put(key, command[at + size + expected_size :])
        elif succeeded:
            self._delete(key)
        answer = kv.FLAG_ANSWER.pack(kv.CAS, self._revision, succeeded)
        if key not in self._store:
            return answer
        shown, revisions, version = self._store[key]
        record = kv.RECORD_HEAD.pack(revisions >> 32, revisions & 0xFFFFFFFF, version)
        record += b"" if succeeded else shown
        return answer + kv.PAIR_HEAD.pack(len(key), len(record)) + key + record
