"""The newest changes of a store, for whoever looks at it: what, under which key, how large."""

from __future__ import annotations

from collections.abc import Callable

from raftd.machine.kv.history import History, changes_of
from raftd.wire.txn_answers import decode_record

Shown = tuple[int, str, bytes, int]
"""(revision, "put" or "delete", key, bytes of the value)."""


def last_changes(
    history: History,
    record_at: Callable[[bytes, int], bytes | None],
    after: int,
    most: int,
) -> list[Shown]:
    """Those since revision `after`, the newest `most` of them, oldest first. Machine's thread.

    Its cost is bounded by `most` and by the largest transaction, not by how much was changed since.
    """
    newest = history.last
    if after > newest:  # another state was restored
        after = 0
    found: list[Shown] = []
    for revision, item in history.items(max(after, newest - most, history.first - 1) + 1):
        for key, _ in changes_of(item):
            record = record_at(key, revision)
            if record is None:
                found.append((revision, "delete", key, 0))
            else:
                found.append((revision, "put", key, len(decode_record(key, record).value)))
    return found[-most:]
