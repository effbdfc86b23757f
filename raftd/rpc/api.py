"""The node as rpc sees it: `raftd.node.node.Node`, or a fake one in tests.

Everything here is called on the network thread (the asyncio loop), and every callback comes back on
it, exactly once, possibly before the call returns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from raftd.core.changes import Change
from raftd.core.effects import Event
from raftd.core.messages import Channel, Reply, Request, SnapshotRequest
from raftd.core.types import Identity, RaftState, SnapshotMeta
from raftd.node.outcomes import Done


class PeerNode(Protocol):
    """What the peers' traffic needs of a node."""

    @property
    def identity(self) -> Identity: ...

    @property
    def term(self) -> int:
        """The current one; cheap."""
        ...

    def expected_incarnation(self, peer: str) -> str | None:
        """The recorded incarnation of a peer; None: only Hello may be exchanged with it."""
        ...

    def step(self, request: Request, reply: Callable[[Reply], None]) -> None:
        """Raises ImpossibleMessage: nothing was done. So does `on_reply`."""
        ...

    def suspect(self, peer: str, what: str) -> None:
        """`peer`, or somebody in its name, sent what no correct node can send; it was refused."""
        ...

    def pull(self, peer: str, channel: Channel) -> Request | None: ...

    def on_reply(self, peer: str, sent: Request, reply: Reply) -> None: ...

    def unreachable(self, peer: str, sent: Request) -> None: ...

    def link_lost(self, peer: str) -> None: ...

    async def read_chunk(self, request: SnapshotRequest) -> SnapshotRequest:
        """The same request with `data` read from the file. Raises FileNotFoundError, OSError."""
        ...

    def state(self) -> RaftState: ...


class CannotMeet(Exception):
    """A node that is to be added does not answer as it must. One line: who, where, why."""


class EventFeed(Protocol):
    """One reader's place in the bounded ring of events. A gap in the numbers: it was too slow."""

    async def next(self) -> tuple[int, float, Event]:
        """(number, monotonic seconds, event); waits for one."""
        ...

    def close(self) -> None: ...


class ClientNode(Protocol):
    """What the clients' port needs of a node."""

    @property
    def identity(self) -> Identity: ...

    def submit(self, batch: bytes, done: Done, principal: bytes) -> None: ...

    def admit_by(self, refusal: Callable[[bytes], str]) -> None:
        """From now on, propose no batch of which `refusal` tells a reason."""
        ...

    def query(
        self, queries: Sequence[bytes], stale: bool, done: Done, principal: bytes
    ) -> None: ...

    def state(self) -> RaftState: ...

    def problems(self) -> Sequence[str]:
        """Why this node is not healthy, one line each, worst first; empty when it is."""
        ...

    def refusal(self) -> str:
        """Why nothing that clients ask is answered here; empty when it is. Cheap."""
        ...

    def serving(self) -> bool:
        """May load balancers send clients here? Cheap: asked on every health check."""
        ...

    def digest(self, done: Done) -> None:
        """Answered(applied_index, [(0, digest)])."""
        ...

    def snapshot_now(self, done: Done) -> None:
        """Applied(index, term, b"") of the snapshot."""
        ...

    def hold_snapshot(self) -> SnapshotMeta | None:
        """The newest snapshot, whose file stays until `release_snapshot`; None: there is none."""
        ...

    def release_snapshot(self, meta: SnapshotMeta) -> None: ...

    async def read_snapshot(self, meta: SnapshotMeta, offset: int) -> bytes:
        """The next bytes of that file, a chunk at most; none after its end. Raises OSError."""
        ...

    def transfer(self, target: str | None, done: Done) -> None:
        """Applied(index, term, new leader's id in utf-8)."""
        ...

    def change(self, change: Change, done: Done) -> None:
        """Applied(index, term, b"") of the committed change; or Refused, also by NOT_ALLOWED."""
        ...

    def subscribe(self, from_start: bool) -> EventFeed: ...


class Node(PeerNode, ClientNode, Protocol):
    """Both."""
