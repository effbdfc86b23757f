"""What a node that was started again does not know yet of users, roles and permissions.

After its start a node has nothing until its newest snapshot is restored, and then what that says,
until a leader has told how much of the log behind it is committed. Auth may so look switched off
that was switched on long ago, and a user may look present who was deleted: whoever calls first
would read everything and do what an operator may. So where the log holds such changes nobody is
believed before they are applied, and nobody is an operator before the snapshot is there.

What it missed while it was away, or all of it if it has just joined or was wiped, comes by
replication. So once a leader is heard nobody is believed before all is applied that was committed
then. While no leader is heard the node answers by its own log, as an operator needs who looks for
the reason; a node that joins has nothing to answer. Network thread only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from raftd.core.types import Entry, EntryType, Index, RaftState, Recovered
from raftd.wire.auth import AUTH, FORMAT
from raftd.wire.batch import decode_batch
from raftd.wire.errors import WireError

_BEGINS = bytes((AUTH, FORMAT))


@dataclass(frozen=True, slots=True)
class Start:
    """What a node was started with. snapshot: at which index. changes: where the log changes users,
    roles or permissions, in order.
    """

    snapshot: Index = 0
    changes: tuple[Index, ...] = ()


NOTHING = Start()


def start_of(recovered: Recovered) -> Start:
    """Any thread. Costs a search through the log's bytes."""
    changes = [entry.index for entry in recovered.entries if _changes_auth(entry)]
    snapshot = recovered.snapshot
    return Start(0 if snapshot is None else snapshot.index, tuple(changes))


def _changes_auth(entry: Entry) -> bool:
    """The two bytes stand in many a value, so where they are found the batch is read."""
    if entry.type is not EntryType.BATCH or _BEGINS not in entry.payload:
        return False
    try:
        commands = decode_batch(entry.payload).commands
    except WireError:
        return False  # whoever applies it says so
    return any(command.startswith(_BEGINS) for _, command in commands)


class Replaying:
    """How far a node has come since its start."""

    def __init__(self, start: Start, state: Callable[[], RaftState], guarded: bool = True) -> None:
        """state: this node's. guarded: its machine knows users, so what comes may be of them."""
        self._state = state
        self._follows = guarded
        self._snapshot = start.snapshot
        self._changes = list(start.changes)

    @property
    def restoring(self) -> bool:
        """Is its snapshot not there yet?"""
        if self._snapshot and self._state().applied_index >= self._snapshot:
            self._snapshot = 0
        return self._snapshot > 0

    @property
    def behind(self) -> bool:
        """May a change that was committed before be not applied yet?"""
        if not self._follows and not self._changes:
            return False
        state = self._state()
        if state.caught_up:
            self._follows = False
        return self._replays(state) or (self._follows and state.caught_up is False)

    @property
    def holds_changes(self) -> bool:
        """Does its own log hold changes of users that are not applied yet, as far as was looked?"""
        return bool(self._changes)

    def _replays(self, state: RaftState) -> bool:
        """Is a change that its own log holds not applied yet?"""
        changes = self._changes
        while changes and changes[-1] > state.last_index:
            changes.pop()  # never committed: another leader's entries took its place
        if changes and state.applied_index >= changes[-1]:
            changes.clear()
        return bool(changes)
