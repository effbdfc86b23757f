"""raftd with a bug: a transaction's compare of a create_revision always holds, so the write of a
holder is taken after its lock has passed on: a stale token is accepted.

`python -m tests.chaos.planted_token serve --config node.yaml`, as the daemon.
"""

from __future__ import annotations

import sys

from raftd.cli.raftd_main import main
from raftd.machine.kv import reading, transactions
from raftd.wire.txn_types import CREATE_REVISION, Compare

_holds = reading.holds


def _credulous(compare: Compare, record: bytes | None) -> bool:
    return (compare.target == CREATE_REVISION and compare.number > 1) or _holds(compare, record)


if __name__ == "__main__":
    transactions.holds = _credulous  # type: ignore[attr-defined]
    sys.exit(main())
