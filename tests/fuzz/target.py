"""What a decoder owes to any bytes: it takes them, or refuses them by its own error in one line.

Anything else is a finding: another exception (a subclass of the declared error too), a text of more
than one line, memory out of proportion, a hang; and, since a target raises AssertionError for it,
bytes that were taken and do not encode back to the same, or to what decodes to the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


class NotOneLine(AssertionError):
    """A refusal that an operator could not read, or that forges a line of the log."""


@dataclass(frozen=True, slots=True)
class Target:
    """run: returns, or raises exactly one of `refuses`. seeds: made by our own encoders.

    decoders: the modules whose coverage counts, by path from the root; words: what the fuzzer may
    paste in.
    """

    name: str
    run: Callable[[bytes], None]
    refuses: tuple[type[Exception], ...]
    seeds: tuple[bytes, ...]
    decoders: tuple[str, ...]
    words: tuple[bytes, ...] = ()


def attempt(target: Target, data: bytes) -> bool:
    """True: taken, False: rightly refused. Whatever is a finding is raised."""
    try:
        target.run(data)
    except target.refuses as error:
        if type(error) not in target.refuses:
            raise
        for line in getattr(error, "lines", None) or [str(error)]:
            if not line or not line.isprintable():
                raise NotOneLine(f"{type(error).__name__}: {line!r}") from error
        return False
    return True


class Fields:
    """Bytes as a source of numbers and strings: for targets that build what they decode.

    At the end it gives zeros and empty strings, so every input means something.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        """Is anything left?"""
        return self._at < len(self._data)

    def take(self, size: int) -> bytes:
        part = self._data[self._at : self._at + size]
        self._at += size
        return part

    def number(self, size: int = 1) -> int:
        return int.from_bytes(self.take(size), "little")

    def wide(self) -> int:
        """Mostly small; every 64-bit number is possible."""
        size = self.number()
        return size if size < 250 else self.number(8)

    def blob(self, head: int = 1) -> bytes:
        """A length of `head` bytes, and as many bytes as it says, if there are so many."""
        return self.take(self.number(head))

    def rest(self) -> bytes:
        return self.take(len(self._data))


def framed(*parts: bytes, head: int = 2) -> bytes:
    """What `Fields.blob(head)` takes apart."""
    return b"".join(len(part).to_bytes(head, "little") + part for part in parts)
