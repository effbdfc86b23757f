"""The one table of settings: name, kind, default, bounds and the reason for each.

The YAML key is the name; the flag is `--the-name`, the environment variable `RAFTD_THE_NAME`.
The table is the dataclass itself: what is not a field here, in elections.py or in place.py does
not exist.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from raftd.config.elections import Elections
from raftd.config.kinds import (
    COUNT,
    DURATION,
    FLAG,
    SIZE,
    choice,
)
from raftd.config.row import Setting as Setting
from raftd.config.row import setting
from raftd.core.types import Settings as CoreSettings
from raftd.node.settings import NodeSettings

__all__ = ["SETTINGS", "Config", "Setting"]

KIB, MIB = 1 << 10, 1 << 20
_CORE = CoreSettings()
_NODE = NodeSettings()
LEADER_WAIT_SECONDS = 0.1
"""Longer than an election after a broken link, and short for a client whose node is cut off."""

GATHER_SECONDS = 0.005
"""About a round on a busy machine; where rounds are shorter nothing waits longer than one takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config(Elections):
    """Effective settings of one node. Durations in seconds, sizes in bytes."""

    batch_entries_max: int = setting(
        COUNT,
        _CORE.batch_entries_max,
        "entries in one AppendEntries",
        low=1,
        high=65536,
        group="Replication",
    )
    batch_bytes_max: int = setting(
        SIZE,
        _CORE.batch_bytes_max,
        "bytes in one AppendEntries; a single larger entry goes alone",
        low=4 * KIB,
        high=32 * MIB,
    )
    window_messages_max: int = setting(
        COUNT, _CORE.window_messages_max, "appends in flight to one follower", low=1, high=4096
    )
    window_bytes_max: int = setting(
        SIZE, _CORE.window_bytes_max, "bytes in flight to one follower", low=64 * KIB
    )
    append_age_max: float = setting(
        DURATION,
        0.0,
        "an append unanswered for longer ends its stream; 0: twice election_timeout_max",
    )

    snapshot_entries: int = setting(
        COUNT,
        _NODE.snapshot_entries,
        "snapshot after so many entries since the last one",
        low=1,
        group="Log and snapshots",
    )
    snapshot_bytes: int = setting(
        SIZE,
        _NODE.snapshot_bytes,
        "or after so many bytes of them, whichever comes first",
        low=4 * KIB,
    )
    snapshot_chunk_bytes: int = setting(
        SIZE,
        _CORE.snapshot_chunk_bytes,
        "one message of a snapshot on its way to a follower",
        low=KIB,
        high=16 * MIB,
    )
    snapshot_size_max: int = setting(SIZE, 16 << 30, "the largest taken from a leader", low=MIB)
    snapshot_scrub: float = setting(DURATION, 3600.0, "how often its file is read again; 0: never")
    state_check_interval: float = setting(
        DURATION,
        4.0,
        "how often the states of all members are compared, at most; 0: never",
        high=3600,
    )
    keep_entries: int = setting(
        COUNT,
        _CORE.keep_entries,
        "entries kept behind a snapshot, so that a briefly absent follower needs no snapshot",
    )
    keep_bytes: int = setting(SIZE, _CORE.keep_bytes, "but no more bytes of them than this")
    pin_bytes_max: int = setting(
        SIZE, _CORE.pin_bytes_max, "log held back for a follower that receives a snapshot"
    )
    pin_time_max: float = setting(
        DURATION, _CORE.pin_seconds_max, "and for how long after its last answer", low=1
    )
    segment_bytes: int = setting(
        SIZE, 64 * MIB, "size of one log file; space is freed by whole files", low=64 * KIB
    )
    disk_reserve: int = setting(
        SIZE, 16 * MIB, "kept back for a full disk: a snapshot has to fit; at most 1/16 of the disk"
    )
    log_memory_limit: int = setting(
        SIZE,
        _NODE.log_memory_limit_bytes,
        "log in memory, on every node; beyond it a leader refuses new commands, and a follower "
        "takes no entries until a snapshot of its own has made room",
        low=MIB,
    )
    disk_stall_refuse: float = setting(
        DURATION,
        _CORE.disk_stall_refuse,
        "a leader whose disk has not synced for this long takes no new commands",
        low=0.05,
    )
    disk_stall_step_down: float = setting(
        DURATION, _CORE.disk_stall_step_down, "and steps down after this long", low=0.05
    )

    machine_stall_unready: float = setting(
        DURATION,
        _NODE.machine_stall_unready_seconds,
        "one command, query, capture or restore that lasts longer: the state machine hangs and the "
        "node is not ready; above the longest that yours takes",
        low=0.5,
    )
    hand_over_after: float = setting(
        DURATION,
        _CORE.hand_over_after,
        "a leader that has been in such a state for so much longer hands over to a node that is "
        "not; by then all have said how they are",
        low=0.1,
    )

    priority: int = setting(
        COUNT,
        _CORE.priority,
        "a node of a higher one leads when it can: another leader hands over to it",
        high=1000,
    )
    prefer_after: float = setting(
        DURATION, _CORE.prefer_after, "once it has been able to for so long", low=0.1
    )

    inline_writes: bool = setting(
        FLAG,
        _NODE.inline_writes,
        "while the disk is quick the network thread waits up to 30 ms for a write: less delay",
    )

    pending_batches_max: int = setting(
        COUNT,
        _NODE.pending_batches_max,
        "frames of commands taken and not yet answered; beyond it callers hear RESOURCE_EXHAUSTED",
        low=1,
        group="Limits",
    )
    pending_bytes_max: int = setting(SIZE, _NODE.pending_bytes_max, "and their bytes", low=8 * MIB)
    pending_queries_max: int = setting(
        COUNT, _NODE.pending_queries_max, "linearizable queries not yet answered", low=1
    )
    client_calls_max: int = setting(
        COUNT, 8192, "calls and streams of all clients at a time", low=16, high=1_048_576
    )
    connection_calls_waiting_max: int = setting(
        COUNT, 1024, "unary calls of one connection that wait for their turn", low=1, high=65_536
    )
    calls_waiting_max: int = setting(
        COUNT, 4096, "and of all connections of this node", low=1, high=1_048_576
    )
    stream_watchers_max: int = setting(
        COUNT, 10_000, "watchers of one stream of an etcd client", low=1
    )
    watchers_max: int = setting(
        COUNT, 100_000, "and of all streams of this node, about a kilobyte each", low=1
    )

    log_level: str = setting(
        choice("debug", "info", "warning", "error"),
        "info",
        "the least important line to write",
        group="Running",
    )
    log_format: str = setting(
        choice("auto", "console", "json"), "auto", "auto: console on a terminal, else json"
    )
    log_queue_lines: int = setting(
        COUNT, 10_000, "lines waiting for stderr; beyond it lines are dropped and counted", low=10
    )
    transfer_timeout: float = setting(
        DURATION,
        _NODE.transfer_seconds,
        "how long handing leadership over may take",
        low=0.05,
        high=60,
    )
    stop_grace: float = setting(
        DURATION, 5.0, "how long calls in progress may take after SIGTERM", high=300
    )
    loop_stall_warn: float = setting(
        DURATION, 0.25, "the network thread answering nothing for this long is logged", low=0.02
    )
    slow_sync_warn: float = setting(
        DURATION,
        _NODE.slow_sync_seconds,
        "and a write to the log with its sync that takes so long, once a minute while they do",
        low=0.001,
    )
    slow_apply_warn: float = setting(
        DURATION,
        _NODE.slow_apply_seconds,
        "and what holds up the state machine for so long",
        low=0.001,
    )

    def core(self) -> CoreSettings:
        """The core's share of the settings."""
        names = {row.name for row in dataclasses.fields(CoreSettings)}
        shared = {name: getattr(self, name) for name in names if name in SETTINGS}
        return CoreSettings(
            **shared, pin_seconds_max=self.pin_time_max, log_bytes_max=self.log_memory_limit
        )

    def node(self) -> NodeSettings:
        """The replica's share of the settings."""
        return NodeSettings(
            pending_batches_max=self.pending_batches_max,
            pending_bytes_max=self.pending_bytes_max,
            pending_queries_max=self.pending_queries_max,
            log_memory_limit_bytes=self.log_memory_limit,
            machine_stall_unready_seconds=self.machine_stall_unready,
            snapshot_entries=self.snapshot_entries,
            snapshot_bytes=self.snapshot_bytes,
            snapshot_scrub_seconds=self.snapshot_scrub,
            transfer_seconds=self.transfer_timeout,
            leader_wait_seconds=LEADER_WAIT_SECONDS,
            gather_seconds=GATHER_SECONDS,
            inline_writes=self.inline_writes,
            slow_sync_seconds=self.slow_sync_warn,
            slow_apply_seconds=self.slow_apply_warn,
            film=self.page,
        )


def _rows() -> dict[str, Setting]:
    rows: dict[str, Setting] = {}
    group = ""
    for item in dataclasses.fields(Config):
        meta = item.metadata
        group = meta["group"] or group
        default = {} if item.default is dataclasses.MISSING else item.default
        rows[item.name] = Setting(
            item.name, meta["kind"], default, meta["why"], group, meta["low"], meta["high"]
        )
    return rows


SETTINGS: dict[str, Setting] = _rows()
