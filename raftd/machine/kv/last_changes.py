"""The newest changes of a store, for whoever looks at it: what, under which key, how large."""

from __future__ import annotations

from collections.abc import Callable

from raftd.machine.kv.auth import Auth
from raftd.machine.kv.history import History, changes_of
from raftd.wire.txn_answers import decode_record

Shown = tuple[int, str, bytes, int]
"""(revision, "put" or "delete", key, bytes of the value). The key is empty where it is hidden."""


def last_changes(
    history: History,
    record_at: Callable[[bytes, int], bytes | None],
    auth: Auth,
    after: int,
    most: int,
) -> list[Shown]:
    """Those since revision `after`, the newest `most` of them, oldest first. Machine's thread.

    No key while users are switched on: whoever reads a film is not asked who they are, and saw
    everybody's.

    Its cost is bounded by `most`, not by how much was changed since: a revision may have deleted a
    million keys.
    """
    newest, hides = history.last, auth.enabled
    if after > newest:  # another state was restored
        after = 0
    found: list[Shown] = []
    for revision, item in history.items(max(after, newest - most, history.first - 1) + 1):
        for key, _ in changes_of(item[-most:] if type(item) is list else item):
            record, shown = record_at(key, revision), b"" if hides else key
            if record is None:
                found.append((revision, "delete", shown, 0))
            else:
                found.append((revision, "put", shown, len(decode_record(key, record).value)))
    return found[-most:]
