"""Which types may travel and be kept: those that msgspec reads back as they were, without a set.

A set has the order of its hashes, which differs between processes; so does whatever walks over it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, get_args, get_origin

import msgspec
from msgspec import inspect

from raftd.objects.errors import DeclarationError

INSTEAD: dict[type, str] = {
    inspect.SetType: "a set has no order that all nodes share: use dict[..., None] or list",
    inspect.FrozenSetType: "a set has no order that all nodes share: use dict[..., None] or list",
    inspect.AnyType: "say what it holds, so that it can be checked",
    inspect.CustomType: "it cannot be sent: use int, float, str, bytes, bool, None, list, dict,"
    " tuple, datetime, Enum, NamedTuple, TypedDict or a dataclass of those",
    inspect.RawType: "it cannot be kept",
    inspect.ExtType: "it cannot be kept",
}


def arguments_of(instance: object) -> dict[Any, Any]:
    """What stands for each type variable: of `Dict[str, int]()`, K is str and V is int."""
    alias = getattr(instance, "__orig_class__", None)
    if alias is None:
        return {}
    parameters = getattr(get_origin(alias), "__parameters__", ())
    return dict(zip(parameters, get_args(alias)))


def filled(kind: Any, arguments: Mapping[Any, Any], where: str) -> Any:
    """`kind` with its type variables replaced. Raises DeclarationError if one is left open."""
    if isinstance(kind, TypeVar):
        found = arguments.get(kind)
    else:
        parameters = getattr(kind, "__parameters__", ())
        if not parameters:
            return kind
        given = tuple(arguments.get(each) for each in parameters)
        found = None if None in given else kind[given]
    if found is None:
        text = "its types are open: declare it as Dict[str, int](), say"
        raise DeclarationError(f"{where}: {text}")
    return found


def check(kind: Any, where: str) -> Any:
    """`kind` again, if values of it may travel. Raises DeclarationError."""
    try:
        _check(inspect.type_info(kind), where, set())
    except (TypeError, NameError, msgspec.MsgspecError) as error:
        if isinstance(error, DeclarationError):
            raise
        raise DeclarationError(f"{where}: {kind!r} cannot be sent: {error}") from None
    return kind


def _check(info: Any, where: str, seen: set[Any]) -> None:
    instead = INSTEAD.get(type(info))
    if instead is not None:
        raise DeclarationError(f"{where}: {instead}")
    made = getattr(info, "cls", None)
    if made is not None:
        if made in seen:
            return
        seen.add(made)
    for name in info.__struct_fields__:
        value = getattr(info, name)
        for inner in value if isinstance(value, tuple) else (value,):
            if isinstance(inner, inspect.Field):
                _check(inner.type, f"{where}.{inner.name}", seen)
            elif isinstance(inner, inspect.Type):
                _check(inner, where, seen)
