"""What clients ask, gathered into one append and one read a round.

Limits are checked here, before the core is entered. What is accepted gets exactly one answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from raftd.node.driver import CoreDriver
from raftd.node.outcomes import Done, Refusal, Refused
from raftd.node.settings import NodeSettings

Reads = list[tuple[Sequence[bytes], Done, bytes]]
"""Queries, who waits for the answers, and as whom."""


ENOUGH_BYTES = 256 << 10
"""So much is worth a round of its own."""


class _Round:
    __slots__ = ("began", "count", "left", "others")

    def __init__(self, count: int, began: float) -> None:
        self.count = self.left = count
        """Batches, and those of them that are not answered."""
        self.began = began
        self.others = 0
        """Batches that waited when the first answer came."""


class Rounds:
    """When what waits becomes one append, or one read index. Network thread only.

    A round: one append with its syncs and answers, or one read index. It takes the processors of a
    cluster some milliseconds, however little is in it. Members that pass on what their clients ask,
    and clients with sessions, are sources that mostly have one batch under way each; the story
    without this class: each batch was a round of its own, so three members that served 64 callers
    paid for twice the rounds.

    What waits becomes the next round when no round is under way and all known sources are back:
    those that were just answered, and those that waited then. Nothing waits longer than the last
    round took, so rounds may overlap. A source that is alone, and waits for its answer before it
    asks again, never waits here. The story with three quarters of the sources: the others were a
    round of their own, and where rounds wait for disks and networks rather than for processors,
    eight sources got a third less than if nobody had waited for anybody.
    """

    def __init__(self, driver: CoreDriver, seconds: float, begin: Callable[[], None]) -> None:
        """seconds: the longest wait; 0: what comes in one turn of the loop is a round. begin:
        takes all that waits.
        """
        self._driver = driver
        self._seconds = seconds
        self._begin = begin
        self.since = 0.0
        """When the first of those that wait, or were begun last, arrived."""
        self._waiting = self._bytes = 0
        self._under_way = 0
        """Batches of all rounds that are not answered yet."""
        self._enough = 1
        """So many waiting batches begin a round."""
        self._took = self._ended = 0.0
        self._number = 0
        """Of the round that gathers: the timer of an earlier one has come too late."""
        self._due = False
        """A round begins in the next turn of the loop."""

    def arrived(self, size_bytes: int) -> None:
        """One more batch waits."""
        self._waiting += 1
        self._bytes += size_bytes
        if self._waiting == 1:
            self.since = self._driver.clock.now()
            if self._seconds:
                self._set_timer()
        self._begin_if_enough()

    def _set_timer(self) -> None:
        """For the first one that waits, unless nobody is known for whom to wait."""
        longest = min(self._seconds, self._took)
        if not self._under_way:
            if self._enough == 1:
                return
            if self.since - self._ended > longest:
                self._enough = 1  # those that were known have stayed away
                return
        number = self._number
        self._driver.later(longest, lambda: self._time_is_up(number))

    def _time_is_up(self, number: int) -> None:
        if number == self._number and self._waiting:
            self._begin_soon()

    def _begin_if_enough(self) -> None:
        held = self._under_way or self._waiting < self._enough
        if self._waiting and (not held or self._bytes >= ENOUGH_BYTES):
            self._begin_soon()

    def _begin_soon(self) -> None:
        """In the next turn of the loop: what else comes in this one is in the same round."""
        if not self._due:
            self._due = True
            self._driver.soon(self._begin_now)

    def _begin_now(self) -> None:
        self._due = False
        self._number += 1
        self._waiting = self._bytes = 0
        self._enough = 1
        self._begin()

    def began(self, count: int) -> Callable[[int], None]:
        """A round of `count` batches is under way. Call the result with the number of those that
        were answered, each once.
        """
        if not self._seconds:
            return _nobody_counts
        self._under_way += count
        return partial(self._answered, _Round(count, self._driver.clock.now()))

    def _answered(self, of: _Round, some: int) -> None:
        if of.left == of.count:
            of.others = self._waiting  # who comes later may be one of the answered
        of.left -= some
        self._under_way -= some
        if not of.left:
            self._ended = self._driver.clock.now()
            # Also while others are under way. The story: rounds that overlapped never all ended at
            # once, so the wait stayed that of the shortest one ever, and they went on to overlap.
            self._took = self._ended - of.began
        if not self._under_way:
            self._over(of.count + of.others)

    def _over(self, known: int) -> None:
        """Nothing is under way; so many sources are known."""
        self._enough = known
        self._begin_if_enough()


def _nobody_counts(some: int) -> None:
    """All rounds begin at once."""


class TurnQueue:
    """What arrived since the last take, waiting to become one append or one read.

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

    @property
    def size_bytes(self) -> int:
        """Of the batches."""
        return self._bytes

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

    def batch(self, batch: bytes, done: Done, principal: bytes) -> None:
        self._batches.append(batch)
        self._dones.append(done)
        self._principals.append(principal)
        self._bytes += len(batch)

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

    def read(self, queries: Sequence[bytes], done: Done, principal: bytes) -> None:
        self._reads.append((queries, done, principal))
        self._queries += len(queries)

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
