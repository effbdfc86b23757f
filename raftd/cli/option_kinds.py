"""The kinds of values that raftctl's options take. All raise ArgumentTypeError."""

from __future__ import annotations

import argparse
import re

_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0}


def seconds(text: str) -> float:
    """Of a time of up to an hour, as in 500ms."""
    match = _DURATION.fullmatch(text)
    found = float(match.group(1)) * _SECONDS[match.group(2)] if match else 0.0
    if not 0 < found <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r}: expected 1ms to 60m, as in 500ms, 5s or 2m")
    return found


def number(text: str) -> int:
    """Of 19 digits at most."""
    if not re.fullmatch(r"[0-9]{1,19}", text):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number, 0 or more")
    return int(text)


def given(text: str) -> str:
    """Any text but an empty one.

    An empty text is what a variable of the shell that is not set leaves: to go on by the
    environment would be another identity, or other nodes, than the caller had in mind.
    """
    if not text:
        raise argparse.ArgumentTypeError("expected a value; leave the option out to give none")
    return text
