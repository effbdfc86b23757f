"""The built-in store, whose apply hangs while the file HANG_FILE is there: a lock, a call to a
database, an endless loop. It is not quick, so it runs on a thread of its own.
"""

from __future__ import annotations

import os
import time

from raftd.machine.kv.store import KvStore

VARIABLE = "HANG_FILE"
_FILE = os.environ.get(VARIABLE, "")


class HangingStore(KvStore):
    quick = False

    def apply(self, command: bytes) -> bytes:
        while _FILE and os.path.exists(_FILE):
            time.sleep(0.05)
        return super().apply(command)
