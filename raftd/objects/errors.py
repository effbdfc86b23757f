"""What a call of a replicated object fails with, beside the errors of raftd.client."""

from __future__ import annotations

from raftd.client import errors as client
from raftd.machine import protocol


class CommandRefused(client.MachineError, protocol.MachineError):
    """An object's own "no": raise it in a command before anything is changed. One line.

    The caller gets the same class, on any node and in any process, and nothing was done.
    """


class CommandFailed(client.RaftdError):
    """The method raised something else than CommandRefused, or its answer cannot be sent.

    It was applied as far as it came, alike on all nodes, and is not applied again. The nodes' logs
    have the traceback.
    """


class DeclarationError(TypeError):
    """A class that cannot be replicated as it is written. One line: what, and what next."""
