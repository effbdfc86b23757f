"""python -m raftd.check HISTORY...: linearizable or not, and if not, which operations show it.

Exit codes: 0 all linearizable, 1 one is not, 2 usage or an unreadable history, 4 one is undecided;
of several, the first of 2, 1, 4 that applies.
"""

from __future__ import annotations

import argparse
import gc
import io
import sys
from collections.abc import Sequence
from typing import TextIO

from raftd.check.history import History, HistoryError, read
from raftd.check.judge import (
    LINEARIZABLE,
    METHODS,
    NOT_LINEARIZABLE,
    RULE_BROKEN,
    STEPS_DEFAULT,
    UNDECIDED,
    judge,
)  # fmt: skip

EXIT_CODES = {LINEARIZABLE: 0, NOT_LINEARIZABLE: 1, RULE_BROKEN: 1, UNDECIDED: 4}
EXIT_USAGE = 2


def main(argv: Sequence[str] | None = None, out: TextIO = sys.stdout) -> int:
    """Returns the exit code."""
    arguments = _parser().parse_args(argv)
    gc.disable()  # a million small objects that all stay: the collector would only walk them
    codes = {_judged(path, arguments, out) for path in arguments.history}
    return next((code for code in (EXIT_USAGE, 1, 4) if code in codes), 0)


def _judged(path: str, arguments: argparse.Namespace, out: TextIO) -> int:
    """Judge one history and print the verdict, with its name before it if there are several."""
    try:
        history = _history(path)
    except (OSError, UnicodeDecodeError, HistoryError) as error:
        sys.stderr.write(f"check: {path}: {error}\n")
        return EXIT_USAGE
    verdict = judge(history, arguments.by, arguments.steps, minimise=arguments.minimise)
    name = f"{path}: " if len(arguments.history) > 1 else ""
    out.write(name + "\n".join(verdict.lines()) + "\n")
    return EXIT_CODES[verdict.result]


def _history(path: str) -> History:
    if path == "-":
        return read(sys.stdin)
    with open(path, encoding="utf-8") as lines:
        return read(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m raftd.check",
        description="Are these histories of a key-value store linearizable?",
        epilog="exit codes: 0 all linearizable, 1 one is not, 2 usage or an unreadable history, "
        "4 one is undecided: the step budget ran out, which is no acquittal. "
        "The format is in docs/history-format.md.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "history", metavar="HISTORY", nargs="+", help="JSON lines; - reads standard input"
    )
    parser.add_argument(
        "--by",
        choices=METHODS,
        default="auto",
        help="revisions: fast, needs them in every answer; search: needs none; "
        "auto (default): by revisions if they are there",
    )
    parser.add_argument(
        "--minimise",
        action="store_true",
        help="after a search that found a violation, find the fewest operations that show it "
        "(seconds for each history)",
    )
    parser.add_argument(
        "--steps",
        type=int,
        default=STEPS_DEFAULT,
        metavar="N",
        help=f"give up after N steps (default {STEPS_DEFAULT})",
    )
    return parser


if __name__ == "__main__":
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # keys may be anything, terminals not
    raise SystemExit(main())
