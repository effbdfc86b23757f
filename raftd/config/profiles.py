"""Sets of defaults. A profile only fills in what flags, environment and file leave open."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

KIB, MIB = 1 << 10, 1 << 20

PROFILES: Final[Mapping[str, Mapping[str, int]]] = {
    "standard": {},
    "small": {
        # Log in memory and on disk: snapshots come sooner, and less is kept behind them.
        "snapshot_bytes": 16 * MIB,
        "snapshot_entries": 20_000,
        "keep_bytes": 4 * MIB,
        "keep_entries": 1_000,
        "log_memory_limit": 64 * MIB,
        "history_bytes": 4 * MIB,
        "pin_bytes_max": 32 * MIB,
        "segment_bytes": 8 * MIB,
        # On the way: what waits for a follower, for the disk, for an answer.
        "batch_bytes_max": 256 * KIB,
        "window_bytes_max": 4 * MIB,
        "snapshot_chunk_bytes": 256 * KIB,
        "pending_bytes_max": 16 * MIB,
        "pending_batches_max": 4_096,
        "pending_queries_max": 8_192,
        "log_queue_lines": 2_000,
    },
}
"""docs/operations.md says what each takes; tests/cluster/test_needs.py measures it."""
