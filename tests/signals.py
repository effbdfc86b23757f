"""Signals that a child process is born with."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def born_with(
    number: signal.Signals, action: Callable[..., Any] | signal.Handlers
) -> Iterator[None]:
    """Main thread. A child that starts meanwhile ignores the signal if `action` is SIG_IGN, else it
    has the default: this suite may itself be a background job that ignores some.
    """
    before = signal.signal(number, action)
    try:
        yield
    finally:
        signal.signal(number, before)
