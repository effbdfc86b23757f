"""The store's limit in bytes, and the alarm that stops what grows.

The leader compares; the alarm goes through the log, so all members refuse from the same entry on,
whatever their settings. From then on puts and new leases are refused, also in transactions;
deletes, compactions and reads go on. The leader clears its alarm again when a tenth of the limit is
free; whoever wants may clear it before, and it comes again while there is too much. What is on its
way when the alarm is raised is still done. Machine's thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, TypeVar

from raftd.machine.kv import commands
from raftd.machine.kv.lessor import Lessor
from raftd.machine.protocol import MachineError, NodeHandle
from raftd.wire import alarms as wire
from raftd.wire import kv, refusals
from raftd.wire.alarms import Action, Alarm, Kind
from raftd.wire.errors import WireError
from raftd.wire.leases import LEASE_GRANT
from raftd.wire.txn import TXN, PutOp, Txn, decode_txn

LOOK_SECONDS: Final = 1.0
PROPOSE_AGAIN_SECONDS: Final = 1.0
FREE_AGAIN: Final = 0.9
"""Of the limit: below this the alarm is cleared."""

NO_SPACE: Final = (
    f"{refusals.NO_SPACE}; delete and compact (raftctl compact), or raise quota_bytes; the alarm "
    "ends by itself then (raftctl alarm)"
)


class Alarms:
    """Those that are raised: part of the replicated state."""

    def __init__(self) -> None:
        self._raised: frozenset[Alarm] = frozenset()
        self.no_space = False

    def apply(self, command: bytes) -> list[Alarm]:
        """Raise or clear; those that are raised then. Raises MachineError, WireError."""
        action, alarm = wire.decode_alarm(command)
        if action is Action.RAISE:
            if not alarm.member:
                raise MachineError("alarm: no member is named")
            if len(self._raised) >= wire.ALARMS_MAX and alarm not in self._raised:
                raise MachineError(
                    f"alarm: there are {wire.ALARMS_MAX} already, which is the limit"
                )
            self.put([*self._raised, alarm])
        else:
            self.put(
                each
                for each in self._raised
                if each.kind is not alarm.kind or alarm.member not in ("", each.member)
            )
        return self.all()

    def put(self, alarms: Iterable[Alarm]) -> None:
        """These and no others."""
        self._raised = frozenset(alarms)
        self.no_space = any(alarm.kind is Kind.NO_SPACE for alarm in self._raised)

    def all(self) -> list[Alarm]:
        return sorted(self._raised)


class Quota:
    """Raises and clears the alarm while this node leads."""

    def __init__(
        self, limit_bytes: int, alarms: Alarms, lessor: Lessor, size: Callable[[], int]
    ) -> None:
        """limit_bytes: 0: none. size: of keys, values and history, in bytes; quick."""
        self.limit_bytes = limit_bytes
        self._alarms = alarms
        self._lessor = lessor
        self._size = size
        self._node: NodeHandle | None = None
        self._term = 0
        self._proposed = 0.0

    def attach(self, node: NodeHandle) -> None:
        self._node = node

    def on_event(self) -> None:
        """After the lessor has heard it: begin to look when this node has begun to lead."""
        term = self._lessor.term
        if term != self._term:
            self._term, self._proposed = term, 0.0
            if term and self.limit_bytes:
                self._look(term)

    def check(self) -> None:
        """Something has been applied."""
        if not self._term or not self.limit_bytes:
            return
        size, raised = self._size(), self._alarms.no_space
        if size > self.limit_bytes and not raised:
            self._propose(Action.RAISE)
        elif raised and size <= self.limit_bytes * FREE_AGAIN:
            self._propose(Action.CLEAR)

    def _look(self, term: int) -> None:
        if self._node is None or self._term != term:
            return
        self.check()
        self._node.call_later(LOOK_SECONDS, lambda: self._look(term))

    def _propose(self, action: Action) -> None:
        node = self._node
        assert node is not None
        now = node.now()
        if self._proposed and now - self._proposed < PROPOSE_AGAIN_SECONDS:
            return
        self._proposed = now
        member = node.state().node if action is Action.RAISE else ""
        node.propose(wire.encode_alarm(action, Alarm(Kind.NO_SPACE, member)), self._term)


T = TypeVar("T")


def capped(apply: Callable[[bytes], T], command: bytes) -> T:
    """Apply what does not grow. Raises MachineError for what does."""
    if _grows(command):
        raise MachineError(NO_SPACE)
    return apply(command)


def _grows(command: bytes) -> bool:
    operation = command[0] if command else 0
    if operation in (kv.PUT, LEASE_GRANT):
        return True
    if operation == kv.CAS:
        return commands.decode_cas(command).value is not None
    if operation == kv.BATCH:
        return any(value is not None for _, value in commands.decode_batch_ops(command))
    if operation == TXN:
        try:
            return _has_put(decode_txn(command))
        except WireError as error:
            raise MachineError(str(error)) from None
    return False


def _has_put(txn: Txn) -> bool:
    """In either branch: as in etcd, what is refused does not depend on what is there."""
    return any(
        isinstance(op, PutOp) or (isinstance(op, Txn) and _has_put(op))
        for op in (*txn.success, *txn.failure)
    )
