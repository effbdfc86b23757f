"""Where these were before they moved to harness/."""

from harness.cluster import TINY_SNAPSHOTS, Cluster, channel, event_count
from harness.level import digest
from harness.writers import CALL_SECONDS, Book, Writers, in_threads, read_all

__all__ = [
    "CALL_SECONDS",
    "TINY_SNAPSHOTS",
    "Book",
    "Cluster",
    "Writers",
    "channel",
    "digest",
    "event_count",
    "in_threads",
    "read_all",
]
