"""Calls into the node from other threads: each is a future, and fails by one of four errors."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future
from typing import Any, TypeVar

from raftd.node.outcomes import Answered, Applied, Outcome, Refusal, Refused, Unknown
from raftd.wire.results import ANSWER_TOO_LONG, OK, STATUS_NAMES, decode_results

Answer = TypeVar("Answer")

CALLS_MAX = 16_384
"""Calls that wait for their answers. One more is NotDone at once."""


class NotDone(Exception):
    """Certainly not done, and it never will be by this call: safe to do again. One line."""


class NotLeader(NotDone):
    """This node does not lead. leader: the id of the node that does, "" if none is known.

    It can be made of its message alone, as pickle does before it sets the fields.
    """

    def __init__(self, message: str, leader: str = "") -> None:
        super().__init__(message)
        self.leader = leader


class OutcomeUnknown(Exception):
    """It is in the log: it may have been applied, or be applied later, or never. One line."""


class MachineRefused(Exception):
    """The machine refused the command or the query, as it does on every node. One line."""


class AnswerTooLong(Exception):
    """The command was applied, but its answer passed a limit and is gone. Do not do it again."""


class Call(Future[Answer]):
    """An answer to come. `result(timeout)` waits for it in any thread; `await call` in any loop.

    Raises the errors of this module; TimeoutError of `result` leaves the call under way.
    """

    def __init__(self, network_thread: int, changes: bool) -> None:
        super().__init__()
        self._network_thread = network_thread
        self.changes = changes
        """A query changes nothing, so its outcome is never unknown."""

    def result(self, timeout: float | None = None) -> Answer:
        """Raises RuntimeError on the node's own thread: the answer could never come."""
        if threading.get_ident() == self._network_thread and not self.done():
            raise RuntimeError("do not wait for a call on the node's own thread: add a callback")
        return super().result(timeout)

    def __await__(self) -> Generator[None, None, Answer]:
        return asyncio.wrap_future(self).__await__()


class Calls:
    """Makes calls and settles them. Any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: set[Call[Any]] = set()
        self._ended = ""

    def make(self, network_thread: int, changes: bool) -> Call[Any]:
        """A new call; one that has failed already if there are too many, or after `end`."""
        call: Call[Any] = Call(network_thread, changes)
        with self._lock:
            ended = self._ended
            full = not ended and len(self._open) >= CALLS_MAX
            if not ended and not full:
                self._open.add(call)
        if ended:
            call.set_exception(NotDone(ended))
        elif full:
            call.set_exception(NotDone(f"{CALLS_MAX} calls are waiting: try again later"))
        return call

    def settle(self, call: Call[Any], read: Callable[[], object]) -> None:
        """Give `call` what `read` returns or raises, unless it was cancelled or is settled."""
        with self._lock:
            if call not in self._open:
                return
            self._open.discard(call)
        if not call.set_running_or_notify_cancel():
            return
        try:
            call.set_result(read())
        except (NotDone, OutcomeUnknown, MachineRefused, AnswerTooLong) as error:
            call.set_exception(error)

    def end(self, why: str) -> None:
        """No more calls. What is open got lost with the node."""
        with self._lock:
            self._ended = why
            left, self._open = self._open, set()
        for call in left:
            if call.set_running_or_notify_cancel():
                call.set_exception(OutcomeUnknown(why) if call.changes else NotDone(why))


def applied(outcome: Outcome) -> bytes:
    """The one command's answer. Raises the errors of this module."""
    if not isinstance(outcome, Applied):
        raise _failure(outcome)
    return _answer(decode_results(outcome.results)[0])


def answered(outcome: Outcome) -> bytes:
    """The one query's answer. Raises NotDone or MachineRefused."""
    if not isinstance(outcome, Answered):
        raise _failure(outcome)
    return _answer(outcome.results[0])


def handed_over(outcome: Outcome) -> str:
    """The new leader's id. Raises NotDone."""
    if not isinstance(outcome, Applied):
        raise _failure(outcome)
    return outcome.results.decode()


def snapshot_index(outcome: Outcome) -> int:
    """The index of the newest snapshot. Raises NotDone."""
    if not isinstance(outcome, Applied):
        raise _failure(outcome)
    return outcome.index


def _answer(result: tuple[int, bytes]) -> bytes:
    status, answer = result
    if status == OK:
        return answer
    if status == ANSWER_TOO_LONG:
        raise AnswerTooLong(answer.decode(errors="replace") or "the answer is too long")
    text = answer.decode(errors="replace")
    raise MachineRefused(text or (STATUS_NAMES[status] if status < len(STATUS_NAMES) else "?"))


def _failure(outcome: Outcome) -> Exception:
    if isinstance(outcome, Unknown):
        return OutcomeUnknown(outcome.message)
    if isinstance(outcome, Refused) and outcome.refusal is Refusal.NOT_LEADER:
        return NotLeader(outcome.message, outcome.leader or "")
    assert isinstance(outcome, Refused), outcome
    return NotDone(outcome.message)
