"""Whether all members understand what is about to be written into the log.

During an upgrade, node by node, some members are older than others. What only the newer ones
understand is refused, certainly not done, until the last one is upgraded. Network thread only.
"""

from __future__ import annotations

from collections.abc import Callable

from raftd.core.types import Configuration, NodeId
from raftd.rpc.directory import Directory
from raftd.wire.needs import FIRST, KNOWN, NEEDS, PROTOCOL_FIRST, kinds_in, needed

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
        self._proposed = 0
        """The newest protocol that anything needed which was let pass: the log may hold it, and the
        state not yet, or not any more."""

    def refusal(self, batch: bytes) -> str:
        """Why this batch may not be proposed now; empty when it may. batch: see `kinds_in`."""
        kinds = kinds_in(batch)
        if kinds <= FIRST:
            return ""
        if strange := kinds - KNOWN:
            return f"a command of kind {min(strange)} is not known to this raftd"
        oldest, node = self._lowest()
        protocol, what = needed(kinds)
        if protocol <= max(oldest, PROTOCOL_FIRST) or self._in_use():
            self._proposed = max(self._proposed, protocol)
            return ""
        if not oldest:
            return f"{what} waits until {node} was heard: whether it understands it is not known"
        return f"{what} is not understood by {node}, which runs an older raftd: {UPGRADE}"

    def unfit(self, protocol: int) -> str:
        """Why a node that speaks `protocol` may not join; empty when it may."""
        if protocol >= NEWEST or not (self._in_use() or self._proposed):
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
