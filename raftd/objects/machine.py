"""The state machine of an application's objects: all of them in one, each under its name."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, BinaryIO, Final

from raftd.core.effects import Event
from raftd.machine.protocol import MachineError, NodeHandle, SnapshotFormatError
from raftd.objects import encoding
from raftd.objects.declaring import Asked, Declared
from raftd.objects.errors import CommandRefused
from raftd.objects.expiry import Expiry
from raftd.objects.lock import Lock
from raftd.objects.sharing import Sharing
from raftd.quiet import QuietLog

LOG = logging.getLogger("raftd.objects")

MAY_DIFFER: Final = (MemoryError, RecursionError, OSError)
"""What one node may meet and another not: it stops the node, and is no answer."""


class ObjectsMachine:
    """A raftd.machine.protocol.StateMachine. Machine's thread."""

    def __init__(self, declared: Mapping[str, Declared]) -> None:
        self._by_name = dict(declared)
        self._declared = [declared[name] for name in sorted(declared)]
        self._methods: dict[tuple[str, str], Asked] = {
            (each.name, called): asked
            for each in self._declared
            for called, asked in each.methods.items()
        }
        self._states: dict[str, Any] = {each.name: each.new_state() for each in self._declared}
        self._sharing = Sharing(self._declared, self._states)
        self._expiry = Expiry(self._locks)
        self._quiet = QuietLog(LOG)

    def attach(self, node: NodeHandle) -> None:
        self._expiry.attach(node)

    def on_event(self, event: Event) -> None:
        self._expiry.on_event(event)

    def apply(self, command: bytes) -> bytes:
        return self._run(command, changes=True)

    def query(self, request: bytes) -> bytes:
        return self._run(request, changes=False)

    def capture(self) -> list[bytes]:
        return encoding.dump(self._declared, self._states)

    def parts(self) -> list[tuple[str, Iterable[bytes]]]:
        """See raftd.machine.protocol.TellsParts."""
        return [("objects", encoding.canonical(self._declared, self.capture()))]

    def restore(self, reader: BinaryIO) -> None:
        self._states = encoding.load(self._declared, reader)
        self._sharing = Sharing(self._declared, self._states)

    def _locks(self) -> dict[str, Lock]:
        return {name: state for name, state in self._states.items() if isinstance(state, Lock)}

    def _run(self, data: bytes, *, changes: bool) -> bytes:
        """Raises MachineError to refuse, and what may differ between nodes."""
        try:
            request = encoding.decode_call(data)
            asked = self._methods.get((request.object, request.method))
            if asked is None:
                text = f"no {request.object}.{request.method} here: is the program older?"
                raise MachineError(text)
            if asked.method.changes != changes:
                raise MachineError(f"{asked.where} is a {'query' if changes else 'command'}")
            arguments = encoding.decode_arguments(asked, request.arguments)
        except encoding.FormatError as error:
            raise MachineError(str(error)) from None
        if request.fence is not None:
            self._check_fence(*request.fence)
        try:
            answer = asked.method.function(self._states[request.object], **arguments)
            return encoding.encode_answer(answer)
        except (MachineError, *MAY_DIFFER):
            raise
        except Exception as error:  # noqa: BLE001 - told with its stack
            text = f"{asked.where} raised; it should answer or raise CommandRefused"
            self._quiet.error(text, error)
            # Its name only: a message may hold an address in memory, and every node says the same.
            return encoding.encode_failure(f"{asked.where} raised {type(error).__name__}")
        finally:
            if changes:
                self._part(request.object, asked.where)

    def _part(self, name: str, where: str) -> None:
        """What is in two places now is two things, as it would be after a snapshot."""
        state = self._states[name]
        shared, still = self._sharing.part(name, state)
        if still:
            with suppress(TypeError, SnapshotFormatError):  # whoever takes a snapshot is told
                self._states[name] = encoding.again(self._by_name[name], state)
                self._sharing.renewed(name, self._states[name])
        if shared:
            self._quiet.warning(
                where,
                f"{where} leaves one list, dict or object in two places, {shared}: each has a copy "
                "of its own now, as after a snapshot. Make the copy in the method",
            )

    def _check_fence(self, name: str, token: int) -> None:
        lock = self._states.get(name)
        if not isinstance(lock, Lock):
            raise MachineError(f"there is no lock {name!r}")
        if lock.token != token or not lock.owner:
            raise CommandRefused(f"fenced: lock {name!r} is not held with token {token} any more")
