"""Objects: what an application declares, and the two ways to have it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, ClassVar, Self, TypeVar, Unpack, get_origin

from raftd.client.faces.going_on import go_on
from raftd.client.settings import Options
from raftd.objects import encoding
from raftd.objects.channel import ClusterChannel
from raftd.objects.declaring import Declared, declared, is_replicated
from raftd.objects.errors import DeclarationError
from raftd.objects.lock import give_up
from raftd.objects.machine import ObjectsMachine
from raftd.objects.methods import Channel, Place, handle_of, place_of

if TYPE_CHECKING:
    from raftd.config import Config
    from raftd.embed import RaftNode

Object = TypeVar("Object")


class Objects:
    """The base of a class whose attributes are replicated objects:

        class Shop(Objects):
            stock = Dict[str, int]()
            orders = Counter()

    `Shop.open(config)` is a node in this process, `Shop.connect(endpoints)` a client of nodes that
    run elsewhere; on both, `shop.stock["a"] = 1`. The attributes' names are in the log: to rename
    one is to drop it and begin another.

    Enter it by `with`, or by `async with`; or call start and stop. Those: one thread. The objects:
    any thread, any event loop.
    """

    declared: ClassVar[Mapping[str, Declared]] = {}

    def __init_subclass__(cls) -> None:
        """Raises DeclarationError: the class is checked when it is defined."""
        super().__init_subclass__()
        found = dict(cls.declared)
        for name, value in vars(cls).items():
            if is_replicated(type(value)):
                if hasattr(Objects, name):
                    raise DeclarationError(f"{cls.__name__}.{name}: that name is taken")
                found[name] = declared(name, value)
                encoding.check_initial(found[name])
            elif unmade := _unmade(value):
                text = f"make one: {name} = {unmade}()"
                raise DeclarationError(f"{cls.__name__}.{name} is a class: {text}")
        cls.declared = found

    def __init__(self, channel: Channel, node: RaftNode | None = None) -> None:
        """By `open` and `connect`."""
        self._channel = channel
        self.node = node
        """The node in this process; None if there is none."""
        for name, each in self.declared.items():
            vars(self)[name] = handle_of(each.cls, Place(channel, name))

    def __setattr__(self, name: str, value: object) -> None:
        if name in self.declared:
            text = "it is on the nodes: call a method of it, as in shop.stock.update(...)"
            raise AttributeError(f"{type(self).__name__}.{name}: {text}")
        super().__setattr__(name, value)

    @classmethod
    def open(cls, config: Config | str | Path, **options: Unpack[Options]) -> Self:
        """With a node of the cluster in this process; `start` starts it.

        config: or the path of a file with it (and RAFTD_* in the environment, as for `raftd
        serve`). options: of raftd.client. Raises ConfigError, one line a problem.
        """
        from raftd.config import load
        from raftd.embed import RaftNode

        if isinstance(config, str | Path):
            config = load(Path(config), os.environ, {}, Path.cwd()).config
        node = RaftNode(config, ObjectsMachine(cls.declared))
        first = config.peers[config.id].client
        others = [each.client for id, each in config.peers.items() if id != config.id]
        if config.client_ca:
            files = Options(ca=config.client_ca, cert=config.client_cert, key=config.client_key)
            options = Options(**{**files, **options})
        return cls(ClusterChannel(cls.declared, [first, *others], options), node)

    @classmethod
    def connect(cls, endpoints: str | Sequence[str], **options: Unpack[Options]) -> Self:
        """endpoints: the client ports of some or all nodes. May be made before a fork."""
        return cls(ClusterChannel(cls.declared, endpoints, options))

    def start(self) -> Self:
        """Raises raftd.embed.CannotStart, one line."""
        if self.node is not None:
            self.node.start()
        return self

    def stop(self) -> None:
        """Give back what is held, for a second at most; end the calls, then the node. Harmless
        again.
        """
        give_up(self._channel)
        if isinstance(self._channel, ClusterChannel):
            self._channel.close()
        if self.node is not None:
            self.node.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        starting = go_on(asyncio.to_thread(self.start))
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:  # then nobody calls __aexit__
            await asyncio.shield(go_on(self._take_back(starting)))
            raise

    async def _take_back(self, starting: asyncio.Future[Self]) -> None:
        """Stop what could not be kept from starting."""
        await asyncio.wait((starting,))
        if not starting.cancelled() and starting.exception() is None:
            await self.__aexit__(None, None, None)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(give_up, self._channel)
        if isinstance(self._channel, ClusterChannel):
            await self._channel.aclose()
        await asyncio.to_thread(self.stop)


def _unmade(value: object) -> str:
    """`Counter` or `Dict[str, int]`, if that is it, without its parentheses; empty if not."""
    cls = get_origin(value) or value
    if not (isinstance(cls, type) and is_replicated(cls)):
        return ""
    return cls.__name__ if cls is value else str(value).removeprefix(f"{cls.__module__}.")


def machine_of(application: type[Objects]) -> Callable[[], ObjectsMachine]:
    """For `raftd serve`: `Machine = machine_of(Shop)`, and `machine: shop:Machine` in the file."""

    class Machine(ObjectsMachine):
        def __init__(self) -> None:
            super().__init__(application.declared)

    return Machine


def stale(handle: Object) -> Object:
    """A handle of the same object whose queries any node answers from its own state, at once."""
    place = place_of(handle)
    if place is None:
        return handle
    return handle_of(type(handle), replace(place, stale=True))
