"""A pool of workers that share out partitions; one of them, elected, says who has which.

    python -m examples.worker_pool ENDPOINTS NAME

Start some with different names, kill one: its partitions go to the others within a few seconds.
A member registers under a lease, so it is gone when it dies. Only the leader assigns, and each
assignment is guarded by its leadership: one that was deposed without knowing it assigns nothing.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable

from raftd.client import Client, LockLost, NotDone, RaftdError
from raftd.client.held import Leadership
from raftd.client.txn import delete, put

MEMBERS, PARTS, LEADER = "pool/members/", "pool/parts/", "pool/leader"
PARTITIONS = 8
TTL_S = 3


class Worker:
    """on_parts: called with this worker's partitions whenever they change."""

    def __init__(self, client: Client, name: str, on_parts: Callable[[list[int]], object]) -> None:
        self._client = client
        self._name = name
        self._on_parts = on_parts
        self._parts = client.watch(prefix=PARTS).begin()
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=job, daemon=True) for job in (self._follow, self._lead)
        ]
        self._lease = client.lease(TTL_S)
        client.txn(then=[put(MEMBERS + name, "", lease=self._lease.id)])
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Leave the pool; the others take over at once."""
        self._stopping.set()
        self._lease.revoke()
        self._parts.close()
        for thread in self._threads:
            thread.join()

    def _follow(self) -> None:
        mine: list[int] | None = None
        while not self._stopping.is_set():
            now = [
                int(kv.key.decode().removeprefix(PARTS))
                for kv in self._client.range(PARTS).kvs
                if kv.value.decode() == self._name
            ]
            if now != mine:
                mine = now
                self._on_parts(now)
            self._parts.take(TTL_S)

    def _lead(self) -> None:
        """Campaign, lead, and if the leadership is lost campaign again."""
        while not self._stopping.is_set():
            try:
                with self._client.election(LEADER, TTL_S).campaign(self._name, timeout=1.0) as me:
                    self._assign(me)
            except (NotDone, LockLost):
                continue

    def _assign(self, me: Leadership) -> None:
        with self._client.watch(prefix=MEMBERS) as changes:
            while me and not self._stopping.is_set():
                found = self._client.range(MEMBERS).kvs
                members = [kv.key.decode().removeprefix(MEMBERS) for kv in found]
                given = [
                    put(f"{PARTS}{part}", members[part % len(members)])
                    if members
                    else delete(f"{PARTS}{part}")
                    for part in range(PARTITIONS)
                ]
                if not self._client.txn(when=[me.guard], then=given):
                    return
                changes.take(TTL_S / 3)


def main() -> None:
    endpoints, name = sys.argv[1:]
    with Client(endpoints) as client:
        worker = Worker(client, name, lambda parts: print(f"{name}: {parts}", flush=True))
        try:
            threading.Event().wait()
        finally:
            try:
                worker.stop()
            except RaftdError as error:
                print(error, file=sys.stderr)


if __name__ == "__main__":
    main()
