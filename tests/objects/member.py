"""One member of a cluster of shops, as a program of its own: a node, and somebody who orders.

python -m tests.objects.member ID DIRECTORY PEERS
PEERS is JSON: {id: [peer address, client address]}

Prints a line for every order that was acknowledged: its number. Ends when its input does.
"""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

from raftd.config import Config, Peer
from tests.objects.shop import Shop


def main() -> None:
    id, directory, peers = sys.argv[1:]
    config = Config(
        id=id,
        data_dir=str(Path(directory, id)),
        peers={name: Peer(*where) for name, where in json.loads(peers).items()},
        segment_bytes=1 << 20,
        disk_reserve=1 << 20,
    )
    over = threading.Event()

    def wait_for_the_end() -> None:
        sys.stdin.read()
        over.set()

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    with Shop.open(config, timeout=30) as shop:
        while not over.is_set():
            print(shop.orders.add(), flush=True)


if __name__ == "__main__":
    main()
