"""Which lines, and which steps from line to line, an input reaches in our own code.

Plain tracing, slow: for choosing the inputs to keep and for reporting, not for fuzzing.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from tests.fuzz.target import Target, attempt

ROOT = Path(__file__).resolve().parents[2]
OURS = str(ROOT / "raftd") + "/"
OPTIMIZED = 1  # inspect.CO_OPTIMIZED: a function's code, not a module's or a class body's

Edge = tuple[str, int, int]
"""A file, the line before in the same call (0: none), the line."""


@dataclass(slots=True)
class Reach:
    """edges: all; a line is reached if an edge ends there."""

    edges: set[Edge] = field(default_factory=set)

    def lines(self, path: str) -> set[int]:
        return {line for name, _, line in self.edges if name == str(ROOT / path)}


def reached(target: Target, data: bytes) -> Reach:
    """What one input reaches. Raises what `attempt` raises."""
    reach = Reach()
    before = sys.gettrace()
    sys.settrace(_tracer(reach.edges))
    try:
        attempt(target, data)
    finally:
        sys.settrace(before)
    return reach


def _tracer(edges: set[Edge]) -> Any:
    def called(frame: FrameType, _event: str, _argument: object) -> Any:
        path = frame.f_code.co_filename
        if not path.startswith(OURS):
            return None
        last = 0

        def stepped(frame: FrameType, event: str, _argument: object) -> Any:
            nonlocal last
            if event == "line":
                edges.add((path, last, frame.f_lineno))
                last = frame.f_lineno
            return stepped

        return stepped

    return called


def choose(target: Target, inputs: Iterable[bytes], bytes_max: int) -> tuple[list[bytes], Reach]:
    """The smallest first: those that reach an edge that no one before did, while there is room."""
    whole = Reach()
    kept: list[bytes] = []
    room = bytes_max
    for data in sorted(set(inputs), key=lambda data: (len(data), data)):
        new = reached(target, data).edges - whole.edges
        if new and len(data) <= room:
            room -= len(data)
            whole.edges |= new
            kept.append(data)
    return kept, whole


def executable_lines(path: str) -> set[int]:
    """Lines of the functions of a module of ours, but their `def` lines."""
    source = (ROOT / path).read_text()
    return set(_function_lines(compile(source, path, "exec")))


def _function_lines(code: CodeType) -> Iterator[int]:
    if code.co_flags & OPTIMIZED:
        for _, _, line in code.co_lines():
            if line is not None and line != code.co_firstlineno:
                yield line
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _function_lines(constant)
