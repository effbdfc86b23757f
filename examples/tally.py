"""A machine that keeps its state in a store of its own: an SQLite file that others may read.

Run it with `machine: examples.tally:Tally`. Command: a word; answer: how often it came. Query: a
word. It shows what a machine can have from its node: every 50 entries it marks the index, commits
state, index and sessions together, and hands in a snapshot; and it keeps the node's events beside
its own data. The file is for readers: after a restart it begins anew, from what the node restores.
"""

from __future__ import annotations

import contextlib
import sqlite3
import weakref
from typing import BinaryIO

from raftd.core.effects import Event
from raftd.machine.protocol import NodeHandle

FILE = "tally.sqlite"  # in the node's working directory
EVERY = 50
TABLES = """
    CREATE TABLE tally (word BLOB PRIMARY KEY, count INTEGER);
    CREATE TABLE place (entry INTEGER, sessions BLOB);
    CREATE TABLE events (applied INTEGER, term INTEGER, kind TEXT, detail TEXT);
"""


class Tally:
    def __init__(self) -> None:
        # The Raft log is what lasts, so this file need not be synced; and a restored state is
        # written on another thread than this one, but never by two at once.
        self._db = sqlite3.connect(FILE, check_same_thread=False, isolation_level=None)
        weakref.finalize(self, self._db.close)
        self._db.execute("PRAGMA synchronous = OFF")
        for table in ("tally", "place", "events"):
            self._db.execute(f"DROP TABLE IF EXISTS {table}")
        self._db.executescript(TABLES)
        self._db.execute("BEGIN")
        self._host: NodeHandle | None = None

    def attach(self, host: NodeHandle) -> None:
        self._host = host

    def apply(self, command: bytes) -> bytes:
        row = self._db.execute(
            "INSERT INTO tally VALUES (?, 1) ON CONFLICT DO UPDATE SET count = count + 1"
            " RETURNING count",
            [command],
        ).fetchone()
        return b"%d" % row[0]

    def query(self, request: bytes) -> bytes:
        row = self._db.execute("SELECT count FROM tally WHERE word = ?", [request]).fetchone()
        return b"%d" % (row[0] if row else 0)

    def on_applied(self, index: int) -> None:
        if self._host is None or index % EVERY:
            return
        marked, sessions = self._host.mark_snapshot()
        self._db.execute("DELETE FROM place")
        self._db.execute("INSERT INTO place VALUES (?, ?)", [marked, sessions])
        self._db.execute("COMMIT")
        self._db.execute("BEGIN")
        if marked > self._host.state().snapshot_index:  # else it was restored just now
            # RuntimeError: the last one is still being written. The next one will do.
            with contextlib.suppress(RuntimeError):
                self._host.hand_in(marked, self.capture())

    def on_event(self, event: Event) -> None:
        applied = self._host.state().applied_index if self._host else 0
        self._db.execute(
            "INSERT INTO events VALUES (?, ?, ?, ?)",
            [applied, event.term, event.kind, event.detail],
        )

    def capture(self) -> list[bytes]:
        rows = self._db.execute("SELECT word, count FROM tally ORDER BY word")
        return [b"".join(b"%d %s\n" % (count, word.hex().encode()) for word, count in rows)]

    def restore(self, reader: BinaryIO) -> None:
        self._db.execute("DELETE FROM tally")
        for line in reader.read().splitlines():
            count, _, word = line.partition(b" ")
            self._db.execute(
                "INSERT INTO tally VALUES (?, ?)", [bytes.fromhex(word.decode()), int(count)]
            )
