"""A fourth container joins by one command, and the first one leaves, while clients write."""

from __future__ import annotations

import time

from harness.containers import Containers, wait_until
from harness.writers import Writers, WrongState
from raftd.client import Client
from raftd.client.errors import Refused

JOIN_FILE = "docker-compose.join.yml"
NEW, OLD = "n4", "n1"
PATIENCE_SECONDS = 90.0
REMOVED_CODE = 3
"""raftd's exit code when it learns that it is no member any more."""


def exchange(cluster: Containers, client: Client, writers: Writers) -> None:
    """Raises WrongState, ContainerTrouble. Afterwards `cluster` has the new one in its services."""
    book = writers.book
    errors, begun = len(book.errors), time.monotonic()
    cluster.compose("up", "-d", "--no-build", NEW)
    wait_until(lambda: _standing(cluster, client, NEW) == "learner", PATIENCE_SECONDS, "n4 to join")
    joined = time.monotonic()
    wait_until(lambda: _caught_up(cluster, client), PATIENCE_SECONDS, "n4 to catch up")
    wait_until(lambda: _promoted(client), PATIENCE_SECONDS, "n4 to be let vote")
    promoted = time.monotonic()
    client.change_member("remove", OLD)
    wait_until(lambda: _left(cluster), PATIENCE_SECONDS, "n1 to end with exit code 3")
    cluster.compose("rm", "-sf", OLD)
    cluster.services = [each for each in (*cluster.services, NEW) if each != OLD]
    goal = len(book.acked) + 50
    wait_until(lambda: len(book.acked) >= goal, PATIENCE_SECONDS, "writes to go on")
    silence = book.silence(begun, time.monotonic())
    print(
        f"\n  {NEW} joined {joined - begun:.1f} s after `up -d {NEW}`, voted after another"
        f" {promoted - joined:.1f} s; {OLD} was removed and ended with exit code {REMOVED_CODE}"
        f"; longest silence {silence * 1000:.0f} ms, {len(book.errors) - errors} failed calls"
    )
    if len(book.errors) > errors:
        raise WrongState(f"a call failed meanwhile: {book.errors[-1]}")


def _standing(cluster: Containers, client: Client, service: str) -> str:
    """What the leader calls it: voter, learner, or nothing."""
    for status in cluster.statuses(client).values():
        if status.role == "leader":
            for peer in status.peers:
                if peer.id == service:
                    return "voter" if peer.voter else "learner"
    return ""


def _caught_up(cluster: Containers, client: Client) -> bool:
    for status in cluster.statuses(client).values():
        if status.role == "leader":
            return any(peer.id == NEW and peer.lag < 100 for peer in status.peers)
    return False


def _promoted(client: Client) -> bool:
    """Refused while it has the log, and has not yet said that it could vote."""
    try:
        client.change_member("promote", NEW)
    except Refused as refused:
        if "still joining" not in str(refused):
            raise
        return False
    return True


def _left(cluster: Containers) -> bool:
    """Docker starts it again and again, and each time it learns the same."""
    return bool(cluster.inspect(OLD)["State"]["ExitCode"] == REMOVED_CODE)
