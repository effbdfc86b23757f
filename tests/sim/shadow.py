"""What a node's log is, rebuilt from nothing but the writes that its core asked for.

Each node has two shadows: one that counts a write as soon as the core hands it out (the memory),
one that counts it when it is synced in the disk model (the promise). An entry is known by the hash
of the whole log up to it, so that comparing two logs at an index costs one comparison.
"""

from __future__ import annotations

from raftd.core.configuration_format import decode_configuration
from raftd.core.types import (
    Configuration,
    Entry,
    EntryType,
    HardState,
    Incarnation,
    Index,
    NodeId,
    Recovered,
    SnapshotMarker,
    SnapshotMeta,
    Term,
    Write,
)

GENESIS = 0
NOBODY = Configuration(())


class Chains:
    """One table for the whole cluster: log matching says (index, term) decides the whole prefix."""

    def __init__(self, first: Configuration = NOBODY) -> None:
        """first: the configuration before the first entry."""
        self.first = first
        self.configurations: dict[int, Configuration] = {GENESIS: first}
        """By chain: what is in force for whoever's log ends there."""
        self._by_position: dict[tuple[Index, Term], int] = {(0, 0): GENESIS}
        self.broken: str = ""

    def link(self, before: int, entry: Entry) -> int:
        """The chain of the log that ends in `entry`. The first log that holds it decides."""
        chain = hash((before, entry.index, entry.term, entry.type, entry.payload))
        known = self._by_position.setdefault((entry.index, entry.term), chain)
        if known != chain and not self.broken:
            self.broken = f"two logs differ at or before {entry.index}/{entry.term}"
        if chain not in self.configurations:
            self.configurations[chain] = (
                decode_configuration(entry.payload)
                if entry.type is EntryType.CONFIGURATION
                else self.configurations[before]
            )
        return chain

    def at(self, index: Index, term: Term) -> int | None:
        return self._by_position.get((index, term))


class Shadow:
    """A log as terms and chains. `base` is the index before the first one kept."""

    __slots__ = (
        "admitted",
        "base",
        "chains",
        "hard_state",
        "records",
        "snapshot",
        "tables",
        "terms",
    )

    def __init__(self, tables: Chains) -> None:
        self.tables = tables
        self.base: Index = 0
        self.chains: list[int] = [GENESIS]
        self.terms: list[Term] = [0]
        self.hard_state = HardState(0, None)
        self.snapshot: SnapshotMeta | None = None
        self.records: dict[NodeId, Incarnation] = {}
        self.admitted = False

    @property
    def last(self) -> Index:
        return self.base + len(self.chains) - 1

    def chain(self, index: Index) -> int | None:
        """None: outside of what this log holds by itself."""
        offset = index - self.base
        return self.chains[offset] if 0 <= offset < len(self.chains) else None

    def term(self, index: Index) -> Term | None:
        offset = index - self.base
        return self.terms[offset] if 0 <= offset < len(self.terms) else None

    def covers(self, index: Index, chain: int) -> bool:
        """This log holds that very entry, or a snapshot over it."""
        if index < self.base:
            return True
        if self.snapshot is not None and index <= self.snapshot.index:
            return True
        return self.chain(index) == chain

    @property
    def configuration(self) -> Configuration:
        """In force for this log: that of its last configuration entry, or of the start."""
        return self.tables.configurations[self.chains[-1]]

    def configuration_since(self) -> Index:
        """The index from which on it holds; `base` if it is older than what this log keeps."""
        table, now = self.tables.configurations, self.configuration
        for offset in range(len(self.chains) - 1, -1, -1):
            if table[self.chains[offset]] is not now:
                return self.base + offset + 1
        return self.base

    def apply(self, write: Write) -> None:
        """Count a write, in the order of types.Write."""
        if write.hard_state is not None:
            self.hard_state = write.hard_state
        if write.marker is not None:
            self.mark(write.marker)
        if write.entries:
            self.append(write.entries)
        for node, incarnation in write.records:
            self.records[node] = incarnation
        self.admitted = self.admitted or write.admitted

    def mark(self, marker: SnapshotMarker) -> None:
        meta = marker.meta
        if self.snapshot is None or meta.index > self.snapshot.index:
            self.snapshot = meta
        if marker.reset or meta.index > self.last:
            chain = self.tables.at(meta.index, meta.term)
            self.base, self.chains, self.terms = meta.index, [chain or 0], [meta.term]

    def append(self, entries: tuple[Entry, ...]) -> None:
        offset = entries[0].index - self.base
        if not 0 < offset <= len(self.chains):
            raise IndexError(
                f"entries from {entries[0].index} on a log of {self.base}..{self.last}"
            )
        del self.chains[offset:]
        del self.terms[offset:]
        for entry in entries:
            self.chains.append(self.tables.link(self.chains[-1], entry))
            self.terms.append(entry.term)

    def copy(self) -> Shadow:
        other = Shadow(self.tables)
        other.base, other.chains, other.terms = self.base, list(self.chains), list(self.terms)
        other.hard_state, other.snapshot = self.hard_state, self.snapshot
        other.records, other.admitted = dict(self.records), self.admitted
        return other

    def cut_to(self, found: Recovered) -> tuple[Shadow, Index] | None:
        """This log as it was found without its last batch, and the last index that is as it was.

        None: more than entries has gone.
        """
        same = [e.index for e in found.entries if self.term(e.index) == e.term]
        snapshot = 0 if found.snapshot is None else found.snapshot.index
        kept = max([*same, snapshot, self.base])
        other = self.copy()
        del other.chains[kept - other.base + 1 :]
        del other.terms[kept - other.base + 1 :]
        again = tuple(entry for entry in found.entries if entry.index > kept)
        if again:
            other.append(again)
        return None if other.differs(found) else (other, kept)

    def differs(self, found: Recovered) -> str:
        """Why what was recovered is not this log; empty if it is."""
        if found.hard_state != self.hard_state:
            return f"hard state {found.hard_state}, synced {self.hard_state}"
        if dict(found.records) != self.records:
            return f"records {found.records}, synced {self.records}"
        if found.admitted != self.admitted:
            return f"admitted {found.admitted}, synced {self.admitted}"
        mine = self.snapshot.index if self.snapshot else 0
        theirs = found.snapshot.index if found.snapshot else 0
        if mine != theirs:
            return f"snapshot {theirs}, synced {mine}"
        last = found.entries[-1].index if found.entries else theirs
        if last != self.last and max(last, theirs) != max(self.last, mine):
            return f"last index {last}, synced {self.last}"
        for entry in found.entries:
            known = self.term(entry.index)
            if known is not None and known != entry.term:
                return f"entry {entry.index}/{entry.term}, synced term {known}"
        return ""
