"""Planted bugs of the store's history and transactions; see store.py."""

from __future__ import annotations

from tests.mutants.planted import in_kv as _kv
from tests.mutants.planted import in_store as _store

HISTORY = (
    _store(
        "history-read-a-revision-early",
        "a read at a revision sees that revision",
        _kv(
            "history",
            "index.first(key, (revision + 1 - self",
            "index.first(key, (revision - self",
        ),
        by="exactly-once watch-filtered watch-reliable",
    ),
    _store(
        "history-of-one-key-only",
        "a revision that changed several keys is undone for all of them",
        _kv(
            "transactions",
            "self._history.add(undone[0] if len(undone) == 1 else undone)",
            "self._history.add(undone[0])",
        ),
        by="exactly-once watch-atomic watch-reliable state-machine-safety",
    ),
    _store(
        "compaction-takes-its-own-revision",
        "the events of the revision compacted at can still be watched",
        _kv("history", "        self.first = revision\n", "        self.first = revision + 1\n"),
        by="watch-compacted watch-bookmarkable state-machine-safety",
    ),
    _store(
        "compacted-reads-are-answered",
        "what is compacted cannot be read",
        _kv("reading", "if 0 < op.revision < compacted:", "if 0 < op.revision < compacted - 3:"),
        by="exactly-once",
    ),
    _store(
        "nothing-compacted-again",
        "a compaction at or below the last one is refused",
        _kv("store", "if revision <= compacted:", "if revision < compacted:"),
        by="exactly-once",
    ),
    _store(
        "future-reads-are-answered",
        "a revision that is not there yet cannot be read",
        _kv("reading", "if op.revision > last:", "if op.revision > last + 9:"),
        by="exactly-once",
    ),
    _store(
        "count-of-the-present",
        "a count at a revision is the count at that revision",
        _kv(
            "reading",
            "        total = self._table.count_in(span) + more\n",
            "        total = self._table.count_in(span)\n",
        ),
        by="exactly-once",
    ),
    _store(
        "snapshot-without-the-grants",
        "a snapshot holds leases as they are",
        _kv("snapshot", "keys, count, leases.grants = ", "keys, count, _ = "),
        by="state-machine-safety exactly-once lease-kept",
    ),
)

TRANSACTIONS = (
    _store(
        "revision-for-nothing",
        "a transaction that changes nothing makes no revision",
        _kv("transactions", "        if undone:\n", "        if True:\n"),
        by="exactly-once watch-bookmarkable watch-reliable state-machine-safety",
    ),
    _store(
        "compare-of-the-first-key",
        "a compare of a range holds for every key in it",
        _kv(
            "transactions",
            "                if not holds(compare, run[key]):\n                    return False\n",
            "                return holds(compare, run[key])\n",
        ),
        by="exactly-once",
    ),
    _store(
        "compare-value-of-nothing",
        "no compare of a value holds for a key that is not there",
        _kv(
            "reading",
            "        if record is None:\n            return False\n        value",
            "        if record is None:\n            return compare.result == 3\n        value",
        ),
        by="exactly-once",
    ),
    _store(
        "greater-or-equal",
        "greater is not equal",
        _kv("reading", "        return greater\n", "        return greater or equal\n"),
        by="exactly-once",
    ),
    _store(
        "nested-unchecked",
        "everything is checked before anything is written, at every depth",
        _kv(
            "transactions",
            "                self._check_puts(next(nested))\n",
            "                pass\n",
        ),
        by="exactly-once state-machine-safety",
    ),
    _store(
        "past-read-sees-own-writes",
        "a read at a revision does not see what its own transaction writes",
        _kv("reading", "        for some in some_of(iter(undone)):\n", "        for some in ():\n"),
        by="exactly-once",
    ),
    _store(
        "ignore-value-forgets-it",
        "a put that ignores its value keeps the key's",
        _kv("transactions", "            if op.ignore_value:\n", "            if False:\n"),
        by="exactly-once",
    ),
    _store(
        "limit-before-the-order",
        "a limit counts after the order",
        _kv(
            "reading",
            "in_order(pairs, effort,",
            "in_order(pairs[: op.limit or None], effort,",
        ),
        by="exactly-once",
    ),
)

WRITING = (*HISTORY, *TRANSACTIONS)
