"""Sessions round any state machine: a command is applied once, however often it arrives.

Theory of operation. A client opens a session through the log; the session's id is random bytes that
its client drew and the index of that entry (wire/session_id), so nobody else can name it, and the
wrong name of a session is answered like that of one which is gone. Within it the client numbers its
commands, and with each batch says up to which number it has all answers (the floor; never above
what was sent). Here, *at the moment of applying*, a number is

    at or below the floor   SEQ_STALE, never executed
    applied before          the same answer again, errors too; with another CRC, SEQ_REUSED
    anything else           executed; number, CRC and answer are kept until the floor passes it

so numbers may arrive in any order: 7 refused at the door, 8 applied, 7 retried and then applied.
All of this is replicated state: it depends on the log alone, is part of every snapshot, and every
limit is a constant of the format. The order of the tables is that of application, never of a hash.
Entries of version 1 are applied by the rules of version 1, or a log and a snapshot of that time
would come to different states.

A kept answer is one bytes object (number, CRC, and the result in the very form in which it
travels): it costs the collector nothing and makes a snapshot of the table one join.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Generator, Iterable, Iterator, Sequence
from operator import length_hint
from types import GeneratorType
from typing import Any, BinaryIO
from zlib import crc32

from raftd.core.effects import Event
from raftd.machine import answers
from raftd.machine import session_table as tables
from raftd.machine.pieces import Pieces, begun
from raftd.machine.principals import AsWhom
from raftd.machine.protocol import (
    HOOKS,
    AnswerLost,
    Attached,
    MachineError,
    MachineFailure,
    NodeHandle,
    SeesApplied,
    SeesEvents,
    StateMachine,
    describe,
    parts_of,
)
from raftd.machine.session_table import FORMAT_1, KEPT_HEAD, RESULT_AT, Limits, Session, Table
from raftd.wire import batch as wire
from raftd.wire import session_id
from raftd.wire.errors import WireError
from raftd.wire.principal import NOBODY

log = logging.getLogger(__name__)


class Sessions:
    """The node's MachineHost: all methods on the machine's owner thread. limits: constants of the
    format; only a test passes others, and then to every replica."""

    def __init__(self, machine: StateMachine, limits: Limits = FORMAT_1) -> None:
        self.machine = machine
        self.quick: bool = bool(getattr(machine, "quick", False))
        self.watches: bool = any(hasattr(machine, name) for name in HOOKS)
        self._on_applied = machine.on_applied if isinstance(machine, SeesApplied) else None
        self._as = AsWhom(machine)
        self._limits = limits
        self._sessions: Table = Table()
        self._taken_ms = 0
        self._kept_numbers = 0
        self._kept_bytes = 0
        self._commands: Iterator[tuple[int, bytes]] = iter(())

    def apply_batch(self, index: int, term: int, payload: bytes) -> bytes | Pieces[bytes]:
        """Apply one BATCH entry and return its encoded results (wire.batch), or what returns them
        after some pieces of work.

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
        if batch.taken_ms > self._taken_ms:  # clocks differ between leaders: this one never falls
            self._taken_ms = batch.taken_ms
        kind = batch.kind
        self._commands = iter(batch.commands)
        if kind == wire.IN_SESSION:
            session = self._used(batch)
            if session is None:
                return wire.encode_results([answers.EXPIRED] * len(batch.commands))
            if batch.floor >= batch.commands[-1][0] and _is_ahead(batch, session):
                return wire.encode_results([answers.AHEAD] * len(batch.commands))
            return begun(self._apply_in_session(session, index, term, batch))
        if kind == wire.PLAIN:
            return begun(self._apply_plain(index, term, batch))
        if kind == wire.OPEN:
            return self._open(index, batch)
        return self._close(batch)

    def commands_left(self) -> int:
        """Of the entry that is being applied. Any thread; costs the hot path nothing."""
        return length_hint(self._commands)

    def query(
        self, request: bytes, principal: bytes = NOBODY
    ) -> answers.Read | Generator[None, None, answers.Read]:
        """(OK, answer) or (MACHINE_ERROR, message), or what returns it after some pieces of work.
        principal: who asks, as in wire.principal.
        """
        try:
            answer = self._as.query(principal, request)
            if isinstance(answer, GeneratorType):
                return answers.in_pieces(answer)
            return answers.of_read(answer)
        except Exception as error:  # noqa: BLE001  a bug in a query is not fatal
            return answers.of_failed_read(error)

    def capture(self) -> tuple[bytes, Iterable[bytes]]:
        """(sessions' bytes, chunks of the machine's), of this moment. Chunks: for any thread."""
        return tables.dump(self._sessions, self._taken_ms), self.machine.capture()

    def sessions(self) -> bytes:
        """The sessions' bytes of this moment."""
        return tables.dump(self._sessions, self._taken_ms)

    def attach(self, node: NodeHandle) -> None:
        """Hand the node to a machine that wants it. Any exception is fatal."""
        if isinstance(self.machine, Attached):
            self.machine.attach(node)

    def on_applied(self, index: int) -> object:
        """Part of applying: any exception is fatal."""
        return None if self._on_applied is None else self._on_applied(index)

    def on_event(self, event: Event) -> None:
        """An event changes no replicated state, so a bug here is logged and not fatal."""
        if not isinstance(self.machine, SeesEvents):
            return
        try:
            self.machine.on_event(event)
        except Exception:
            log.exception("the machine's on_event raised; the event was: %s", event)

    def parts(self) -> Sequence[tuple[str, Iterable[bytes]]]:
        """(name, chunks) of each part of the state as of now; chunks as those of `capture`."""
        held = tables.frozen(self._sessions, self._taken_ms)
        return [("sessions", held), *parts_of(self.machine)]

    def restore(self, sessions: bytes, body: BinaryIO) -> None:
        """Replace sessions (b"": none) and state; seconds for millions of keys.

        Any thread, as long as no other method is called meanwhile. Raises MachineFailure; what is
        held then is of no use and the node has to stop.
        """
        try:
            table, taken_ms = tables.load(sessions)
            self.machine.restore(body)
        except Exception as error:
            raise MachineFailure(
                f"the snapshot cannot be restored: {describe(error)}; start with the machine that"
                " wrote it, or with an empty directory"
            ) from error
        self._sessions, self._taken_ms = table, taken_ms
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

    def _used(self, batch: wire.Batch) -> Session | None:
        """The session of a batch, now the most recently used; None: nobody has this id."""
        key = tables.key_of(batch.session)
        session = self._sessions.get(key)
        if session is None or session.id != batch.session:
            return None
        self._sessions.move_to_end(key)
        session.used_ms = batch.taken_ms
        return session

    def _open(self, index: int, batch: wire.Batch) -> bytes:
        """Opening again what is open answers with the same id: an attempt may come twice."""
        if batch.version == wire.VERSION_1:
            id = session_id.of_version_1(index)
        else:
            id = session_id.with_index(batch.session, index)
        key = tables.key_of(id)
        session = self._sessions.get(key)
        if session is None:
            session = self._sessions[key] = Session(id, batch.principal)
        self._sessions.move_to_end(key)
        session.used_ms = batch.taken_ms
        self._expire()
        return wire.encode_results([(wire.OK, session.id)])

    def _close(self, batch: wire.Batch) -> bytes:
        """Closing what is gone is no error: a client may retry its farewell."""
        if self._used(batch) is not None:
            self._forget(self._sessions.pop(tables.key_of(batch.session)))
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

    def _forget(self, session: Session) -> None:
        self._kept_numbers -= len(session.applied)
        self._kept_bytes -= session.kept_bytes

    def _apply_plain(self, index: int, term: int, batch: wire.Batch) -> Pieces[bytes]:
        parts = [wire.RESULTS_HEADER.pack(wire.RESULTS_VERSION, len(batch.commands))]
        room = self._limits.results_bytes
        offset, apply = 0, self._as.applying(batch.principal)
        try:
            for offset, (_, command) in enumerate(self._commands):  # noqa: B007 - see except
                if room < 0:
                    result = answers.FULL
                else:
                    limit = self._limits.answer_bytes
                    result = yield from answers.of_command(apply, command, limit, batch.version)
                room -= len(result)
                parts.append(result)
        except Exception as error:
            raise answers.failure(index, term, offset, len(batch.commands), error) from error
        return b"".join(parts)

    def _apply_in_session(
        self, session: Session, index: int, term: int, batch: wire.Batch
    ) -> Pieces[bytes]:
        """The hot path: everything in locals, one look-up and one store per command."""
        numbers_before, bytes_before = len(session.applied), session.kept_bytes
        session.raise_floor(batch.floor)
        applied, floor, limits = session.applied, session.floor, self._limits
        apply, pack = self._as.applying(batch.principal), KEPT_HEAD.pack
        answer_max = limits.answer_bytes
        number_room = limits.session_numbers - len(applied)
        byte_room = limits.session_bytes - session.kept_bytes
        room = limits.results_bytes
        parts = [wire.RESULTS_HEADER.pack(wire.RESULTS_VERSION, len(batch.commands))]
        offset: int = 0
        answer: Any = b""
        try:
            for offset, (seq, command) in enumerate(self._commands):  # noqa: B007 - see except
                if room < 0:
                    parts.append(answers.FULL)
                    continue
                crc = crc32(command)
                if seq in applied:
                    result = answers.again(applied[seq], crc)
                elif seq <= floor:
                    result = answers.STALE
                elif number_room <= 0 or byte_room <= 0:
                    result = answers.FULL
                else:
                    try:
                        answer, status = apply(command), wire.OK
                        if type(answer) is GeneratorType:
                            answer = yield from answer
                        if len(answer) > answer_max:
                            status, answer = answers.too_long(answer, answer_max, batch.version)
                        kept = pack(seq, crc, status, len(answer)) + answer
                    except (MachineError, AnswerLost) as error:
                        status, message = answers.raised(error)
                        kept = pack(seq, crc, status, len(message)) + message
                    applied[seq] = kept
                    number_room -= 1
                    byte_room -= len(kept)
                    result = kept[RESULT_AT:]
                room -= len(result)
                parts.append(result)
        except Exception as error:
            why = answers.blame(answer, error)
            raise answers.failure(index, term, offset, len(batch.commands), why) from error
        session.kept_bytes = limits.session_bytes - byte_room
        self._kept_numbers += len(applied) - numbers_before
        self._kept_bytes += session.kept_bytes - bytes_before
        self._expire()
        return b"".join(parts)


def _is_ahead(batch: wire.Batch, session: Session) -> bool:
    """Is its floor above every number that this or an earlier batch of the session brought?"""
    highest = max(session.highest(), max(seq for seq, _ in batch.commands))
    return batch.floor > highest and batch.version != wire.VERSION_1
