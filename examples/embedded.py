"""Three nodes of raftd in one program, round the counter of counter.py; no daemon, no client.

    python -m examples.embedded

Each node is a RaftNode with a directory of its own. Whoever leads takes the commands, any node
answers queries, and what a node hears is seen as events. In real life each node is in a process of
its own, on a machine of its own; nothing else would change.
"""

from __future__ import annotations

import socket
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from examples.counter import Counter
from raftd.config import Config, Peer
from raftd.embed import NotDone, NotLeader, RaftNode

NAMES = ("n1", "n2", "n3")
WAIT_SECONDS = 10.0


def free_addresses(count: int) -> list[str]:
    """Free at this moment; a program of your own has fixed ones."""
    with ExitStack() as opened:
        sockets = [opened.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]


def make_nodes(home: Path) -> list[RaftNode]:
    """One a name. All have the same `peers`; `id` and `data_dir` differ."""
    addresses = free_addresses(2 * len(NAMES))
    peers = {name: Peer(addresses.pop(), addresses.pop()) for name in NAMES}
    configs = [Config(id=name, data_dir=str(home / name), peers=peers) for name in NAMES]
    return [RaftNode(config, Counter()) for config in configs]


def add(nodes: list[RaftNode], number: int) -> int:
    """Ask one node after the other until the one that leads has added the number.

    Only what was certainly not done is asked again; OutcomeUnknown goes to the caller. A program
    that wants retries without a doubt uses raftd.client, which has sessions.
    """
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        for node in nodes:
            try:
                return int(node.submit(b"%d" % number).result(WAIT_SECONDS))
            except NotLeader:
                continue
            except NotDone:
                time.sleep(0.05)
        time.sleep(0.05)
    raise TimeoutError(f"nobody led within {WAIT_SECONDS:g} s")


def report(nodes: list[RaftNode]) -> list[str]:
    """A line a node."""
    lines = []
    for name, node in zip(NAMES, nodes):
        state = node.state()
        seen = node.query(b"").result(WAIT_SECONDS).decode()
        lines.append(f"{name}: {state.role.value} in term {state.term}, reads {seen}")
    return lines


def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        nodes = make_nodes(Path(home))
        try:
            for node in nodes:
                node.start()
            totals = [add(nodes, number) for number in range(1, 11)]
            print(f"the sum of 1 to 10 is {totals[-1]}", *report(nodes), sep="\n")
        finally:
            for node in nodes:
                node.stop()


if __name__ == "__main__":
    main()
