"""raftd with a bug: linearizable reads are answered from the node's own state, unconfirmed.

`python -m tests.chaos.planted serve --config node.yaml`, as the daemon. A leader that was cut off
and does not know it, or a follower that is behind, then answers with what is no longer true: the
verdict of a chaos run must be NOT LINEARIZABLE.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from raftd.cli.raftd_main import main
from raftd.node.clients import Clients
from raftd.node.outcomes import Done

_query = Clients.query


def _unconfirmed(
    self: Clients, queries: Sequence[bytes], stale: bool, done: Done, principal: bytes = b""
) -> None:
    _query(self, queries, True, done, principal)


if __name__ == "__main__":
    Clients.query = _unconfirmed  # type: ignore[method-assign]
    sys.exit(main())
