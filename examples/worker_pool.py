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
from contextlib import suppress

from raftd.client import Client, Leadership, Lease, RaftdError
from raftd.client.txn import delete, put

MEMBERS, PARTS, LEADER = "pool/members/", "pool/parts/", "pool/leader"
PARTITIONS = 8
TTL_S = 3


class Worker:
    """on_parts: called with this worker's partitions when they change; with none if it is lost."""

    def __init__(self, client: Client, name: str, on_parts: Callable[[list[int]], object]) -> None:
        self._client = client
        self._name = name
        self._on_parts = on_parts
        self._parts = client.watch(prefix=PARTS).begin()
        self._stopping = threading.Event()
        jobs = (self._follow, self._lead)
        self._threads = [threading.Thread(target=job, daemon=True) for job in jobs]
        self.lease = self._join()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Leave the pool; the others take over at once."""
        self._stopping.set()
        self._parts.close()
        for thread in self._threads:
            thread.join()
        self.lease.give_up()

    def _join(self) -> Lease:
        lease = self._client.lease(TTL_S)
        try:
            self._client.put(MEMBERS + self._name, "", lease=lease.id)
        except RaftdError:
            lease.give_up()
            raise
        return lease

    def _follow(self) -> None:
        mine: list[int] | None = None
        while not self._stopping.is_set():
            now = mine or []
            with suppress(RaftdError):  # no leader: as before, while the lease lives
                now = self._assigned()
            if not self.lease:
                now = []
                with suppress(RaftdError):
                    self.lease = self._join()
            if now != mine:
                mine = now
                self._on_parts(now)
            self._parts.take(TTL_S / 3)

    def _assigned(self) -> list[int]:
        found = self._client.range(PARTS, timeout=TTL_S / 3).kvs
        return [int(kv.key[len(PARTS) :]) for kv in found if kv.value == self._name.encode()]

    def _lead(self) -> None:
        """Campaign, lead, and if the leadership is lost campaign again."""
        election = self._client.election(LEADER, TTL_S)
        while not self._stopping.wait(0.05):
            with suppress(RaftdError), election.campaign(self._name, timeout=1.0) as me:
                self._assign(me)

    def _assign(self, me: Leadership) -> None:
        with self._client.watch(prefix=MEMBERS) as changes:
            while me and not self._stopping.is_set():
                names = [kv.key[len(MEMBERS) :] for kv in self._client.range(MEMBERS).kvs]
                given = [
                    put(f"{PARTS}{part}", names[part % len(names)])
                    if names
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
            worker.stop()


if __name__ == "__main__":
    main()
