"""One list in two places, which comes back from a snapshot as two.

`self.last = self.items` makes both fields the same list: what is appended to one is in the other,
on whoever has run that command. On a node that has read a snapshot since they are two, and the
nodes go apart. So what is shared after a command is parted at once, on all of them, as a snapshot
would: each place has a copy of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import fields, is_dataclass
from operator import attrgetter
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import inspect

from raftd.objects.declaring import Declared

LOOKED_AT_MAX: Final = 256
"""Values within an object's fields; the fields themselves always. All nodes stop at the same one.
A method that shares is found while its object is small, and `check_objects` looks at everything."""

PLAIN: Final = frozenset({int, str, bytes, float, bool, type(None)})
CHANGE: Final = (
    inspect.ListType,
    inspect.DictType,
    inspect.StructType,
    inspect.DataclassType,
    inspect.TypedDictType,
    inspect.ByteArrayType,
)


class Shared(NamedTuple):
    """where: both places, for people. parent: what holds `value` in the second one."""

    where: str
    parent: Any
    value: Any


class Kept:
    """Of one object: which fields can change within themselves, and what they were last."""

    def __init__(self, declared: Declared) -> None:
        infos = {name: inspect.type_info(kind) for name, kind in declared.fields.items()}
        self.names = [name for name, info in infos.items() if _can_change(info, set())]
        self.deep = [name for name in self.names if _holds_more(infos[name])]
        self.ids: list[int] = []
        self._get = attrgetter(*self.names) if self.names else None

    def values(self, state: Any) -> tuple[Any, ...]:
        """Of `names`."""
        if self._get is None:
            return ()
        found = self._get(state)
        return found if len(self.names) > 1 else (found,)


class Sharing:
    """Of one machine's objects; its thread."""

    def __init__(self, declared: Iterable[Declared], states: Mapping[str, Any]) -> None:
        self._kept = {each.name: Kept(each) for each in declared}
        self._owners: dict[int, str] = {}
        """Whose field each list or dict is, by id(): they live as long as they stand here."""
        for name, state in states.items():
            self._note(name, self._kept[name].values(state))

    def part(self, name: str, state: Any) -> tuple[str, bool]:
        """A command has run on this object. What it shares by now has a copy in the second place.

        Returns where the first such was, or nothing; and whether it is in a tuple, say, and still
        shared: then only the whole object, made anew, shares nothing (see `renewed`).
        """
        kept, first = self._kept[name], ""
        if not kept.deep and [id(value) for value in kept.values(state)] == kept.ids:
            return "", False
        fixed = False
        for _ in range(LOOKED_AT_MAX):
            shared = self._find(name, kept, state)
            if shared is None:
                break
            first = first or shared.where
            fixed = not _give_own(shared)
            if fixed:
                break
        self.renewed(name, state)
        return first, fixed

    def renewed(self, name: str, state: Any) -> None:
        """This object has other fields than before."""
        self._note(name, self._kept[name].values(state))

    def _note(self, name: str, values: tuple[Any, ...]) -> None:
        kept = self._kept[name]
        for held in kept.ids:
            if self._owners.get(held) == name:
                del self._owners[held]
        kept.ids = [id(value) for value in values]
        for value in values:
            if _changes(value):
                self._owners.setdefault(id(value), name)

    def _find(self, name: str, kept: Kept, state: Any) -> Shared | None:
        seen: dict[int, str] = {}
        for field in kept.names:
            value = getattr(state, field)
            if _changes(value):
                owner = self._owners.get(id(value), name)
                other = seen.get(id(value)) or (owner if owner != name else "")
                if other:
                    return Shared(f"{other} and {name}.{field}", state, value)
                seen[id(value)] = f"{name}.{field}"
        left = LOOKED_AT_MAX
        for field in kept.deep:
            todo = [getattr(state, field)]
            while todo:
                parent = todo.pop()
                for inner in _parts(parent):
                    left -= 1
                    if left < 0:
                        return None
                    if type(inner) in PLAIN:
                        continue
                    if _changes(inner):
                        if other := seen.get(id(inner), ""):
                            return Shared(f"{other} and {name}.{field}", parent, inner)
                        seen[id(inner)] = f"{name}.{field}"
                    todo.append(inner)
        return None


def _give_own(shared: Shared) -> bool:
    """The last place in `parent` that holds the value gets a copy; False: nothing is put there."""
    parent, value = shared.parent, shared.value
    if isinstance(parent, dict):
        parent[next(key for key in reversed(parent) if parent[key] is value)] = deepcopy(value)
    elif isinstance(parent, list):
        places = reversed(range(len(parent)))
        parent[next(at for at in places if parent[at] is value)] = deepcopy(value)
    elif _changes(parent):
        names = [name for name in _names(parent) if getattr(parent, name) is value]
        setattr(parent, names[-1], deepcopy(value))
    else:
        return False
    return True


def _holds_more(info: Any) -> bool:
    """Can a value of this type hold, within itself, what can change?"""
    return any(_can_change(inner, set()) for inner in _inner(info))


def _can_change(info: Any, seen: set[Any]) -> bool:
    if isinstance(info, CHANGE):
        return True
    key = getattr(info, "cls", None)
    if key is not None and key in seen:
        return False
    seen.add(key)
    return any(_can_change(inner, seen) for inner in _inner(info))


def _inner(info: Any) -> Iterator[Any]:
    for name in info.__struct_fields__:
        value = getattr(info, name)
        for each in value if isinstance(value, tuple) else (value,):
            found = each.type if isinstance(each, inspect.Field) else each
            if isinstance(found, inspect.Type):
                yield found


def _changes(value: Any) -> bool:
    if isinstance(value, list | dict | bytearray):
        return True
    if isinstance(value, msgspec.Struct):
        return not value.__struct_config__.frozen
    return is_dataclass(value) and not value.__dataclass_params__.frozen  # type: ignore[union-attr]


def _names(value: Any) -> Iterable[str]:
    if isinstance(value, msgspec.Struct):
        return value.__struct_fields__
    return [each.name for each in fields(value)] if is_dataclass(value) else ()


def _parts(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    if isinstance(value, list | tuple):
        return value
    return [getattr(value, name) for name in _names(value)]
