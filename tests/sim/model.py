"""A second, naive implementation of sessions and store, which every answer of the real ones is
compared with.

It sees each committed entry once, in order, when the first node applies it. What it says is what
exactly-once means: a number above the floor is executed at its first appearance, and never again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from raftd.wire import batch as wire
from raftd.wire.refusals import refusal_of
from tests.machine.naive import Naive, Refused
from tests.sim.world import Violation

FOREIGN = 1 << 40
"""Numbers of commands, outside sessions, that are not in the history; and 0, a node's own."""

Result = tuple[int, bytes]
"""Status and answer; of a refusal the text by which it is known."""


class Model:
    def __init__(self, stats: Counter[str], sessions_max: int) -> None:
        self._stats = stats
        self._sessions_max = sessions_max
        self._sessions: dict[bytes, tuple[list[int], dict[int, Result]]] = {}
        self.store = Naive()
        self.foreign: Callable[[bytes, int, bool], None] = lambda command, revision, done: None
        """Told of each command that no client of the history sent: what revision it made, if it did
        any, and whether it was done at all.
        """
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
                self._compare(index, self._first(b"", seq, command), got[offset])
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
                self._compare(index, seen[seq], got[offset])
            elif seq <= floor[0]:
                self._stats["stale numbers"] += 1
                if got[offset][0] != wire.SEQ_STALE:
                    raise Violation(
                        "exactly-once",
                        f"entry {index} number {seq} at or below the floor was executed",
                    )
            else:
                seen[seq] = self._first(batch.session, seq, command)
                self._compare(index, seen[seq], got[offset])

    def _compare(self, index: int, expected: Result, got: Result) -> None:
        if got[0] == wire.MACHINE_ERROR:
            got = got[0], refusal_of(got[1].decode()).encode()
        if expected != got:
            raise Violation("exactly-once", f"entry {index} was answered {got}, must be {expected}")

    def _first(self, session: bytes, seq: int, command: bytes) -> Result:
        store = self.store
        before = store.revision
        try:
            result = wire.OK, store.execute(command)
        except Refused as refused:
            result = wire.MACHINE_ERROR, str(refused).encode()
        made = store.revision if store.revision != before else 0
        self.made[session, seq] = made
        if not session and (seq == 0 or seq >= FOREIGN):
            self.foreign(command, made, result[0] == wire.OK)
        return result
