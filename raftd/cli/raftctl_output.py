"""How raftctl shows things.

Bytes stay what they are: raw on stdout, or base64 in JSON, never guessed.
"""

from __future__ import annotations

import json
import sys
from base64 import b64encode
from collections.abc import Sequence
from typing import Any


def base64_of(data: bytes) -> str:
    """What every JSON field whose name ends in _base64 holds."""
    return b64encode(data).decode("ascii")


def show_json(value: Any) -> None:
    """One line, keys in the order given."""
    print(json.dumps(value))


def show_raw(data: bytes) -> None:
    """Exactly these bytes; a terminal also gets the end of the line."""
    sys.stdout.flush()
    sys.stdout.buffer.write(data)
    if sys.stdout.isatty() and not data.endswith(b"\n"):
        sys.stdout.buffer.write(b"\n")
    sys.stdout.buffer.flush()


def show_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Columns aligned with spaces, numbers to the right."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [
        max(len(title), *(len(row[column]) for row in cells)) if cells else len(title)
        for column, title in enumerate(header)
    ]
    numeric = [
        all(isinstance(row[column], int) or row[column] is None for row in rows)
        for column in range(len(header))
    ]
    for line in [list(header), *cells]:
        print("  ".join(
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(line, widths, numeric)
        ).rstrip())  # fmt: skip


def printable(data: bytes, longest: int = 60) -> str:
    """Bytes in a line of text: UTF-8 where it is printable, else backslash escapes; cut when long.

    No bytes at all are shown as "", so that they differ from a cell without a value.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = "\\"
    if not text.isprintable() or "\\" in text:
        text = repr(data)[2:-1]
    if not text:
        return '""'
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def complain(message: str) -> None:
    """One line on stderr."""
    print(f"raftctl: {' '.join(message.split())}", file=sys.stderr)


def _cell(value: object) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
