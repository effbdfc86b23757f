"""What a type alone does not bring back from a snapshot: integers where it says float, mostly.

To Python an integer is as good as a float: `total: float = 0`, or `self.table[key] = 0` in a
dict[str, float]. Whoever applied the commands holds 0 there, and what is decoded as a float is 0.0.
The two are equal, and yet f"{total}", an answer's bytes and whole numbers beyond 2**53 are not: of
two nodes one of which had read a snapshot one would go another way.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import inspect


def may_stand_in(kind: Any) -> bool:
    """Is there a float in what this type declares?"""
    return _has_float(inspect.type_info(kind), set())


def _has_float(info: Any, seen: set[Any]) -> bool:
    if isinstance(info, inspect.FloatType):
        return True
    made = getattr(info, "cls", None)
    if made is not None:
        if made in seen:
            return False
        seen.add(made)
    for name in info.__struct_fields__:
        value = getattr(info, name)
        for inner in value if isinstance(value, tuple) else (value,):
            if isinstance(inner, inspect.Field):
                inner = inner.type
            if isinstance(inner, inspect.Type) and _has_float(inner, seen):
                return True
    return False


def left(read: Any, plain: Any) -> Any:
    """`read` with the integers of `plain`: the same bytes, decoded without a type. Containers and
    instances are changed in their places.
    """
    if isinstance(read, float):
        return plain if type(plain) is int else read
    if isinstance(read, dict):
        return _of_dict(read, plain)
    if isinstance(read, list):
        read[:] = map(left, read, plain)
    elif isinstance(read, tuple):
        made = map(left, read, plain)
        return read._make(made) if hasattr(read, "_make") else tuple(made)
    elif isinstance(read, msgspec.Struct):
        _of_struct(read, plain)
    elif dataclasses.is_dataclass(read):
        for each in dataclasses.fields(read):
            if each.name in plain:
                value = left(getattr(read, each.name), plain[each.name])
                object.__setattr__(read, each.name, value)
    return read


def _of_dict(read: dict[Any, Any], plain: dict[Any, Any]) -> dict[Any, Any]:
    """Both have the order in which the keys came; a TypedDict leaves out what it does not know."""
    if len(read) != len(plain):
        plain = {key: plain[key] for key in read}
    items = [(left(k, p), left(v, q)) for (k, v), (p, q) in zip(read.items(), plain.items())]
    read.clear()  # a key keeps the form in which it came first
    read.update(items)
    return read


def _of_struct(read: msgspec.Struct, plain: Any) -> None:
    fields = msgspec.structs.fields(read)
    if isinstance(plain, dict):
        values = plain
    else:  # as an array, a tag first
        tagged = read.__struct_config__.tag is not None
        values = dict(zip([each.encode_name for each in fields], plain[tagged:]))
    for each in fields:
        if each.encode_name in values:
            value = left(getattr(read, each.name), values[each.encode_name])
            msgspec.structs.force_setattr(read, each.name, value)


def other_kind(given: Any, read: Any) -> tuple[type[Any], type[Any]] | None:
    """The first pair of types in which what was read differs from what was written; None: in none.
    Looks into dicts, lists and tuples.
    """
    if type(given) is not type(read):
        return type(given), type(read)
    pairs: Iterable[tuple[Any, Any]] = ()
    if isinstance(given, dict):
        pairs = (*zip(given, read), *zip(given.values(), read.values()))
    elif isinstance(given, list | tuple):
        pairs = zip(given, read)
    return next((found for pair in pairs if (found := other_kind(*pair)) is not None), None)
