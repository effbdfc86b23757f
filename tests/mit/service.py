"""What a server of the labs is made of: timers, a disk with the labs' store, who sees it apply."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raftd.core.types import Entry, EntryType, Index, NodeId, Settings
from raftd.machine.sessions import Sessions
from raftd.wire import batch as wire
from raftd.wire import kv
from tests.mit.machine import AppendModel, AppendStore
from tests.sim.checkers import Checkers
from tests.sim.node import Node
from tests.sim.stores import DiskImage, Stores

if TYPE_CHECKING:
    from tests.mit.lab import Lab

KEY = b"x"


def timers_of(seed: int) -> Settings:
    """Odd seeds have the timers that ship, even ones those of a quick lab solution."""
    if seed % 2:
        return Settings(keep_entries=0)
    return Settings(
        keep_entries=0,
        heartbeat_interval=0.06,
        election_timeout_min=0.25,
        election_timeout_max=0.5,
        candidate_retry_min=0.05,
        candidate_retry_max=0.25,
    )


class Image(DiskImage):
    """A disk whose store knows the labs' Append."""

    def _open(self, node: Node) -> Stores:
        stores = super()._open(node)
        stores.host = Sessions(AppendStore())
        return stores


class Witness(Checkers):
    """All checkers of the simulator; it also tells the lab what is applied where."""

    def __init__(self, lab: Lab) -> None:
        super().__init__(lab.world, lab.configuration, lab.plan)
        self._lab = lab
        self._model = AppendModel(lab.world.stats)

    def applying(self, name: NodeId, entry: Entry) -> None:
        super().applying(name, entry)
        self._lab.note_applied(name, entry)

    def applied_result(self, name: NodeId, index: Index, payload: bytes, result: bytes) -> None:
        super().applied_result(name, index, payload, result)
        self._lab.maybe_snapshot(name)

    def installed(self, name: NodeId, index: Index) -> None:
        super().installed(name, index)
        self._lab.note_installed(name, index)


def is_command(entry: Entry) -> bool:
    """An entry of the machine's; with sessions its head says so in its second byte."""
    return entry.type is EntryType.BATCH and wire.decode_batch(entry.payload).commands != []


def as_command(value: bytes) -> bytes:
    """What the Raft tests propose: any bytes, put under one key."""
    return kv.encode_put(KEY, value)
