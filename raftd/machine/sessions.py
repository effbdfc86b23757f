"""Sessions round any state machine: a command is applied once, however often it arrives.

Theory of operation. A client opens a session through the log; the session's id is the index of
that entry, so no client can choose one. Within it the client numbers its commands, and with each
batch says up to which number it has all answers (the floor). Here, *at the moment of applying*, a
number is

    at or below the floor   SEQ_STALE, never executed
    applied before          the same answer again, errors too; with another CRC, SEQ_REUSED
    anything else           executed; number, CRC and answer are kept until the floor passes it

so numbers may arrive in any order: 7 refused at the door, 8 applied, 7 retried and then applied.
All of this is replicated state: it depends on the log alone, is part of every snapshot, and every
limit is a constant of the format. The order of the tables is that of application, never of a hash.

A kept answer is one bytes object (number, CRC, and the result in the very form in which it
travels): it costs the collector nothing and makes a snapshot of the table one join.
"""

from __future__ import annotations

import hashlib
import logging
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from operator import length_hint
from typing import BinaryIO, Final
from zlib import crc32

from raftd.core.effects import Event
from raftd.machine import session_table as tables
from raftd.machine.protocol import (
    HOOKS,
    Attached,
    Host,
    MachineError,
    MachineFailure,
    SeesApplied,
    SeesEvents,
    StateMachine,
    describe,
)
from raftd.machine.session_table import FORMAT_1, KEPT_HEAD, RESULT_AT, Limits, Session
from raftd.wire import batch as wire
from raftd.wire.errors import WireError

ERROR_BYTES_MAX: Final = 4096

log = logging.getLogger(__name__)


def _result(status: int, answer: bytes) -> bytes:
    return wire.RESULT_HEAD.pack(status, len(answer)) + answer


_STALE: Final = _result(wire.SEQ_STALE, b"number at or below the session's floor; not executed now")
_REUSED: Final = _result(
    wire.SEQ_REUSED, b"number used before for another command; not executed now"
)
_FULL: Final = _result(
    wire.SESSION_FULL, b"no room for the answer; not executed now; send it again"
)
_EXPIRED: Final = (wire.SESSION_EXPIRED, b"session unknown or expired; not executed now")


