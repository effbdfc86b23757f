"""A leader that a test talks to without a disk, a machine or a network."""

from __future__ import annotations

import random

from raftd.core.core import RaftCore
from raftd.core.effects import Effects
from raftd.core.messages import (
    AppendReply,
    AppendRequest,
    Channel,
    Request,
    SnapshotReply,
    SnapshotRequest,
    VoteReply,
    VoteRequest,
)
from raftd.core.types import (
    Configuration,
    HardState,
    Identity,
    Recovered,
    Role,
    Settings,
    SnapshotMeta,
)

CONFIGURATION = Configuration(("n1", "n2", "n3"))
RECORDS = (("n2", "b"), ("n3", "c"))
CHUNK = 1 << 20


class Leader:
    """n1 leads on a quick disk; n2 takes everything at once; n3 does what the test says."""

    def __init__(self, **settings: float) -> None:
        self.now = 0.0
        self.sent: list[SnapshotMeta] = []
        self.suspects: list[SnapshotMeta] = []
        self.core = RaftCore(
            Identity("0" * 16, "n1", "a"),
            Settings(keep_entries=5, **settings),  # type: ignore[arg-type]
            CONFIGURATION,
            Recovered(HardState(1, None), True, RECORDS),
            random.Random(1),
            0.0,
        )
        self.do(self.core.start(0.0))
        self.now = 2.0
        while self.core.role is not Role.LEADER:
            self.now += 0.05
            self.do(self.core.tick(self.now))
            for peer in ("n2", "n3"):
                for asked in self.owed(peer, Channel.CONTROL):
                    if isinstance(asked, VoteRequest):
                        self.answer(peer, asked, VoteReply(asked.term, True, asked.pre))
        self.term = self.core.current_term
        self.n2()

    def do(self, effects: Effects) -> Effects:
        if effects.suspect is not None:
            self.suspects.append(effects.suspect)
        if effects.committed:
            self.core.applied(effects.committed[-1].index, self.now)
        if effects.persist:
            self.do(self.core.persisted(effects.persist[-1].seq, self.now))
        return effects

    def owed(self, peer: str, channel: Channel) -> list[Request]:
        found = []
        while (request := self.core.next_request(peer, channel, self.now)) is not None:
            found.append(request)
        return found

    def answer(self, peer: str, sent: Request, reply: object) -> Effects:
        return self.do(self.core.on_reply(peer, sent, reply, self.now))  # type: ignore[arg-type]

    def n2(self) -> None:
        while (sent := self.core.next_request("n2", Channel.APPEND, self.now)) is not None:
            assert isinstance(sent, AppendRequest)
            reached = sent.prev_index + len(sent.entries)
            self.answer("n2", sent, AppendReply(self.term, True, reached, number=sent.number))

    def turn(self, seconds: float = 0.4) -> None:
        """Time passes; heartbeats are answered."""
        self.now += seconds
        self.do(self.core.tick(self.now))
        for peer in ("n2", "n3"):
            for sent in self.owed(peer, Channel.CONTROL):
                if isinstance(sent, AppendRequest):
                    self.answer(peer, sent, AppendReply(self.term, True, 0, number=sent.number))

    def propose(self, count: int) -> None:
        for _ in range(count):
            self.do(self.core.propose([b"x" * 1000], self.now))
            self.n2()

    def snapshot(self, crc: int = 0) -> SnapshotMeta:
        index = self.core.commit_index
        meta = SnapshotMeta(index, self.term, CONFIGURATION, 3 * CHUNK, crc or index)
        self.do(self.core.snapshot_taken(meta, self.now))
        return meta

    def behind(self) -> SnapshotMeta:
        """n3 needs what is compacted: the next chunk is of this snapshot."""
        self.propose(50)
        meta = self.snapshot()
        assert self.owed("n3", Channel.APPEND) == []
        return meta

    def chunk(self) -> SnapshotRequest | None:
        found = self.core.next_request("n3", Channel.BULK, self.now)
        assert found is None or isinstance(found, SnapshotRequest)
        if found is not None:
            self.sent.append(found.meta)
        return found

    def stored(self, sent: SnapshotRequest, next_offset: int, done: bool = False) -> None:
        durable = sent.meta.index if done else 0
        reply = SnapshotReply(self.term, next_offset, done, durable, sent.number)
        self.answer("n3", sent, reply)

    def a_pass(self) -> int:
        """n3 takes all of it, and refuses the whole; returns how many chunks that took."""
        for count in range(1, 10):
            sent = self.chunk()
            assert sent is not None
            end = min(sent.offset + CHUNK, sent.meta.size_bytes)
            self.stored(sent, end if end < sent.meta.size_bytes else 0)
            if end == sent.meta.size_bytes:
                return count
        raise AssertionError("it does not end")

    def wait_for_chunk(self, seconds: float) -> SnapshotRequest | None:
        until = self.now + seconds
        while self.now < until:
            self.turn(0.05)
            if (sent := self.chunk()) is not None:
                return sent
        return None
