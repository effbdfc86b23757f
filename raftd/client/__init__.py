"""The client of raftd for other people's programs.

    from raftd.client import Client

    with Client("10.0.0.1:7002,10.0.0.2:7002,10.0.0.3:7002") as client:
        client.put("key", "value")

Those are the client ports of three nodes, as `peers` in their configuration names them.

Names are loaded when first used, so that a short-lived command (raftctl) pays only for its own.

A client may be made before a fork (gunicorn --preload, celery, multiprocessing): parent and child
connect anew. If a call is under way in another thread at that moment, or an AsyncClient lives in
the parent, the child is told so at once, by WrongProcess; docs/processes.md names the way out.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from raftd.client.aio import AsyncClient as AsyncClient
    from raftd.client.client import Client as Client
    from raftd.client.errors import AnswerTooLong as AnswerTooLong
    from raftd.client.errors import BulkError as BulkError
    from raftd.client.errors import Compacted as Compacted
    from raftd.client.errors import Invalid as Invalid
    from raftd.client.errors import LockLost as LockLost
    from raftd.client.errors import MachineError as MachineError
    from raftd.client.errors import NoSpace as NoSpace
    from raftd.client.errors import NotAcquired as NotAcquired
    from raftd.client.errors import NotAllowed as NotAllowed
    from raftd.client.errors import NotDone as NotDone
    from raftd.client.errors import OutcomeUnknown as OutcomeUnknown
    from raftd.client.errors import Overloaded as Overloaded
    from raftd.client.errors import ProtocolError as ProtocolError
    from raftd.client.errors import RaftdError as RaftdError
    from raftd.client.errors import Refused as Refused
    from raftd.client.errors import SessionExpired as SessionExpired
    from raftd.client.errors import Unavailable as Unavailable
    from raftd.client.errors import WrongProcess as WrongProcess
    from raftd.client.faces.aio_held import AsyncElection as AsyncElection
    from raftd.client.faces.aio_held import AsyncLeadership as AsyncLeadership
    from raftd.client.faces.aio_held import AsyncLease as AsyncLease
    from raftd.client.faces.aio_held import AsyncLock as AsyncLock
    from raftd.client.faces.aio_held import AsyncQueue as AsyncQueue
    from raftd.client.faces.held import Election as Election
    from raftd.client.faces.held import Leadership as Leadership
    from raftd.client.faces.held import Lease as Lease
    from raftd.client.faces.held import Lock as Lock
    from raftd.client.faces.held import Queue as Queue
    from raftd.client.faces.streams import AsyncWatch as AsyncWatch
    from raftd.client.faces.streams import Watch as Watch
    from raftd.client.recipes.locks import Leader as Leader
    from raftd.client.recipes.watch import WatchEvent as WatchEvent
    from raftd.wire.kv import expect_absent as expect_absent
    from raftd.wire.kv import expect_mod_revision as expect_mod_revision
    from raftd.wire.kv import expect_value as expect_value
    from raftd.wire.kv import expect_version as expect_version

_EXPECT = ("expect_absent", "expect_mod_revision", "expect_value", "expect_version")
"""What a compare-and-set compares with."""
_HELD = ("Election", "Leadership", "Lease", "Lock", "Queue")
"""What a client hands out; their names are for annotations."""
_HOMES = {
    "AsyncClient": "raftd.client.aio",
    "AsyncWatch": "raftd.client.faces.streams",
    "Client": "raftd.client.client",
    "Leader": "raftd.client.recipes.locks",
    "Watch": "raftd.client.faces.streams",
    "WatchEvent": "raftd.client.recipes.watch",
    **dict.fromkeys(_HELD, "raftd.client.faces.held"),
    **dict.fromkeys([f"Async{name}" for name in _HELD], "raftd.client.faces.aio_held"),
    **dict.fromkeys(_EXPECT, "raftd.wire.kv"),
}
_ERRORS = (
    "AnswerTooLong",
    "BulkError",
    "Compacted",
    "Invalid",
    "LockLost",
    "MachineError",
    "NoSpace",
    "NotAcquired",
    "NotAllowed",
    "NotDone",
    "OutcomeUnknown",
    "Overloaded",
    "ProtocolError",
    "RaftdError",
    "Refused",
    "SessionExpired",
    "Unavailable",
    "WrongProcess",
)

__all__ = [*_HOMES, *_ERRORS]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'raftd.client' has no attribute {name!r}")
    return getattr(import_module(_HOMES.get(name, "raftd.client.errors")), name)
