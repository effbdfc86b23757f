"""Fail-over faster than the timers: a killed leader's connections break within milliseconds.

A broken stream alone proves nothing (a proxy may have restarted), so the leader is asked once more
on a connection of its own. Only if it does not answer there that it leads, the node is told, and
even then it only asks the others whether they have lost the leader too (house section 10).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from raftd.core.types import NodeId
from raftd.node.ports import FatalPort
from raftd.rpc.api import PeerNode

INTERVAL_SECONDS = 0.05


class LinkWatch:
    """Network thread only. One probe a peer at a time, and at most one in INTERVAL_SECONDS."""

    def __init__(
        self,
        node: PeerNode,
        probe: Callable[[NodeId], Awaitable[bool]],
        fatal: FatalPort,
    ) -> None:
        """probe: does that node answer that it leads? (`Peers.probe`)"""
        self._node = node
        self._probe = probe
        self._fatal = fatal
        self._last: dict[NodeId, float] = {}
        self._tasks: dict[NodeId, asyncio.Task[None]] = {}
        self._closed = False

    def doubt(self, peer: NodeId) -> None:
        """Its append stream ended, or somebody else asks for votes: does it still lead?"""
        loop = asyncio.get_running_loop()
        if self._closed or peer in self._tasks or self._node.state().leader != peer:
            return
        at = max(loop.time(), self._last.get(peer, float("-inf")) + INTERVAL_SECONDS)
        self._last[peer] = at
        task = self._tasks[peer] = loop.create_task(self._ask(peer, at - loop.time()))
        task.add_done_callback(lambda ended: self._asked(peer, ended))

    async def _ask(self, peer: NodeId, delay: float) -> None:
        await asyncio.sleep(delay)
        leads = await self._probe(peer)
        if not leads and not self._closed and self._node.state().leader == peer:
            self._node.link_lost(peer)

    def _asked(self, peer: NodeId, task: asyncio.Task[None]) -> None:
        self._tasks.pop(peer, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fatal.fatal(f"the probe of {peer} failed", error)

    async def close(self) -> None:
        self._closed = True
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
