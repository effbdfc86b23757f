"""Planted bugs that only pairs of faults show: a stop on a full disk, a file that rots, ..."""

from __future__ import annotations

from tests.mutants.planted import core, node, plant, storage

RARE = (
    plant(
        "written-after-a-given-up-write",
        "after a write that was given up nothing is written",
        node(
            "wal_worker",
            "        self._given_up = True\n        self._writes.clear()\n",
            "",
        ),
        by="no-gap",
    ),
    plant(
        "nothing-released-on-a-full-disk",
        "what may go, goes while the log waits for room",
        node(
            "wal_worker",
            "        if not done and (release := ",
            "        if False and (release := ",
        ),
        storage("wal", "        self.release(INDEX_MAX)\n", ""),
        by="released-segments-go",
    ),
    plant(
        "query-behind-a-restore-answered",
        "a machine that is being restored has one owner, and answers nobody",
        node(
            "apply_worker",
            "        if self._restoring is not None or self._underway.busy:\n"
            "            return False\n        deadline",
            "        deadline",
        ),
        node(
            "apply_worker",
            "answering.go_on(self._machine.query,",
            "answering.go_on(self.ownership._host.query,",
        ),
        by="one-owner",
    ),
    plant(
        "pin-renewed-by-the-same-bytes",
        "a pin moves with progress only",
        core(
            "progress",
            "        if next_offset <= self.furthest:\n",
            "        if next_offset <= self.offset:\n",
        ),
        by="pin-needs-progress",
    ),
    plant(
        "pin-renewed-by-a-new-start",
        "what is begun again is no progress",
        core(
            "progress",
            "        if self.pinned_at is None:\n            self.pinned_at = now\n",
            "        self.pinned_at = now\n",
        ),
        by="pin-needs-progress",
    ),
    plant(
        "snapshot-sent-for-ever",
        "a snapshot that was refused gives way to a newer one, or to a new one",
        core(
            "install_snapshot",
            "    return sending.refusals > 0 and s.snapshot != sending.meta\n",
            "    return False\n",
        ),
        by="newer-snapshot-sent",
    ),
    plant(
        "hand-over-asked-for-once",
        "a hand-over is asked for until its deadline",
        core(
            "transfer",
            "    transfer.not_before = now + 2 * s.settings.heartbeat_interval\n",
            "    transfer.not_before = transfer.deadline\n",
        ),
        by="hand-over-goes-on",
    ),
    plant(
        "more-than-was-announced-stored",
        "a chunk larger than announced ends nobody",
        core(
            "install_snapshot",
            "    if request.offset + len(request.data) > request.meta.size_bytes:\n",
            "    if False:\n",
        ),
        node(
            "snapshot_worker",
            "                if not _is_expected(error) and not _starts_over(error):\n",
            "                if not _is_expected(error):\n",
        ),
        by="strangers-end-nobody",
    ),
    plant(
        "no-limit-behind-the-leaders-door",
        "entries in memory are bounded on every node, whatever its machine and snapshots do",
        core(
            "snapshots",
            "    full = s.log.bytes + s.orphan_bytes > s.settings.log_bytes_max\n",
            "    full = False\n",
        ),
        by="log-bounded",
    ),
    plant(
        "leftover-thrown-away-unread",
        "what a new segment's header proves is there, or the node refuses",
        storage("leftover", "    if checksums.get(newest) != header.seed:\n", "    if False:\n"),
        by="recovery",
    ),
    plant(
        "hung-sync-waited-for",
        "heartbeats go on while a sync hangs",
        node("wal_worker", "WAIT_SECONDS_MAX = 0.03\n", "WAIT_SECONDS_MAX = 3600.0\n"),
        by="heartbeats-go-on",
    ),
)
