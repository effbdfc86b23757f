"""raftd with a bug: leases end after a third of their time, so a lock passes on while its holder
still has it, and the guard of the one before holds for ever.

`python -m tests.chaos.planted_lease serve --config node.yaml`, as the daemon. A chaos run must say
so: a lease was not kept, two held at once, or a write of an older token was taken.
"""

from __future__ import annotations

import sys

from raftd.cli.raftd_main import main
from raftd.machine.kv.lessor import Lessor

_count = Lessor._count


def _short(self: Lessor, lease: int, ttl_s: int) -> None:
    _count(self, lease, ttl_s // 3)


if __name__ == "__main__":
    Lessor._count = _short  # type: ignore[method-assign]
    sys.exit(main())
