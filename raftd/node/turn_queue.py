"""What clients ask in one turn of the loop, gathered into one append and one read.

Limits are checked here, before the core is entered. What is accepted gets exactly one answer.
"""

from __future__ import annotations

from collections.abc import Sequence

from raftd.node.outcomes import Done, Refusal, Refused
from raftd.node.settings import NodeSettings

Reads = list[tuple[Sequence[bytes], Done, bytes]]
"""Queries, who waits for the answers, and as whom."""


class TurnQueue:
    """What arrived in this turn of the loop, waiting to become one append or one read.

    Network thread.
    """

    def __init__(self, settings: NodeSettings) -> None:
        self._settings = settings
        self._batches: list[bytes] = []
        self._dones: list[Done] = []
        self._principals: list[bytes] = []
        self._bytes = 0
        self._reads: Reads = []
        self._confirming: dict[int, Reads] = {}
        self._queries = 0

    @property
    def batches(self) -> int:
        return len(self._batches)

    def refuse(self, pending: int, pending_bytes: int, log_bytes: int) -> Refused | None:
        """None if one more batch may come in. The arguments: of what is in the log already, or
        waits for its turn to enter it.
        """
        settings = self._settings
        if pending + len(self._batches) >= settings.pending_batches_max:
            limit = f"pending_batches_max ({settings.pending_batches_max})"
        elif pending_bytes + self._bytes > settings.pending_bytes_max:
            limit = f"pending_bytes_max ({settings.pending_bytes_max})"
        elif log_bytes + self._bytes > settings.log_memory_limit_bytes:
            limit = f"log_memory_limit ({settings.log_memory_limit_bytes})"
        else:
            return None
        return Refused(Refusal.OVERLOADED, f"{limit} is reached: try again later")

    def batch(self, batch: bytes, done: Done, principal: bytes) -> bool:
        """True if this is the first since the last take: the caller must schedule a proposal."""
        self._batches.append(batch)
        self._dones.append(done)
        self._principals.append(principal)
        self._bytes += len(batch)
        return len(self._batches) == 1

    def take_batches(self) -> tuple[list[bytes], list[Done], list[bytes]]:
        """Batches, who waits for each, and who asked."""
        taken = self._batches, self._dones, self._principals
        self._batches, self._dones, self._principals, self._bytes = [], [], [], 0
        return taken

    @property
    def queries(self) -> int:
        """Linearizable ones, not confirmed yet."""
        return self._queries

    def full(self, queries: Sequence[bytes], backlog: int) -> bool:
        """backlog: what the machine has not come to: a slow one must not collect reads for ever."""
        most = self._settings.pending_queries_max
        return self._queries + len(queries) > most or backlog >= most

    def no_room_for_reads(self) -> Refused:
        limit = f"pending_queries_max ({self._settings.pending_queries_max})"
        return Refused(Refusal.OVERLOADED, f"{limit} is reached: try again later")

    def read(self, queries: Sequence[bytes], done: Done, principal: bytes) -> bool:
        """True if this is the first since the last take: the caller must schedule a read."""
        self._reads.append((queries, done, principal))
        self._queries += len(queries)
        return len(self._reads) == 1

    def take_reads(self) -> Reads:
        """They stay known here until `reads_done`."""
        taken, self._reads = self._reads, []
        if taken:
            self._confirming[id(taken)] = taken
        return taken

    def reads_done(self, reads: Reads) -> bool:
        """False: they have had their answer already."""
        if self._confirming.pop(id(reads), None) is None:
            return False
        self._queries -= sum(len(queries) for queries, _, _ in reads)
        return True

    def everybody(self) -> list[Done]:
        """Take everything that waits here, to refuse it."""
        rounds = [*self._confirming.values(), self._reads]
        dones = self._dones + [done for reads in rounds for _, done, _ in reads]
        self._batches, self._dones, self._principals, self._reads = [], [], [], []
        self._confirming.clear()
        return dones
