"""What a client, or whatever holds one, says when a program sends it to another process."""

from __future__ import annotations

from typing import NoReturn

UNSENT = (
    "a raftd client cannot be sent to another process, nor copied: send its endpoints, and make a "
    "client there"
)


class Unsent:
    """A base of whatever holds a client's connections; who holds that cannot be sent either."""

    def __reduce__(self) -> NoReturn:
        """For pickle and copy. Raises TypeError, as whatever cannot be pickled does."""
        raise TypeError(UNSENT)
