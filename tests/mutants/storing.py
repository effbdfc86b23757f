"""Planted bugs of snapshots, disks and sessions."""

from __future__ import annotations

from tests.mutants.planted import core, machine, plant, storage

STORING = (
    plant(
        "snapshot-acknowledged-before-its-marker",
        "entries after a received snapshot are acknowledged when it is marked in the log",
        core(
            "log",
            "        self.durable_index = min(self.durable_index, still_durable)\n",
            "        self.durable_index = base_index\n",
        ),
        by="ack-is-durable",
    ),
    plant(
        "log-dropped-before-the-marker",
        "the log goes only when the snapshot is marked",
        core(
            "snapshots",
            "    s.compact_after = (seq, meta)\n",
            "    s.compact_after = (seq, meta)\n    compact(s, fx, now)\n",
        ),
        by="release-after-marker",
    ),
    plant(
        "conflicting-log-kept",
        "if the entry at the snapshot's index has another term, the whole log goes (Figure 13)",
        core(
            "install_snapshot",
            "    if s.log.term_at(meta.index) == meta.term:\n",
            "    if s.log.last_index >= meta.index:\n",
        ),
        by="commit-is-verified",
    ),
    plant(
        "snapshot-moves-back",
        "a snapshot at or below the commit index changes nothing",
        core(
            "install_snapshot",
            "    if meta.index > s.commit_index:\n        take(s, fx, meta, now)\n",
            "    take(s, fx, meta, now)\n",
        ),
        core(
            "install_snapshot",
            "    if request.meta.index <= s.commit_index:\n"
            "        _have_it(s, fx, request, token)\n"
            "    elif",
            "    if False:\n        _have_it(s, fx, request, token)\n    elif",
        ),
        by="script:stale_snapshot monotonic",
    ),
    plant(
        "file-of-a-queued-mark-deleted",
        "a snapshot file stays while a mark of it may reach the disk",
        core(
            "snapshots",
            "    metas.extend(meta for _, meta in s.pending_markers)\n",
            "",
        ),
        by="snapshot-files-kept",
    ),
    plant(
        "file-of-an-unrestored-snapshot-deleted",
        "a snapshot file stays until the machine has restored it",
        core(
            "snapshots",
            "metas = [s.snapshot, s.marked_snapshot, *s.installs_out]",
            "metas = [s.snapshot, s.marked_snapshot]",
        ),
        by="snapshot-files-kept",
    ),
    plant(
        "snapshot-renamed-before-its-sync",
        "a snapshot's bytes are synced before its name is",
        storage(
            "snapshot_writing",
            "            file.sync()\n",
            "            pass\n",
        ),
        by="snapshot-before-marker",
    ),
    plant(
        "snapshot-directory-not-synced",
        "a new name is durable when its directory is synced",
        storage(
            "snapshot_writing",
            "        self._file = None\n        self._fs.sync_directory(self._directory)\n",
            "        self._file = None\n",
        ),
        by="snapshot-before-marker",
    ),
    plant(
        "log-not-synced",
        "what is acknowledged is synced",
        storage(
            "wal",
            "            file.datasync()\n",
            "            pass\n",
        ),
        by="recovery",
    ),
    plant(
        "recovery-trusts-the-cache",
        "what recovery reads is synced before a promise rests on it",
        storage(
            "wal",
            "        recovery.settle(self._fs, self._directory)\n",
            "",
        ),
        by="recovery",
    ),
    plant(
        "segment-name-not-synced",
        "a new segment's name is durable before the old one names it",
        storage("rolling", "        fs.sync_directory(directory)\n", ""),
        by="recovery",
    ),
    plant(
        "override-not-replayed",
        "an entry written anew overrides what followed it",
        storage(
            "replay",
            "            del self.entries[index - self.base - 1 :]\n",
            "            del self.entries[index - self.base - 1 : index - self.base]\n",
        ),
        by="recovery crash",
    ),
    plant(
        "admission-not-replayed",
        "the mark of admission survives a restart",
        storage(
            "replay",
            "            self.books.admitted = True\n",
            "            pass\n",
        ),
        by="recovery",
    ),
    plant(
        "sessions-lost-in-a-snapshot",
        "a snapshot holds the sessions as well as the state",
        machine(
            "sessions",
            "        return tables.dump(self._sessions, self._taken_ms), self.machine.capture()\n",
            "        return tables.dump(Table(), self._taken_ms), self.machine.capture()\n",
        ),
        by="exactly-once state-machine-safety",
    ),
    plant(
        "answers-not-kept",
        "a number met again gets the same answer",
        machine(
            "sessions",
            "                    applied[seq] = kept\n",
            "",
        ),
        by="exactly-once state-machine-safety",
    ),
    plant(
        "number-at-or-below-the-last",
        "numbers may arrive in any order: only the floor makes one stale",
        machine(
            "sessions",
            "                elif seq <= floor:\n",
            "                elif seq <= max(applied, default=floor):\n",
        ),
        by="exactly-once",
    ),
    plant(
        "floor-forgets-too-much",
        "the floor passes only what is at or below it",
        machine(
            "session_table",
            "for seq in range(before + 1, floor + 1)]",
            "for seq in range(before + 1, floor + 2)]",
        ),
        by="exactly-once state-machine-safety",
    ),
)
