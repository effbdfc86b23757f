"""`@replicated`: from a class as one writes it to one that is kept on all nodes."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field, fields
from typing import Any, NoReturn, TypeVar, dataclass_transform, get_type_hints

import msgspec

from raftd.objects import kinds, purity
from raftd.objects.errors import DeclarationError
from raftd.objects.methods import PLACE, Method

Class = TypeVar("Class")
MARK = "_raftd_replicated"
NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@dataclass_transform(field_specifiers=(field,), eq_default=False)
def replicated(cls: type[Class]) -> type[Class]:
    """Make a class whose objects all nodes keep. Its annotated fields, each with a default, are the
    state (as with `dataclass`); its methods under `command` and `query` are what can be asked.

    Raises DeclarationError, naming what cannot be replicated, and why.
    """
    own = [name for name in ("__init__", "__new__", "__getattr__") if name in vars(cls)]
    if own:
        raise DeclarationError(f"{cls.__name__}: leave {own[0]} out; fields with defaults do it")
    made: Any = dataclass(eq=False, repr=False)(cls)
    for each in fields(made):
        if each.name in vars(made):  # else a handle, which has no fields, would show the default
            delattr(made, each.name)
    for name, method in methods_of(made).items():
        purity.check(method.plain, f"{cls.__name__}.{name}")
        if not method.changes:
            kept = {each.name for each in fields(made)}
            purity.check_query(method.plain, f"{cls.__name__}.{name}", kept)
    made.__getattr__ = _no_field
    made.__repr__ = _shown
    setattr(made, MARK, True)
    return cls


def _no_field(self: object, name: str) -> NoReturn:
    if PLACE in vars(self):
        raise AttributeError(f"{type(self).__name__}.{name}: {_not_here(type(self), name)}")
    raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


def _not_here(cls: type[Any], name: str) -> str:
    """Why a handle lacks it: it is a field, or there is no such thing."""
    if name in {each.name for each in fields(cls)}:
        return "the fields are on the nodes: read them by a method under @query"
    public = {each: getattr(cls, each) for each in dir(cls) if not each.startswith("_")}
    asked = [each for each, it in public.items() if isinstance(it, Method) or callable(it)]
    return f"there is no such method; it has {', '.join(asked)}"


def _shown(self: object) -> str:
    place = vars(self).get(PLACE)
    if place is not None:
        return f"<{type(self).__name__} {place.name!r} of a cluster>"
    inside = ", ".join(f"{each.name}={getattr(self, each.name)!r}" for each in fields(self))  # type: ignore[arg-type]
    return f"{type(self).__name__}({inside})"


def is_replicated(cls: type) -> bool:
    """Is this class itself under @replicated? One that it inherits from is not enough."""
    return MARK in vars(cls)


def methods_of(cls: type) -> dict[str, Method[..., Any]]:
    """Those of its bases, too; the nearest of a name counts."""
    found: dict[str, Method[..., Any]] = {}
    for each in reversed(cls.__mro__):
        found.update({name: it for name, it in vars(each).items() if isinstance(it, Method)})
    return found


@dataclass(frozen=True, slots=True)
class Asked:
    """One method of one declared object, with its types."""

    where: str
    method: Method[..., Any]
    signature: inspect.Signature
    arguments: type[msgspec.Struct]
    answer: Any


@dataclass(frozen=True, slots=True)
class Declared:
    """One object of an application: `stock = Dict[str, int]()`."""

    name: str
    template: Any
    fields: Mapping[str, Any]
    methods: Mapping[str, Asked]

    @property
    def cls(self) -> type[Any]:
        return type(self.template)

    def new_state(self, values: Mapping[str, Any] | None = None) -> Any:
        """A state with these values; without one for a field, with the declaration's."""
        state = object.__new__(self.cls)
        for name in self.fields:
            given = values is not None and name in values
            value = values[name] if given and values else deepcopy(getattr(self.template, name))
            setattr(state, name, value)
        return state


def declared(name: str, template: Any) -> Declared:
    """What there is to know of one object. Raises DeclarationError."""
    cls, given = type(template), kinds.arguments_of(template)
    hints = _hints(cls, name)
    kept = {}
    for each in fields(template):
        where = f"{name}: field {cls.__name__}.{each.name}"
        kept[each.name] = kinds.check(kinds.filled(hints[each.name], given, where), where)
    asked = {
        called: _asked(f"{name}.{called}", method, given)
        for called, method in methods_of(cls).items()
    }
    return Declared(name, template, kept, asked)


def _asked(where: str, method: Method[..., Any], given: dict[Any, Any]) -> Asked:
    hints = _hints(method.plain, where)
    signature = inspect.signature(method.plain)
    _, *parameters = signature.parameters.values()
    signature = signature.replace(parameters=parameters)
    typed = []
    for each in parameters:
        if each.kind not in NAMED:
            raise DeclarationError(f"{where}: *args and **kwargs have no types: name each argument")
        typed.append((each.name, _typed(hints, each.name, given, where)))
    answer = _typed(hints, "return", given, where)
    arguments = msgspec.defstruct(
        "Arguments", typed, kw_only=True, forbid_unknown_fields=True, gc=False
    )
    return Asked(where, method, signature, arguments, answer)


def _typed(hints: dict[str, Any], name: str, given: dict[Any, Any], where: str) -> Any:
    what = "answer" if name == "return" else f"argument {name}"
    if name not in hints:
        raise DeclarationError(f"{where}: its {what} has no annotation")
    return kinds.check(
        kinds.filled(hints[name], given, f"{where}: its {what}"), f"{where}: its {what}"
    )


def _hints(thing: Any, where: str) -> dict[str, Any]:
    try:
        return get_type_hints(thing, include_extras=True)
    except NameError as error:
        text = "its types must be known at the top of its module"
        raise DeclarationError(f"{where}: {error}; {text}") from None
