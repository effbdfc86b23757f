"""`command` and `query`: methods that run on all nodes when a handle is asked, and here in a state.

The same class is both. A state is a plain object: on the nodes, and in your unit tests. A handle
has the class's methods and none of its fields; it sends a call to the cluster.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from types import FunctionType
from typing import (
    Any,
    Concatenate,
    Generic,
    NoReturn,
    ParamSpec,
    Protocol,
    Self,
    TypeVar,
    cast,
    overload,
)

from raftd.objects.errors import DeclarationError

P = ParamSpec("P")
Answer = TypeVar("Answer")
WAITS = inspect.CO_COROUTINE | inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR
"""The flags of code that does not run to its end in one call."""
PLACE = "_raftd_place"
"""The attribute that makes an instance a handle."""
HANDLE = "_raftd_handle"
"""The attribute of a class of handles."""


class Held(Protocol):
    """What somebody has of the nodes for a while."""

    def give_up(self) -> None:
        """Give it back, and renew it no more. Any thread; blocks. Never raises."""
        ...


class Channel(Protocol):
    """The way of a handle's calls to the nodes."""

    held: set[Held]
    """By whoever called through here. Any thread."""

    def call(self, place: Place, method: str, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Any thread; blocks."""
        ...

    async def acall(
        self, place: Place, method: str, args: tuple[Any, ...], named: dict[str, Any]
    ) -> Any: ...


@dataclass(frozen=True, slots=True)
class Place:
    """Where a handle's calls go. fence: (lock, token): only while that lock is held by it."""

    channel: Channel
    name: str
    fence: tuple[str, int] | None = None
    stale: bool = False


class Bound(Generic[P, Answer]):
    """A method of one instance. Call it and wait, from any thread, or `await method.aio(...)`.

    On a handle it raises the errors of raftd.client and of raftd.objects, and TypeError, before
    anything is sent, if an argument is not of its type.
    """

    __slots__ = ("_instance", "_method")

    def __init__(self, method: Method[P, Answer], instance: object) -> None:
        self._method = method
        self._instance = instance

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Answer:
        place = place_of(self._instance)
        if place is None:
            return self._method.function(self._instance, *args, **kwargs)
        return cast(Answer, place.channel.call(place, self._method.name, args, kwargs))

    async def aio(self, *args: P.args, **kwargs: P.kwargs) -> Answer:
        """The same in an event loop, any one. Cancelling it ends the wait, not the command."""
        place = place_of(self._instance)
        if place is None:
            return self._method.function(self._instance, *args, **kwargs)
        return cast(Answer, await place.channel.acall(place, self._method.name, args, kwargs))


class Method(Generic[P, Answer]):
    """What the two decorators have in common."""

    changes = True

    def __init__(self, function: Callable[Concatenate[Any, P], Answer]) -> None:
        if not isinstance(function, FunctionType):
            raise DeclarationError(f"{function!r} is no method: put the decorator on a def")
        if function.__code__.co_flags & WAITS:
            text = "write a plain def that returns; in an event loop, call it by .aio(...)"
            raise DeclarationError(f"{function.__qualname__} is async or yields: {text}")
        self.function: Callable[Concatenate[Any, P], Answer] = function
        self.plain: FunctionType = function
        self.name = function.__name__
        self.__doc__ = function.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type) -> Bound[P, Answer]: ...
    def __get__(self, instance: object, owner: type) -> Self | Bound[P, Answer]:
        return self if instance is None else Bound(self, instance)


class command(Method[P, Answer]):
    """A method that may change the object. It must not use the clock, chance, sets or files.

    Check first, change then: to refuse, raise CommandRefused while nothing is changed.
    """


class query(Method[P, Answer]):
    """A method that changes nothing. Linearizable, unless asked by way of `stale(handle)`."""

    changes = False


def place_of(instance: object) -> Place | None:
    """None for a state."""
    return cast("Place | None", vars(instance).get(PLACE))


Object = TypeVar("Object")


def handle_of(cls: type[Object], place: Place) -> Object:
    """An instance without fields whose calls go to `place`. cls: or the type of another handle."""
    given: Any = cls
    handle = object.__new__(cls if HANDLE in vars(cls) else _handles_of(given))
    vars(handle)[PLACE] = place
    return cast(Object, handle)


@cache
def _handles_of(cls: type[Any]) -> type[Any]:
    """A class of the same name. States stay as quick as they are: they do without this check."""
    body = {"__module__": cls.__module__, "__setattr__": _refuse, HANDLE: True}
    return type(cls.__name__, (cls,), body)


def _refuse(self: object, name: str, value: object) -> NoReturn:
    text = "the fields are on the nodes: change them by a method under @command"
    raise AttributeError(f"{type(self).__name__}.{name}: {text}")
