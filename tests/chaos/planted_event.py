"""raftd with a bug: watchers that keep up are not given every fortieth revision.

`python -m tests.chaos.planted_event serve --config node.yaml`, as the daemon. A chaos run must say
which rule of watches is broken.
"""

from __future__ import annotations

import sys

from raftd.cli.raftd_main import main
from raftd.machine.kv.history import Item
from raftd.machine.kv.watch import WatchHub
from raftd.machine.kv.watcher import Watcher
from raftd.machine.pieces import Effort, Pieces

_queue = WatchHub._queue


def _forgetful(
    self: WatchHub, revision: int, item: Item, ready: dict[Watcher, None], effort: Effort
) -> Pieces[None]:
    if revision % 40:
        yield from _queue(self, revision, item, ready, effort)


if __name__ == "__main__":
    WatchHub._queue = _forgetful  # type: ignore[method-assign]
    sys.exit(main())
