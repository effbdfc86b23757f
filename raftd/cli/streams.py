"""The standard streams, made fit for whatever a command has to print."""

from __future__ import annotations

import io
import os
import sys


def prepare() -> None:
    """Call first in a program. Main thread.

    Text that the terminal's encoding cannot show is escaped: without this a key like "ä" on a
    terminal that knows ASCII only ends in a traceback, with an exit code that means something else.
    """
    _fill()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _fill() -> None:
    """Open what is closed: the next file opened would get the number of a closed stderr, and the
    log lines of this process would go into its own data.
    """
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
