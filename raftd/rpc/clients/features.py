"""Whether all members understand what is about to be written into the log.

During an upgrade, node by node, some members are older than others. What only the newer ones
understand is refused, certainly not done, until the last one is upgraded. Network thread only.
"""

from __future__ import annotations

from collections.abc import Callable

from raftd.core.types import Configuration, NodeId
from raftd.rpc.directory import Directory
from raftd.wire.needs import NEEDS, PROTOCOL_FIRST, needed

NEWEST = max(NEEDS.values())
UPGRADE = "upgrade it first (docs/operations.md, Upgrade)"


class Features:
    """Of a node whose machine is the built-in store: other machines have commands of their own."""

    def __init__(
        self,
        directory: Directory,
        configuration: Callable[[], Configuration],
        in_use: Callable[[], bool],
    ) -> None:
        """configuration: in force. in_use: the state holds what a command of NEEDS has made, so all
        members understood it then.
        """
        self._directory = directory
        self._configuration = configuration
        self._in_use = in_use
        self._seen: tuple[Configuration, int] | None = None
        self._oldest: tuple[int, NodeId] = (NEWEST, "")

    def refusal(self, batch: bytes) -> str:
        """Why this batch may not be proposed now; empty when it may. Cheap while all are new."""
        oldest, node = self._lowest()
        if oldest >= NEWEST or self._in_use():
            return ""
        protocol, what = needed(batch)
        if protocol <= max(oldest, PROTOCOL_FIRST):
            return ""
        if not oldest:
            return f"{what} waits until {node} was heard: whether it understands it is not known"
        return f"{what} is not understood by {node}, which runs an older raftd: {UPGRADE}"

    def unfit(self, protocol: int) -> str:
        """Why a node that speaks `protocol` may not join; empty when it may."""
        if protocol >= NEWEST or not self._in_use():
            return ""
        return (
            f"it speaks protocol {protocol or PROTOCOL_FIRST}, and this cluster's users, roles or "
            f"alarms need {NEWEST}: {UPGRADE}"
        )

    def _lowest(self) -> tuple[int, NodeId]:
        """(protocol, member): 0 of a member that was not heard yet."""
        configuration, heard = self._configuration(), self._directory.heard
        seen = self._seen
        if seen is None or seen[0] is not configuration or seen[1] != heard:
            self._seen = configuration, heard
            self._oldest = min(
                ((self._directory.protocol(node), node) for node in configuration.members()),
                default=(NEWEST, ""),
            )
        return self._oldest
