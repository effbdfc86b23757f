"""Keys in byte order with their records, cheap to capture.

Theory of operation. The keys are cut into runs: each a plain dict of up to SPLIT_AT neighbouring
keys, found by bisecting the runs' lower bounds. Inside a run nothing is ordered until somebody asks
(a range query, a snapshot); a run's sorted keys are then kept until a key comes or goes. So a put
costs a bisect and a dict store, and no pause is longer than the work on one run, some 0.1 ms.

Capturing copies the list of runs, not the runs (0.1 ms for a million keys), and starts a new
generation: who writes into a run of an older generation copies that run first. The captured runs
are never written again, so another thread may walk through them. A record is one bytes object, as
is a key, so the collector has nothing to trace, whatever their number.

Every change is noted (`note`) as what was there before: the key alone if it was absent, else (key,
record). Who owns the table makes a history of it (history.py).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from struct import Struct
from typing import Final

from raftd.machine.kv.history import Before
from raftd.machine.pieces import Effort, Pieces
from raftd.wire.kv import RECORD_HEAD
from raftd.wire.spans import EVERYTHING, Span
from raftd.wire.txn_answers import LEASED, LEASED_AT, LEASED_BIT, LEASED_HEAD, lease_of

SPLIT_AT: Final = 682
"""Half of it, 341, is just what a dict of 512 slots has room for. Measured against 1364: as quick,

as small (423 bytes for a key with a value of 256), and half the pause of copying a run."""
MERGE_BELOW: Final = SPLIT_AT // 8
MERGED_MAX: Final = SPLIT_AT // 2

Run = dict[bytes, bytes]
Order = tuple[bytes, ...]
"""Sorted keys. Lists would be walked through by each of the collector's looks at everything."""

_pack = RECORD_HEAD.pack  # looked up once: these two are on the path of every put
_unpack = Struct("<QQq").unpack_from  # as a record's head, but a lease makes the version negative


class Frozen:
    """A table as it was. Any thread."""

    __slots__ = ("_orders", "runs")

    def __init__(self, runs: list[Run], orders: list[Order | None]) -> None:
        self.runs = runs
        self._orders = orders

    def ordered(self) -> Iterator[tuple[Order, Run]]:
        """Sorted keys and the run that they are in, in order. Sorted once, for several walks."""
        for at, run in enumerate(self.runs):
            order = self._orders[at]
            if order is None:
                order = self._orders[at] = tuple(sorted(run))
            yield order, run

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        """(key, record) in order of the keys."""
        for run, order in zip(self.runs, self._orders, strict=True):
            for key in order or sorted(run):
                yield key, run[key]


