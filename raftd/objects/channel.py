"""From a handle's call to the cluster and back: exactly-once, by the client's sessions."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from raftd.client import errors
from raftd.client.aio import AsyncClient
from raftd.client.client import Client
from raftd.client.operations import Consistency
from raftd.client.settings import Options
from raftd.objects import encoding
from raftd.objects.declaring import Asked, Declared
from raftd.objects.errors import CommandRefused
from raftd.objects.methods import Held, Place

Answer = TypeVar("Answer")


class ClusterChannel:
    """A client for threads, and one for each event loop that asks. Any thread."""

    def __init__(
        self, declared: Mapping[str, Declared], endpoints: str | Sequence[str], options: Options
    ) -> None:
        """Raises raftd.client.Invalid; does not connect yet."""
        self.held: set[Held] = set()
        self._declared = declared
        self._options = options
        self._client = Client(endpoints, **options)
        self._lock = threading.Lock()
        self._of_loops: dict[asyncio.AbstractEventLoop, AsyncClient] = {}

    def call(self, place: Place, method: str, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        asked, data = self._encoded(place, method, args, named)
        try:
            if asked.method.changes:
                answer = self._client.submit(data)
            else:
                answer = self._client.query(data, consistency=_consistency(place))
        except errors.MachineError as error:
            raise CommandRefused(error.message, endpoint=error.endpoint) from None
        return encoding.decode_answer(asked, answer)

    async def acall(
        self, place: Place, method: str, args: tuple[Any, ...], named: dict[str, Any]
    ) -> Any:
        asked, data = self._encoded(place, method, args, named)
        client = self._of_this_loop()
        try:
            if asked.method.changes:
                answer = await client.submit(data)
            else:
                answer = await client.query(data, consistency=_consistency(place))
        except errors.MachineError as error:
            raise CommandRefused(error.message, endpoint=error.endpoint) from None
        return encoding.decode_answer(asked, answer)

    def close(self) -> None:
        """As Client.close. What an event loop used is closed by `aclose` there."""
        self._client.close()

    async def aclose(self) -> None:
        """End what this event loop used, and then as `close`."""
        with self._lock:
            mine = self._of_loops.pop(asyncio.get_running_loop(), None)
        if mine is not None:
            with suppress(errors.NotDone):
                await mine.close()
        await asyncio.to_thread(self.close)

    def _encoded(
        self, place: Place, method: str, args: tuple[Any, ...], named: dict[str, Any]
    ) -> tuple[Asked, bytes]:
        asked = self._declared[place.name].methods[method]
        return asked, encoding.encode_call(place.name, asked, place.fence, args, named)

    def _of_this_loop(self) -> AsyncClient:
        loop = asyncio.get_running_loop()
        with self._lock:
            client = self._of_loops.get(loop)
            if client is None:
                for each in [each for each in self._of_loops if each.is_closed()]:
                    del self._of_loops[each]
                client = self._of_loops[loop] = AsyncClient(self._client.endpoints, **self._options)
        return client


def _consistency(place: Place) -> Consistency:
    return "stale" if place.stale else "linearizable"
