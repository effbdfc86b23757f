"""The client's session in the log: numbers, and the floor below which all is settled."""

from __future__ import annotations

from collections import deque

from raftd.client.delivery.calls import PendingCall
from raftd.wire import session_id

WINDOW_MAX = 8192
"""Numbers above the floor at any time: half of what the cluster keeps for one session."""


class SessionState:
    """Hands out the numbers of one open session at a time.

    A command's number is fixed when it is first written to a stream and stays through every retry
    in that session: that is what makes a retry exactly-once. The floor tells the cluster which
    answers it may forget. It never passes a number whose caller still waits, and it does pass those
    that callers gave up. On the client's loop only.
    """

    def __init__(self) -> None:
        self.id = b""
        """Empty: none is open."""
        self._nonce = b""
        self._next = 1
        self._open: deque[PendingCall] = deque()

    def nonce(self) -> bytes:
        """The secret half of the id of the session that is to be opened.

        The same until one is open: then an attempt without an answer leaves no session behind.
        """
        self._nonce = self._nonce or session_id.draw()
        return self._nonce

    def opened(self, session: bytes) -> None:
        """Raises WireError if it is no id."""
        self.id = session_id.checked(session)
        self._nonce = b""
        self._next = 1
        self._open.clear()

    def expired(self, session: bytes) -> None:
        """The cluster does not know it any more. Harmless for a session that was replaced."""
        if session == self.id:
            self.id = b""
            self._open.clear()

    def floor(self) -> int:
        """Every number up to this one has its answer or was given up."""
        waiting = self._open
        while waiting and waiting[0].settled:
            waiting.popleft()
        return (waiting[0].first_seq if waiting else self._next) - 1

    def admit(self, call: PendingCall) -> bool:
        """Number the call if it has no place in this session. False: no session, or no room."""
        if not self.id:
            return False
        if call.session == self.id:
            return True
        count = len(call.commands)
        if self._open and self._next + count - 1 - self.floor() > WINDOW_MAX:
            return False
        call.session = self.id
        call.first_seq = self._next
        self._next += count
        self._open.append(call)
        return True
