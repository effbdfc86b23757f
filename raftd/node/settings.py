"""The node's own limits, validated by whoever builds them. Times in seconds, sizes in bytes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NodeSettings:
    pending_batches_max: int = 16_384
    """Submitted batches in the log and not answered; past it a client hears OVERLOADED at once."""

    pending_bytes_max: int = 64 << 20
    light_bytes: int = 64 << 10
    """A session with no more than this unanswered is light: bulk of others lets it pass."""

    bulk_bytes_max: int = 1 << 20
    """Of bulk in the log, unanswered, while a light session is there; one batch may be more."""

    pending_queries_max: int = 65_536
    log_memory_limit_bytes: int = 1 << 30
    """Entries live in memory until compacted; past it proposals are refused."""

    machine_stall_unready_seconds: float = 3.0
    """The machine in one call for so long: it hangs, as far as anybody can tell."""

    snapshot_entries: int = 100_000
    snapshot_bytes: int = 256 << 20
    """A snapshot is taken after so many entries, or so many bytes of them, since the last."""

    snapshot_scrub_seconds: float = 3600.0
    """From one reading of the newest snapshot's file to the next, to find a bad one; 0: never."""

    transfer_seconds: float = 5.0
    leader_wait_seconds: float = 0.0
    """While an election is on, a client's call is held for so long before it is refused."""

    gather_seconds: float = 0.0
    """What clients ask waits for the round under way no longer than this. See Rounds."""

    inline_writes: bool = True
    """Wait for the log on the network thread while the disk is quick, up to 30 ms a write."""

    slow_sync_seconds: float = 0.25
    slow_apply_seconds: float = 0.1
    """What takes longer is worth a line in the log, one a minute of each."""

    film: bool = False
    """Keep the last minute as a film for those who want to look."""
