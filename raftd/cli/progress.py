"""A progress bar: on a terminal only, redrawn a few times a second at most."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Protocol, Self

WIDTH = 30
REDRAW_SECONDS = 0.1


class Stream(Protocol):
    """As much of a text stream as a bar needs."""

    def isatty(self) -> bool: ...

    def write(self, text: str, /) -> int: ...

    def flush(self) -> None: ...


class Progress:
    """`with Progress(sys.stderr, total) as bar: bar.show(done)`; the line goes at the end."""

    def __init__(self, stream: Stream, total_bytes: int) -> None:
        self._stream = stream
        self._total = max(1, total_bytes)
        self._shown = stream.isatty()
        self._next = 0.0

    def show(self, done_bytes: int) -> None:
        """So many bytes are done."""
        if not self._shown or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + REDRAW_SECONDS
        share = min(1.0, done_bytes / self._total)
        bar = ("#" * round(share * WIDTH)).ljust(WIDTH)
        self._stream.write(f"\r[{bar}] {share:4.0%} {done_bytes >> 20}/{self._total >> 20} MiB")
        self._stream.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
