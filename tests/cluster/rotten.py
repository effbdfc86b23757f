"""The built-in store on memory that can be made to rot: `touch rot-<pid>` beside ROT_DIRECTORY.

A machine for test_rot.py, loaded by a node of its own: nothing here is a test's.
"""

from __future__ import annotations

import os
import threading
import time
from bisect import bisect_right
from pathlib import Path

from raftd.machine.kv.store import KvStore

LOOK_SECONDS = 0.02


class RottenStore(KvStore):
    """When the file is there a byte of the key it names changes, and the file goes."""

    def __init__(self) -> None:
        super().__init__()
        self._order = Path(os.environ["ROT_DIRECTORY"]) / f"rot-{os.getpid()}"
        threading.Thread(target=self._wait, daemon=True).start()

    def _wait(self) -> None:
        while not self._order.exists():
            time.sleep(LOOK_SECONDS)
        key = self._order.read_bytes()
        table = self._table
        run = table._runs[bisect_right(table._lows, key) - 1]
        record = run[key]
        run[key] = record[:-1] + bytes([record[-1] ^ 1])
        self._order.unlink()
