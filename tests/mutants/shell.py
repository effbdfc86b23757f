"""Planted bugs of raftd/node: order, waiters, threads. The simulator runs the node that ships."""

from __future__ import annotations

from tests.mutants.planted import node, plant

NOT_TOLD = node(
    "clients",
    "self._waiters.fail_above(core.commit_index, why, core.leader_id)",
    "pass",
)

SHELL = (
    plant(
        "persisted-before-an-inline-write",
        "`persisted` comes after the sync, never before",
        node(
            "wal_worker",
            "        if self._is_done_in_time():\n",
            "        self._persisted(self._writes[-1].seq)\n        if self._is_done_in_time():\n",
        ),
        by="persisted-is-synced",
    ),
    plant(
        "persisted-before-the-threads-write",
        "the same, from the raft-wal thread",
        node(
            "wal_worker",
            "        done = not writes or self._try_commit(writes)\n",
            "        if writes:\n            first = writes[-1].seq\n"
            "            self._post(lambda: self._persisted(first))\n"
            "        done = not writes or self._try_commit(writes)\n",
        ),
        by="persisted-is-synced",
    ),
    plant(
        "queue-turned-round",
        "one queue, in the core's order",
        node(
            "wal_worker",
            "            self._writes.extend(writes)\n",
            "            self._writes.extendleft(writes)\n",
        ),
        by="queue-order",
    ),
    plant(
        "queued-outside-the-lock",
        "effects are queued before anything can enter the core again",
        node("driver", "                self._queue(fx)\n", ""),
        node("driver", "        assert self._lock.locked()\n", ""),
        node(
            "driver",
            "        self._timer.called(now)\n        return fx\n",
            "        self._queue(fx)\n        self._timer.called(now)\n        return fx\n",
        ),
        by="queue-order liveness",
    ),
    plant(
        "backup-not-held",
        "a snapshot's file stays while somebody copies it",
        node("held_snapshots", "        return tuple(self._metas)\n", "        return ()\n"),
        by="backup-whole",
    ),
    plant(
        "bulk-waits-for-ever",
        "each answer lets the next of the bulk into the log",
        node(
            "fair_queue",
            "            done(outcome)\n            self._let_in()\n",
            "            done(outcome)\n",
        ),
        by="everybody-answered liveness",
    ),
    plant(
        "bulk-forgotten",
        "whoever waits for a turn hears that leadership was lost",
        node(
            "fair_queue",
            "        self.bytes = 0\n        return dones\n",
            "        self.bytes = 0\n        return []\n",
        ),
        by="everybody-answered liveness",
    ),
    plant(
        "thread-not-notified",
        "whoever queues and does not write wakes the thread",
        node(
            "wal_worker",
            "                if self._writes or self._release:\n"
            "                    self._ready.notify()\n",
            "                pass\n",
        ),
        by="liveness",
    ),
    plant(
        "failed-sync-retried",
        "after a failed sync the process ends",
        node("wal_worker", 'getattr(error, "retryable", False)', "True"),
        by="liveness",
    ),
    plant(
        "applied-during-a-restore",
        "while a snapshot is restored the machine is left alone",
        node(
            "apply_worker",
            "        while self._restoring is None and (self._answering or self._jobs):",
            "        while self._answering or self._jobs:",
        ),
        by="core-asserts",
    ),
    plant(
        "read-not-held-for-its-index",
        "a read waits until its index is applied",
        node("apply_worker", "        if job.index > self.applied_index:", "        if False:"),
        by="read-index",
    ),
    plant(
        "held-read-forgotten",
        "a read that was held is answered when its index is applied",
        node(
            "apply_worker", "self._waiting[0][0] <= self.applied_index", "self._waiting[0][0] < 0"
        ),
        by="liveness everybody-answered",
    ),
    plant(
        "waiters-kept-by-a-lost-leader",
        "who waits for what is not committed hears that leadership was lost",
        NOT_TOLD,
        by="everybody-answered",
    ),
    plant(
        "waiters-by-index-alone",
        "another term's entry at that index is no answer",
        NOT_TOLD,
        node("waiters", "        if waiter[0] == entry.term:", "        if True:"),
        by="answers",
    ),
    plant(
        "unknown-told-as-refused",
        "once it is in the log, nothing is certain",
        node(
            "waiters",
            "            waiter[2](Unknown(message, leader))",
            "            waiter[2](Refused(Refusal.NOT_LEADER, message, leader))",
        ),
        node(
            "waiters",
            "import Applied, Done, Unknown",
            "import Applied, Done, Refusal, Refused, Unknown",
        ),
        by="linearizable exactly-once",
    ),
    plant(
        "refused-and-proposed",
        "what is refused at the door does not get in",
        node(
            "clients",
            "            done(self._overload.note(refused))\n        else:\n",
            "            done(self._overload.note(refused))\n        if True:\n",
        ),
        by="answers",
    ),
    plant(
        "answers-crossed",
        "each caller waits for its own entry",
        node(
            "clients",
            "zip(fx.assigned, batches, dones, strict=True)",
            "zip(fx.assigned, batches, reversed(dones), strict=True)",
        ),
        by="answers",
    ),
    plant(
        "read-joins-the-round-under-way",
        "a read's index is asked for after the read came",
        node(
            "clients",
            "            for queries, done, principal in waiting:\n",
            "            for queries, done, principal in [*waiting, *self._queue.take_reads()]:\n",
        ),
        by="read-index linearizable",
    ),
    plant(
        "retained-only-the-newest",
        "a file stays while a mark or the machine needs it",
        node(
            "snapshot_policy",
            "(*self._driver.snapshots_in_use(), *self.held.metas)",
            "(*self._driver.snapshots_in_use()[-1:], *self.held.metas)",
        ),
        by="snapshot-files-kept",
    ),
    plant(
        "snapshot-of-another-index",
        "a snapshot is of the index at which it was captured",
        node(
            "snapshot_policy",
            "self._snapshot_worker.take(what, configuration, self._taken, self._failed)",
            "self._snapshot_worker.take((self._core.commit_index, *what[1:]), configuration, "
            "self._taken, self._failed)",
        ),
        by="state-machine-safety exactly-once",
    ),
    plant(
        "state-rots-in-memory",
        "a byte of the applied state that changes by itself is found",
        node(
            "apply_worker",
            "        if self._watched:\n            underway.after",
            "        if self._watched:\n"
            "            run = self._machine._host.machine._table._runs[0]\n"
            "            if run and int(self._clock.now() * 1e4) % 50 == 0:\n"
            "                key, record = next(iter(run.items()))\n"
            "                run[key] = record[:-1] + bytes([record[-1] ^ 1])\n"
            "            underway.after",
        ),
        by="states-agree",
    ),
    plant(
        "digested-after-the-mark",
        "all members digest their states at the same index",
        node(
            "apply_worker",
            "            if job.mark.index == self.applied_index:\n",
            "            if job.mark.index <= self.applied_index:\n",
        ),
        node(
            "apply_jobs",
            "behind = mark.index + 1 - entries[0].index if entries else 0",
            "behind = len(entries)",
        ),
        by="states-agree",
    ),
)