class Table:
    """bytes -> record. One thread."""

    __slots__ = (
        "_generation",
        "_generations",
        "_lows",
        "_orders",
        "_runs",
        "bytes",
        "count",
        "detach",
        "note",
    )

    def __init__(
        self, note: Callable[[Before], None], detach: Callable[[bytes, int], None]
    ) -> None:
        """note: told of every change. detach(key, lease): a key no longer has the lease it had."""
        self.note = note
        self.detach = detach
        self.count = 0
        self.bytes = 0
        """Of all keys and records."""
        self._generation = 0
        self._lows: list[bytes] = [b""]
        self._runs: list[Run] = [{}]
        self._orders: list[Order | None] = [None]
        self._generations: list[int] = [0]

    def get(self, key: bytes) -> bytes | None:
        return self._runs[bisect_right(self._lows, key) - 1].get(key)

    def put(self, key: bytes, value: bytes, revision: int) -> int:
        """Store `value` as of `revision`; returns the key's version."""
        at = bisect_right(self._lows, key) - 1
        run = self._runs[at]
        if self._generations[at] != self._generation:
            run = self._own(at)
        if key in run:
            before = run[key]
            created, _, version = _unpack(before)
            if version < 0:
                self.detach(key, lease_of(before))
                version += LEASED
            version += 1
            run[key] = after = _pack(created, revision, version) + value
            self.bytes += len(after) - len(before)
            self.note((key, before))
            return version  # type: ignore[no-any-return]
        run[key] = after = _pack(revision, revision, 1) + value
        self.note(key)
        self.count += 1
        self.bytes += len(key) + len(after)
        self._orders[at] = None
        if len(run) > SPLIT_AT:
            self._split(at)
        return 1

    def attach(self, key: bytes, lease: int) -> None:
        """Have the record that `put` has just stored name a lease. Nothing is noted for it."""
        at = bisect_right(self._lows, key) - 1
        run = self._runs[at]
        record = run[key]
        created, revision, version = RECORD_HEAD.unpack_from(record)
        head = LEASED_HEAD.pack(created, revision, version | LEASED, lease)
        run[key] = head + record[RECORD_HEAD.size :]
        self.bytes += len(head) - RECORD_HEAD.size

    def delete(self, key: bytes) -> bytes | None:
        """The record that was there; None: there was none."""
        at = bisect_right(self._lows, key) - 1
        if key not in self._runs[at]:
            return None
        run = self._own(at)
        before = run.pop(key)
        self.count -= 1
        self.bytes -= len(key) + len(before)
        self._orders[at] = None
        if len(run) < MERGE_BELOW:
            self._merge(at)
        if lease := lease_of(before):
            self.detach(key, lease)
        self.note((key, before))
        return before

    def delete_all(self, keys: list[bytes], effort: Effort) -> Pieces[list[tuple[bytes, bytes]]]:
        """Delete them, which are in order, a run at a time.

        Returns (key, record) of those that were there, for the caller to note: nothing is told to
        `note`. One by one, 200,000 of them took 1.5 s.
        """
        deleted: list[tuple[bytes, bytes]] = []
        begin, count = 0, len(keys)
        while begin < count:
            at = bisect_right(self._lows, keys[begin]) - 1
            last = at + 1 == len(self._lows)
            end = count if last else bisect_left(keys, self._lows[at + 1], begin)
            end = min(end, begin + SPLIT_AT)  # keys that are not there may be any number
            some = list(filter(self._runs[at].__contains__, keys[begin:end]))
            if some:
                deleted += self._delete_in(at, some)
            if effort.took(end - begin):
                yield
            begin = end
        return deleted

    def _delete_in(self, at: int, keys: list[bytes]) -> list[tuple[bytes, bytes]]:
        """All of `keys` are in this run."""
        run = self._own(at)
        records = list(map(run.pop, keys))
        self.count -= len(keys)
        self.bytes -= sum(map(len, keys)) + sum(map(len, records))
        self._orders[at] = None
        if len(run) < MERGE_BELOW:
            self._merge(at)
        pairs = list(zip(keys, records, strict=True))
        for key, record in pairs:
            if record[LEASED_AT] >= LEASED_BIT:
                self.detach(key, lease_of(record))
        return pairs

    def ascend(
        self, start: bytes, exclusive: bool = False, stop: bytes | None = None
    ) -> Iterator[tuple[Order, Run]]:
        """Sorted keys and the run that they are in, in order, from `start` on, before `stop`.

        Not to be used across a change of the table.
        """
        at = bisect_right(self._lows, start) - 1
        order = self._ordered(at)
        skip = bisect_right(order, start) if exclusive else bisect_left(order, start)
        last = len(self._runs) - 1
        while at <= last:
            if stop is not None and (at == last or stop <= self._lows[at + 1]):
                yield order[skip : bisect_left(order, stop, skip)], self._runs[at]
                return
            yield (order[skip:] if skip else order), self._runs[at]
            at, skip = at + 1, 0
            if at <= last:
                order = self._ordered(at)

    def descend(self, span: Span) -> Iterator[tuple[Order, Run]]:
        """The keys of a span from the last to the first, each list in descending order."""
        start, stop = span
        at = len(self._lows) - 1 if stop is None else max(bisect_left(self._lows, stop) - 1, 0)
        while at >= 0:
            order = self._ordered(at)
            end = len(order) if stop is None else bisect_left(order, stop)
            yield order[bisect_left(order, start) : end][::-1], self._runs[at]
            if self._lows[at] <= start:
                return
            at -= 1

    def keys(self, span: Span) -> list[bytes]:
        """All keys of a span, in order."""
        found: list[bytes] = []
        for keys, _ in self.ascend(span.start, False, span.stop):
            found += keys
        return found

    def count_in(self, span: Span) -> int:
        """How many keys a span has. Sorts two runs at most; the rest is a sum."""
        if span == EVERYTHING:
            return self.count
        start, stop = span
        if stop is not None and stop <= start:
            return 0
        first = bisect_right(self._lows, start) - 1
        last = len(self._lows) - 1 if stop is None else max(bisect_left(self._lows, stop) - 1, 0)
        counted = sum(map(len, self._runs[first : last + 1]))
        counted -= bisect_left(self._ordered(first), start)
        if stop is not None:
            order = self._ordered(last)
            counted -= len(order) - bisect_left(order, stop)
        return counted

    def own_key(self, key: bytes) -> bytes:
        """The very object under which an equal key is held, if one is."""
        order = self._ordered(bisect_right(self._lows, key) - 1)
        at = bisect_left(order, key)
        return order[at] if at < len(order) and order[at] == key else key

    def leased(self) -> Iterator[tuple[bytes, int]]:
        """(key, lease) of all keys that have one, in no order."""
        for run in self._runs:
            for key, record in run.items():
                if record[LEASED_AT] >= LEASED_BIT:
                    yield key, lease_of(record)

    def capture(self) -> Frozen:
        """The table as of now; later changes leave it alone."""
        self._generation += 1
        return Frozen(self._runs.copy(), self._orders.copy())

    def load(self, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        """Replace everything by (key, record) pairs; the caller sees to their ascending order."""
        runs: list[Run] = [{}]
        run = runs[0]
        lows = [b""]
        self.count = self.bytes = 0
        for key, record in pairs:
            self.bytes += len(key) + len(record)
            if len(run) >= MERGED_MAX:
                self.count += len(run)
                run = {}
                runs.append(run)
                lows.append(key)
            run[key] = record
        self.count += len(run)
        self._runs, self._lows = runs, lows
        self._orders = [None] * len(runs)
        self._generations = [self._generation] * len(runs)

    def clear(self) -> None:
        self.load(())

    def _ordered(self, at: int) -> Order:
        order = self._orders[at]
        if order is None:
            order = self._orders[at] = tuple(sorted(self._runs[at]))
        return order

    def _own(self, at: int) -> Run:
        """The run for writing: a copy of it if a capture holds it."""
        run = self._runs[at]
        if self._generations[at] != self._generation:
            run = self._runs[at] = run.copy()
            self._generations[at] = self._generation
        return run

    def _split(self, at: int) -> None:
        run, order = self._runs[at], self._ordered(at)
        middle = len(order) // 2
        left, right = order[:middle], order[middle:]
        self._runs[at : at + 1] = [{k: run[k] for k in left}, {k: run[k] for k in right}]
        self._orders[at : at + 1] = [left, right]
        self._lows.insert(at + 1, right[0])
        self._generations.insert(at + 1, self._generation)

    def _merge(self, at: int) -> None:
        """Join a run that has become small with a neighbour, if both fit in one."""
        for left in (at - 1, at):
            if left < 0 or left + 1 >= len(self._runs):
                continue
            if len(self._runs[left]) + len(self._runs[left + 1]) <= MERGED_MAX:
                self._own(left).update(self._runs[left + 1])
                self._orders[left] = None
                for column in (self._runs, self._orders, self._lows, self._generations):
                    del column[left + 1]
                return
