"""Planted bugs of batches and ranges: what only a history of the clients' answers shows."""

from __future__ import annotations

from tests.mutants.planted import machine, node, plant

ANSWERING = (
    plant(
        "range-before-applied",
        "a read is answered when the state has reached its read index",
        node(
            "apply_worker",
            "        if job.index > self.applied_index:\n",
            "        if job.index > self.applied_index and job.queries[0][0] != 17:\n",
        ),
        node(
            "apply_worker",
            "answering.answered(self.applied_index)",
            "answering.answered(max(answering.job.index, self.applied_index))",
        ),
        by="linearizable",
    ),
    plant(
        "range-from-an-old-order",
        "a range sees keys that came since the last one",
        machine(
            "kv.table",
            "        self.bytes += len(key) + len(after)\n        self._orders[at] = None\n",
            "        self.bytes += len(key) + len(after)\n",
        ),
        by="linearizable",
    ),
    plant(
        "range-skips-a-key-at-the-border",
        "the next page begins right after the last key of this one",
        machine(
            "kv.table",
            "        skip = bisect_right(order, start) if exclusive",
            "        skip = bisect_right(order, start) + 1 if exclusive",
        ),
        by="linearizable",
    ),
    plant(
        "range-forgets-that-there-is-more",
        "a page that is full says whether more follows",
        machine(
            "kv.older",
            "return commands.encode_range(revision, True, count, parts)",
            "return commands.encode_range(revision, False, count, parts)",
        ),
        by="linearizable",
    ),
    plant(
        "batch-applied-half",
        "a batch is applied whole: all of it that was answered is there",
        machine(
            "kv.older",
            "        done = self._transactions.run(Txn([], ops))\n"
            "        versions = [result.version if isinstance(result, Put) else 0"
            " for result in done.results]\n",
            "        done = self._transactions.run(Txn([], ops[:1]))\n"
            "        versions = [result.version if isinstance(result, Put) else 0"
            " for result in done.results]\n"
            "        versions += [1] * (len(ops) - 1)\n",
        ),
        by="linearizable exactly-once",
    ),
    plant(
        "batch-in-two-revisions",
        "a batch is one revision for all of its keys",
        machine(
            "kv.transactions",
            "results.append(self._put(op, revision))",
            "results.append(self._put(op, revision + bool(results)))",
        ),
        by="linearizable exactly-once",
    ),
)
