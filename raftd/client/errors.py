"""What can go wrong, sorted by the one question that matters to a caller: was it done?

    NotDone          certainly not, and it will not be done later: safe to do again
      Overloaded       a limit was reached, here or at the node
      Unavailable      no leader was found or reached in time
      NotAcquired      a lock or a leadership was not to be had in time
      WrongProcess     no client can work in this process (it was forked, or patched)
    OutcomeUnknown   perhaps; now, later or never. Read before doing it again
      SessionExpired   ... because the session that protected the retry is gone
    Refused          certainly not, and asking again will not help
      Invalid          a limit or field that no node would accept
      NotAllowed       the client's user may not do that, or is not who it says
      MachineError     the state machine's own deterministic answer
        NoSpace        ... which is that the store has reached its quota
      Compacted        what is asked for is older than the history that is kept
      LockLost         what was held is not held any more: its lease has ended
    AnswerTooLong    certainly done, once; but its answer passed a limit and is gone
    ProtocolError    an answer that makes no sense; nothing can be said about what was done
    BulkError        some of many failed; `results` has each one's own answer or error

A query changes nothing, so its failures are never OutcomeUnknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

Answer = TypeVar("Answer")


class RaftdError(Exception):
    """The base of all errors of this package.

    message: one line: what happened, where, and the next step.
    endpoint: the address that gave the last answer or failure, "" if none did.
    """

    def __init__(self, message: str, *, endpoint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.endpoint = endpoint


class NotDone(RaftdError):
    """Certainly not done and never will be by this call: safe to do again."""


class Overloaded(NotDone):
    """A limit was reached at a node's door or in this client's queue: try again later, or
    slower.
    """


class Unavailable(NotDone):
    """No leader could be found or reached before the deadline."""


class NotAcquired(NotDone):
    """Others held the lock, or led, until the deadline. Nothing is left of the attempt."""


class WrongProcess(NotDone):
    """No client can work here: the process was forked from a user of one, or patched by gevent."""


class OutcomeUnknown(RaftdError):
    """It may have been done, or be done later, or never.

    session, seq: the index of the entry that opened the command's session, and its number there
    (0: none), to find it in traces.
    """

    def __init__(self, message: str, *, endpoint: str = "", session: int = 0, seq: int = 0) -> None:
        super().__init__(message, endpoint=endpoint)
        self.session = session
        self.seq = seq


class SessionExpired(OutcomeUnknown):
    """The session is gone from the cluster while an earlier attempt had no answer.

    A session that expired with no attempt outstanding never shows: the client opens another.
    """


class Refused(RaftdError):
    """Certainly not done, and it never will be as it is."""


class Invalid(Refused):
    """A field or limit is wrong; `message` names it."""


class NotAllowed(Refused):
    """The user may not do that, or the password is wrong, or nobody was named and must be."""


class MachineError(Refused):
    """The state machine's deterministic refusal: every node gives the same one."""


class NoSpace(MachineError):
    """The store has reached `quota_bytes`: what makes it grow is refused until there is room.

    Deletes, compactions and reads go on.
    """


class Compacted(Refused):
    """The revision that is asked for is older than what is kept.

    oldest: the first revision that can still be read or watched, 0 if it was not told.
    """

    def __init__(self, message: str, *, endpoint: str = "", oldest: int = 0) -> None:
        super().__init__(message, endpoint=endpoint)
        self.oldest = oldest


class LockLost(Refused):
    """A lock, a leadership or a lease has ended before its holder ended it."""


class AnswerTooLong(RaftdError):
    """The command was done, and stays done; its answer passed a limit and cannot be had any more.

    Never do it again for the answer's sake: read what it left, and let the machine answer shorter.
    """


class ProtocolError(RaftdError):
    """An answer that this client cannot understand: mixed versions, or a bug. Report it."""


class BulkError(RaftdError, Generic[Answer]):
    """Some commands of a bulk call failed.

    results: one a command, in order: its answer, or the RaftdError that befell it. Empty where
    only the message has come from another process.

    It can be made of its message alone, as pickle does before it sets the fields. The story without
    that: a pool of multiprocessing could not read what its worker raised, and its parent waited for
    ever.
    """

    def __init__(self, message: str, results: Sequence[Answer | RaftdError] = ()) -> None:
        super().__init__(message)
        self.results = results

    @property
    def failed(self) -> int:
        return sum(isinstance(result, RaftdError) for result in self.results)

    @property
    def unknown(self) -> int:
        return sum(isinstance(result, OutcomeUnknown) for result in self.results)