class Sessions:
    """The node's MachineHost: all methods on the machine's owner thread.

    limits: constants of the format; only a test passes others, and then to every replica.
    """

    def __init__(self, machine: StateMachine, limits: Limits = FORMAT_1) -> None:
        self.machine = machine
        self.quick: bool = bool(getattr(machine, "quick", False))
        self.watches: bool = any(hasattr(machine, name) for name in HOOKS)
        self._limits = limits
        self._sessions: OrderedDict[int, Session] = OrderedDict()
        self._kept_numbers = 0
        self._kept_bytes = 0
        self._commands: Iterator[tuple[int, bytes]] = iter(())

    def apply_batch(self, index: int, term: int, payload: bytes) -> bytes:
        """Apply one BATCH entry and return its encoded results (wire.batch).

        Raises MachineFailure, and then the entry does not count as applied and the node must stop:
        the payload is none that this version's door lets in, or the machine raised something else
        than MachineError.
        """
        try:
            batch = wire.decode_batch(payload)
        except WireError as error:
            raise MachineFailure(
                f"entry {index} (term {term}) cannot be applied: {error}"
            ) from error
        kind = batch.kind
        self._commands = iter(batch.commands)
        if kind == wire.IN_SESSION:
            session = self._sessions.get(batch.session)
            if session is None:
                return wire.encode_results([_EXPIRED] * len(batch.commands))
            self._sessions.move_to_end(batch.session)
            return self._apply_in_session(session, index, term, batch)
        if kind == wire.PLAIN:
            return self._apply_plain(index, term, batch)
        if kind == wire.OPEN:
            return self._open(index)
        return self._close(batch.session)

    def commands_left(self) -> int:
        """Of the entry that is being applied. Any thread; costs the hot path nothing."""
        return length_hint(self._commands)

    def query(self, request: bytes) -> tuple[int, bytes]:
        """(OK, answer) or (MACHINE_ERROR, message).

        A query changes nothing, so a bug in one is logged and answered, not fatal.
        """
        try:
            answer: object = self.machine.query(request)
            if isinstance(answer, bytes):
                return wire.OK, answer
            raise TypeError(f"it answered {type(answer).__name__}, not bytes")
        except MachineError as error:
            return wire.MACHINE_ERROR, _message(error)
        except Exception as error:
            log.exception("the machine's query raised; it should answer or raise MachineError")
            return wire.MACHINE_ERROR, _message(MachineError(f"query failed: {describe(error)}"))

    def capture(self) -> tuple[bytes, Iterable[bytes]]:
        """(sessions' bytes, chunks of the machine's), both of this moment.

        The chunks may be iterated on another thread while applying goes on.
        """
        return tables.dump(self._sessions), self.machine.capture()

    def sessions(self) -> bytes:
        """The sessions' bytes of this moment: they belong to the state of the same moment."""
        return tables.dump(self._sessions)

    def attach(self, services: Host) -> None:
        """Hand the node's services to a machine that wants them. Any exception is fatal."""
        if isinstance(self.machine, Attached):
            self.machine.attach(services)

    def on_applied(self, index: int) -> None:
        """Part of applying: any exception is fatal."""
        if isinstance(self.machine, SeesApplied):
            self.machine.on_applied(index)

    def on_event(self, event: Event) -> None:
        """An event changes no replicated state, so a bug here is logged and not fatal."""
        if not isinstance(self.machine, SeesEvents):
            return
        try:
            self.machine.on_event(event)
        except Exception:
            log.exception("the machine's on_event raised; the event was: %s", event)

    def restore(self, sessions: bytes, body: BinaryIO) -> None:
        """Replace sessions (b"": none) and state; seconds for millions of keys.

        Any thread, as long as no other method is called meanwhile. Raises MachineFailure; what is
        held then is of no use and the node has to stop.
        """
        try:
            table = tables.load(sessions)
            self.machine.restore(body)
        except Exception as error:
            raise MachineFailure(
                f"the snapshot cannot be restored: {describe(error)}; start with the machine that"
                " wrote it, or with an empty directory"
            ) from error
        self._sessions = table
        self._kept_numbers = sum(len(session.applied) for session in table.values())
        self._kept_bytes = sum(session.kept_bytes for session in table.values())

    def digest(self) -> bytes:
        """Over all that a snapshot holds, as of now; costs a walk over the whole state."""
        return self.digest_of(*self.capture())

    def digest_of(self, sessions: bytes, chunks: Iterable[bytes]) -> bytes:
        """SHA-256 of what `capture` returned; equal on all nodes at an equal index. Any thread."""
        whole = hashlib.sha256(sessions)
        for chunk in chunks:
            whole.update(chunk)
        return whole.digest()

    def session_count(self) -> int:
        return len(self._sessions)

    def _open(self, index: int) -> bytes:
        self._sessions[index] = Session()
        self._expire()
        return wire.encode_results([(wire.OK, wire.SESSION_ID.pack(index))])

    def _close(self, number: int) -> bytes:
        """Closing what is gone is no error: a client may retry its farewell."""
        self._forget(self._sessions.pop(number, None))
        return wire.encode_results([(wire.OK, b"")])

    def _expire(self) -> None:
        """Drop the least recently used sessions, in log order, until all limits hold.

        The one just used stays.
        """
        limits = self._limits
        while len(self._sessions) > 1 and (
            len(self._sessions) > limits.sessions
            or self._kept_numbers > limits.all_numbers
            or self._kept_bytes > limits.all_bytes
        ):
            self._forget(self._sessions.popitem(last=False)[1])

    def _forget(self, session: Session | None) -> None:
        if session is not None:
            self._kept_numbers -= len(session.applied)
            self._kept_bytes -= session.kept_bytes

    def _apply_plain(self, index: int, term: int, batch: wire.Batch) -> bytes:
        parts = [wire.RESULTS_HEADER.pack(wire.VERSION, len(batch.commands))]
        room = self._limits.results_bytes
        offset = 0
        try:
            for offset, (_, command) in enumerate(self._commands):  # noqa: B007 - see except
                result = _FULL if room < 0 else self._answer(command)
                room -= len(result)
                parts.append(result)
        except Exception as error:
            raise _failure(index, term, offset, len(batch.commands), error) from error
        return b"".join(parts)

    def _apply_in_session(
        self, session: Session, index: int, term: int, batch: wire.Batch
    ) -> bytes:
        """The hot path: everything in locals, one look-up and one store per command."""
        numbers_before, bytes_before = len(session.applied), session.kept_bytes
        session.raise_floor(batch.floor)
        applied, floor, limits = session.applied, session.floor, self._limits
        apply, pack, answer_max = self.machine.apply, KEPT_HEAD.pack, limits.answer_bytes
        number_room = limits.session_numbers - len(applied)
        byte_room = limits.session_bytes - session.kept_bytes
        room = limits.results_bytes
        parts = [wire.RESULTS_HEADER.pack(wire.VERSION, len(batch.commands))]
        offset = 0
        try:
            for offset, (seq, command) in enumerate(self._commands):  # noqa: B007 - see except
                if room < 0:
                    parts.append(_FULL)
                    continue
                crc = crc32(command)
                if seq in applied:
                    result = _again(applied[seq], crc)
                elif seq <= floor:
                    result = _STALE
                elif number_room <= 0 or byte_room <= 0:
                    result = _FULL
                else:
                    try:
                        answer = apply(command)
                        if len(answer) > answer_max:
                            raise _too_long(answer)
                        kept = pack(seq, crc, wire.OK, len(answer)) + answer
                    except MachineError as error:
                        message = _message(error)
                        kept = pack(seq, crc, wire.MACHINE_ERROR, len(message)) + message
                    applied[seq] = kept
                    number_room -= 1
                    byte_room -= len(kept)
                    result = kept[RESULT_AT:]
                room -= len(result)
                parts.append(result)
        except Exception as error:
            raise _failure(index, term, offset, len(batch.commands), error) from error
        session.kept_bytes = limits.session_bytes - byte_room
        self._kept_numbers += len(applied) - numbers_before
        self._kept_bytes += session.kept_bytes - bytes_before
        self._expire()
        return b"".join(parts)

    def _answer(self, command: bytes) -> bytes:
        try:
            answer = self.machine.apply(command)
            if len(answer) > self._limits.answer_bytes:
                raise _too_long(answer)
            return wire.RESULT_HEAD.pack(wire.OK, len(answer)) + answer
        except MachineError as error:
            return _result(wire.MACHINE_ERROR, _message(error))


def _again(kept: bytes, crc: int) -> bytes:
    """The result for a number that was applied before."""
    return kept[RESULT_AT:] if KEPT_HEAD.unpack_from(kept)[1] == crc else _REUSED


def _message(error: MachineError) -> bytes:
    """Its text in bounds; cut between characters, and equal on all nodes as its text is."""
    data = str(error).encode("utf-8", "backslashreplace")[:ERROR_BYTES_MAX]
    return data.decode("utf-8", "ignore").encode()


def _too_long(answer: bytes) -> MachineError:
    return MachineError(f"the command was applied, but its answer is too long: {len(answer)} bytes")


def _failure(index: int, term: int, offset: int, count: int, error: Exception) -> MachineFailure:
    return MachineFailure(
        f"entry {index} (term {term}), command {offset} of {count}: the machine raised"
        f" {describe(error)}; it is not applied; correct the machine on all nodes and restart"
    )
