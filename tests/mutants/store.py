"""Planted bugs of the store: of watchers and leases. The others are in store_writing.py.

They are looked for by the campaign without Raft (tests/machine/campaign.py), which is quick; the
simulator has the same rules, and would find them too.
"""

from __future__ import annotations

from tests.mutants.planted import in_kv as _kv
from tests.mutants.planted import in_store as _store
from tests.mutants.store_writing import WRITING

WATCHING = (
    _store(
        "event-in-two-pieces",
        "all of one revision comes together",
        _kv(
            "watch",
            "            taken.append((queued.revision, events))\n",
            "            taken.append((queued.revision, events[:1]))\n",
        ),
        by="watch-atomic",
    ),
    _store(
        "snapshot-under-a-watcher",
        "a snapshot that is installed loses no event",
        _kv(
            "store",
            "            return begun(self._told(watches.resync()))\n",
            "            watches.seen = self._revision\n",
        ),
        by="watch-reliable watch-bookmarkable",
    ),
    _store(
        "watcher-without-a-place",
        "a watcher that kept up does not begin again after a snapshot",
        _kv(
            "watch",
            "                    watcher.next = max(watcher.next, before + 1)\n",
            "                    pass\n",
        ),
        by="watch-unique watch-compacted watch-reliable",
    ),
    _store(
        "parked-a-revision-late",
        "what does not fit into the queue is read from the history",
        _kv(
            "watch",
            "            watcher.next = revision\n            self._leave(watcher)\n",
            "            watcher.next = revision + 1\n            self._leave(watcher)\n",
        ),
        by="watch-reliable watch-bookmarkable",
    ),
    _store(
        "progress-ahead-of-the-queue",
        "progress is what was taken, not what is there",
        _kv(
            "watcher",
            "caught_up = self.live and not self.queue and",
            "caught_up = self.live and",
        ),
        by="watch-bookmarkable",
    ),
    _store(
        "future-begins-now",
        "a watcher of a future revision waits for it",
        _kv(
            "watch",
            "if not watcher.live or (watcher.next > revision and not begun_before):",
            "if not watcher.live:",
        ),
        by="watch-unique",
    ),
    _store(
        "filters-swapped",
        "no puts means no puts",
        _kv("watcher", "self.no_put if made else", "self.no_put if not made else"),
        by="watch-filtered watch-reliable",
    ),
    _store(
        "previous-is-this",
        "the previous value is the one before this revision",
        _kv(
            "watcher",
            "decode_record(self.key, self.before)",
            "decode_record(self.key, self.record or self.before)",
        ),
        by="watch-previous",
    ),
    _store(
        "previous-of-another-revision",
        "the previous value is that of the event's own revision",
        _kv(
            "watcher",
            "return Change(key, record, before if is_known else None)",
            "return Change(key, record, self._reader.at(key, revision) if is_known else None)",
        ),
        by="watch-previous",
    ),
    _store(
        "history-read-as-it-is-now",
        "an event shows the value of its revision",
        _kv(
            "watcher",
            "work = begun(self._reader.looking(key, revision, effort))",
            "work = begun(self._reader.looking(key, self._history.last, effort))",
        ),
        by="watch-reliable watch-created watch-atomic watch-filtered",
    ),
    _store(
        "scan-passes-over-one",
        "the history is read without a gap",
        _kv("watcher", "_is_at(watcher, last + 1)\n", "_is_at(watcher, last + 2)\n"),
        by="watch-reliable watch-bookmarkable watch-unique",
    ),
    _store(
        "range-beneath-a-lower-end",
        "a watcher of any range is found",
        _kv("interest", "            if name[1] > node.highest:\n", "            if False:\n"),
        by="watch-reliable watch-bookmarkable",
    ),
    _store(
        "held-and-let-go",
        "what is read of the compacted history is all there",
        _kv(
            "retention",
            "        return who.next < (",
            "        return mark is None and who.next < (",
        ),
        by="watch-reliable watch-bookmarkable watch-compacted",
    ),
    _store(
        "compaction-not-told",
        "a watcher whose place is compacted is told so",
        _kv("watch", "            if self._behind.lacks(watcher):\n", "            if False:\n"),
        by="watch-reliable watch-bookmarkable",
    ),
    _store(
        "created-anew-each-time",
        "a put says truly whether it made its key",
        _kv(
            "table",
            "            run[key] = after = _pack(created, revision, version) + value\n",
            "            run[key] = after = _pack(revision, revision, version) + value\n",
        ),
        by="watch-created exactly-once",
    ),
)

LEASES = (
    _store(
        "put-keeps-the-lease",
        "a put without a lease detaches the key",
        _kv(
            "table",
            "                self.detach(key, lease_of(before))\n",
            "                pass\n",
        ),
        by="exactly-once state-machine-safety",
    ),
    _store(
        "delete-keeps-the-lease",
        "a key that is made anew has no lease",
        _kv("table", "        if lease := lease_of(before):\n", "        if lease := 0:\n"),
        by="exactly-once state-machine-safety",
    ),
    _store(
        "revoked-keys-stay",
        "the keys of a lease go with it",
        _kv(
            "transactions",
            "undone.extend((yield from self._table.delete_all(keys, effort)))",
            "undone.extend((yield from self._table.delete_all(keys[1:], effort)))",
        ),
        by="exactly-once state-machine-safety",
    ),
    _store(
        "end-of-a-later-grant",
        "an end names the grant that it ends",
        _kv("lessor", "if serials.get(lease) == serial}", "if lease in serials}"),
        by="lease-kept exactly-once",
    ),
    _store(
        "new-leader-counts-on",
        "a new leader gives every lease its whole time first",
        _kv(
            "lessor",
            "            self._ends, self._order = {}, []\n            self._ending.clear()\n",
            "            self._old = self._ends, self._order\n",
        ),
        _kv(
            "lessor",
            "        self._ends, self._order = {}, []\n        self._ending.clear()\n"
            "        for lease, ttl_s in",
            "        for lease, ttl_s in () and",
        ),
        by="lease-kept",
    ),
    _store(
        "deposed-leader-counts-on",
        "only the leader ends leases and renews them",
        _kv("lessor", "        elif not leads and self._term:\n", "        elif False:\n"),
        by="lease-kept",
    ),
    _store(
        "renewal-forgotten",
        "a renewed lease has its whole time again",
        _kv(
            "lessor",
            "        self._count(lease, ttl_s)\n        return ttl_s\n",
            "        return ttl_s\n",
        ),
        by="lease-kept",
    ),
    _store(
        "ending-lease-renewed",
        "a lease whose end is proposed is not renewed",
        _kv("lessor", "if not ttl_s or lease in self._ending:", "if not ttl_s:"),
        by="lease-kept",
    ),
    _store(
        "pause-counted",
        "time in which the leader stood still is not counted",
        _kv("lessor", "            self._lost_s += late\n", "            pass\n"),
        by="lease-kept",
    ),
    _store(
        "end-proposed-once",
        "an end that was lost is proposed again",
        _kv("lessor", "if at <= again)", "if at == NEVER)"),
        by="lease-ends",
    ),
    _store(
        "stale-end-believed",
        "an end that was put off by a renewal is none",
        _kv(
            "lessor",
            "            if self._ends.get(lease) == end:\n",
            "            if lease in self._ends:\n",
        ),
        by="lease-kept",
    ),
)

STORE = (*WRITING, *WATCHING, *LEASES)
