"""Is this application fit to be replicated? A check to be called from a test of yours.

def use(shop: Shop) -> None:
    shop.stock["a"] = 1
    shop.orders.add()

def test_shop() -> None:
    check_objects(Shop, use)
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, TypeVar

from raftd.machine.kit import MachineCheckFailed, check_machine
from raftd.machine.protocol import MachineError
from raftd.objects import encoding
from raftd.objects.errors import CommandRefused
from raftd.objects.machine import ObjectsMachine
from raftd.objects.methods import Held, Place
from raftd.objects.objects import Objects

App = TypeVar("App", bound=Objects)


class LocalChannel:
    """One machine in this process, without nodes; it goes through the same bytes. One thread."""

    def __init__(self, application: type[Objects], *, strict: bool = False) -> None:
        """strict: no query may change anything. Raises MachineCheckFailed; costs two captures."""
        self.held: set[Held] = set()
        self._strict = strict
        self._declared = application.declared
        self.machine = ObjectsMachine(application.declared)
        self.commands: list[bytes] = []
        self.queries: list[bytes] = []

    def call(self, place: Place, method: str, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        asked = self._declared[place.name].methods[method]
        data = encoding.encode_call(place.name, asked, place.fence, args, named)
        if asked.method.changes:
            self.commands.append(data)
        elif data not in self.queries:
            self.queries.append(data)
        before = self.machine.capture() if self._strict and not asked.method.changes else None
        try:
            answer = (self.machine.apply if asked.method.changes else self.machine.query)(data)
        except MachineError as error:
            raise CommandRefused(str(error)) from None
        if before is not None and self.machine.capture() != before:
            raise MachineCheckFailed(f"{asked.where} is a query and changed the state")
        return encoding.decode_answer(asked, answer)

    async def acall(
        self, place: Place, method: str, args: tuple[Any, ...], named: dict[str, Any]
    ) -> Any:
        return self.call(place, method, args, named)


def local(application: type[App]) -> App:
    """The application on one machine in this process: for unit tests. Nothing is kept."""
    return application(LocalChannel(application))


def check_objects(application: type[App], use: Callable[[App], None]) -> None:
    """Raise MachineCheckFailed unless what `use` does comes out the same on every replica.

    use: makes calls of every kind, refused ones included, and catches what it expects. Answers and
    states are compared between replicas, with snapshots taken and restored on the way, and each
    state is read back by its declared types. Run your tests under two values of PYTHONHASHSEED.
    """
    channel = LocalChannel(application, strict=True)
    use(application(channel))
    check_machine(
        lambda: ObjectsMachine(application.declared), channel.commands, channel.queries[:64]
    )
    ObjectsMachine(application.declared).restore(io.BytesIO(b"".join(channel.machine.capture())))
