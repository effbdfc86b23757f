"""What a replicated method must not touch, as far as its code shows it at a glance.

A method runs on every node, and again after a restart: the clock, chance and the system would give
each node a state of its own. This looks at names only; `raftd.objects.check_objects` runs the code.
"""

from __future__ import annotations

import builtins
import dis
from collections.abc import Container, Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

from raftd.objects.errors import DeclarationError

MODULES = frozenset(
    {
        "asyncio", "locale", "multiprocessing", "os", "platform", "random", "secrets", "select",
        "shutil", "socket", "subprocess", "tempfile", "threading", "time", "urllib", "uuid",
    }
)  # fmt: skip
BUILTINS = frozenset({"frozenset", "hash", "id", "input", "open", "set", "vars"})
NOW = frozenset({"now", "today", "utcnow"})
"""Of datetime's classes: the rest of them only computes."""


def check(function: FunctionType, where: str) -> None:
    """Raises DeclarationError, naming what the function uses and what to do instead."""
    for name, value in _outside(function):
        if _origin(value) in MODULES:
            text = f"uses {name}: nodes would differ; pass what it gives as an argument"
            raise DeclarationError(f"{where} {text}")
        if name in BUILTINS and value is getattr(builtins, name):
            text = f"uses {name}(): it differs between processes; use dict or list"
            raise DeclarationError(f"{where} {text}")
        if _origin(value) == "datetime" and NOW.intersection(_names(function.__code__)):
            raise DeclarationError(f"{where} asks for the time: pass it as an argument")


def check_query(function: FunctionType, where: str, fields: Container[str]) -> None:
    """Raises DeclarationError if it sets a field of the object: only the node asked would have it.

    A field that is changed in its place (`self.items.append`) is seen by `check_objects` alone.
    """
    for step in dis.get_instructions(function):
        if step.opname in ("STORE_ATTR", "DELETE_ATTR") and step.argval in fields:
            text = f"changes {step.argval}: under @query it must not; make it a @command"
            raise DeclarationError(f"{where} {text}")


def _outside(function: FunctionType) -> Iterator[tuple[str, Any]]:
    """The names that the code takes from outside, with what they stand for now."""
    inside = dict(zip(function.__code__.co_freevars, function.__closure__ or ()))
    for name in sorted(_names(function.__code__)):
        if name in inside:
            try:
                yield name, inside[name].cell_contents
            except ValueError:  # not bound yet
                continue
        elif name in function.__globals__:
            yield name, function.__globals__[name]
        elif hasattr(builtins, name):
            yield name, getattr(builtins, name)


def _names(code: CodeType) -> set[str]:
    found = {*code.co_names, *code.co_freevars}
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found |= _names(constant)
    return found


def _origin(value: object) -> str:
    """The top package that it comes from."""
    if isinstance(value, ModuleType):
        return value.__name__.partition(".")[0]
    return str(getattr(value, "__module__", "") or "").partition(".")[0]
