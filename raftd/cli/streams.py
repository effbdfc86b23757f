"""The standard streams, made fit for whatever a command has to print."""

from __future__ import annotations

import io
import os
import sys

OUTPUT_LOST = 74
"""EX_IOERR of sysexits.h. The story without it: `raftctl get KEY > FILE` on a full disk ended with
1, which means that there is no such key, and a traceback.
"""


def prepare() -> None:
    """Call first in a program. Main thread.

    Text that the terminal's encoding cannot show is escaped: without this a key like "ä" on a
    terminal that knows ASCII only ends in a traceback, with an exit code that means something else.
    """
    _fill()
    if sys.stdout is None:  # it was closed (`>&-`), and what is printed goes nowhere
        sys.stdout = os.fdopen(1, "w")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # The story without lines: a script that read from a pipe never learned that
            # `raftctl lock -w json` held the lock.
            stream.reconfigure(errors="backslashreplace", line_buffering=True)


def drop_stdout() -> None:
    """Or the interpreter complains about what it could not write once more when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def output_lost(program: str, error: OSError) -> int:
    """The exit code, once the user was told. Raises the error again if it is not about stdout."""
    if error.filename is not None:
        raise error
    drop_stdout()
    line = f"{program}: the output cannot be written: {error.strerror}; what was asked may be done"
    print(line, file=sys.stderr)
    return OUTPUT_LOST


def _fill() -> None:
    """Open what is closed: the next file opened would get the number of a closed stderr, and the
    log lines of this process would go into its own data.
    """
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
