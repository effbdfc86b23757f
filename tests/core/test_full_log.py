"""The log in memory is bounded on every node, whatever its machine and its snapshots do."""

from __future__ import annotations

from raftd.core.configuration_format import encode_configuration
from raftd.core.effects import Effects
from raftd.core.messages import AppendReply, AppendRequest, NotAdmitted, Room, SnapshotRequest
from raftd.core.types import Configuration, Entry, EntryType, SnapshotMeta
from tests.core.commands import Script

LIMIT = 10_000
BATCH = 10
SIZE = BATCH * 132
"""Of one message's entries."""


class Follower:
    """Fed by a leader that has no end of entries; its machine never comes to anything."""

    def __init__(self, name: str = "n1") -> None:
        self.env = Script()
        for line in (f"settings log_bytes_max={LIMIT} keep_entries=0", "cluster 3", "boot"):
            self.env.run(line)
        self.env.run("join n4")
        self.core = self.env.nodes[name].core
        self.number = 0
        self.installs: list[SnapshotMeta] = []

    def feed(self) -> object:
        """One message with entries, and a heartbeat that commits them; the heartbeat's answer."""
        last = self.core.log.last_index
        entries = tuple(
            Entry(last + 1 + place, 1, EntryType.BATCH, b"x" * 100) for place in range(BATCH)
        )
        term = self.core.log.last_term
        self._step(AppendRequest(1, "n2", last, term, entries, 0, self.number))
        last, term = self.core.log.last_index, self.core.log.last_term
        heartbeat = AppendRequest(1, "n2", last, term, (), last, self.number)
        return self._step(heartbeat).replies[-1][1]

    def add(self) -> None:
        """The entry that says who the members are comes, and is committed."""
        last, members = self.core.log.last_index, Configuration(("n1", "n2", "n3"), ("n4",))
        added = Entry(last + 1, 1, EntryType.CONFIGURATION, encode_configuration(members))
        self._step(AppendRequest(1, "n2", last, 1, (added,), 0, self.number))
        self._step(AppendRequest(1, "n2", last + 1, 1, (), last + 1, self.number))

    def snapshot(self, index: int) -> Effects:
        meta = SnapshotMeta(index, 1, Configuration(("n1", "n2", "n3")), 100, index)
        request = SnapshotRequest(1, "n2", meta, 0, b"x" * 100, self.number)
        fx = self._step(request)
        for token, chunk in fx.chunks:
            self._take(self.core.snapshot_received(meta, token, chunk, self.env.now))
        return fx

    def _step(self, request: AppendRequest | SnapshotRequest) -> Effects:
        self.number += 1
        return self._take(self.core.step(request, self.env.now, self.number))

    def _take(self, fx: Effects) -> Effects:
        if fx.persist:
            more = self._take(self.core.persisted(fx.persist[-1].seq, self.env.now))
            fx.replies += more.replies
        if fx.install is not None:
            self.installs.append(fx.install)
        return fx


def test_a_follower_whose_machine_hangs_holds_back_and_says_so() -> None:
    follower = Follower()
    answers = [follower.feed() for _ in range(100)]
    assert LIMIT < follower.core.log.bytes <= LIMIT + SIZE
    last = answers[-1]
    assert isinstance(last, AppendReply)
    assert last.ok
    assert last.room is Room.NO_ENTRIES
    held = follower._step(AppendRequest(1, "n2", 0, 0, (Entry(1, 1, EntryType.NOOP, b""),), 0))
    assert [type(reply) for _, reply in held.replies] == [NotAdmitted]


def test_snapshots_that_it_is_sent_meanwhile_do_not_make_it_grow_either() -> None:
    """Each would empty the log, but not what the machine has yet to apply."""
    follower = Follower()
    for _ in range(30):
        while isinstance(answer := follower.feed(), AppendReply) and answer.room is Room.ALL:
            pass
        follower.snapshot(follower.core.log.last_index + 1000)
    assert len(follower.installs) == 1
    assert follower.core._s.orphan_bytes + follower.core.log.bytes <= LIMIT + 2 * SIZE
    follower.core.applied(follower.installs[0].index, follower.env.now)
    answer = follower.feed()
    assert isinstance(answer, AppendReply)
    assert answer.room is Room.ALL


def test_snapshots_for_a_machine_that_hangs_do_not_pile_up() -> None:
    follower = Follower()
    for _ in range(20):
        follower.feed()
        follower.snapshot(follower.core.log.last_index + 5)
        if follower.installs:
            follower.core.log.bytes = 0  # as if entries were no trouble
    assert len(follower.installs) <= 2


def test_entries_of_older_terms_alone_never_keep_the_next_out() -> None:
    """Only an entry of the new term commits them: without it there would be no way on."""
    follower = Follower()
    entries = tuple(Entry(n, 1, EntryType.BATCH, b"x" * 1000) for n in range(1, 30))
    follower._step(AppendRequest(1, "n2", 0, 0, entries, 0, 1))
    assert follower.core.log.bytes > LIMIT
    noop = (Entry(30, 2, EntryType.NOOP, b""),)
    fx = follower._step(AppendRequest(2, "n3", 29, 1, noop, 0, 2))
    assert follower.core.log.last_index == 30
    [(_, reply)] = fx.replies
    assert isinstance(reply, AppendReply)
    assert reply.ok


def test_a_node_that_joins_takes_all_up_to_the_entry_that_adds_it() -> None:
    """It takes no snapshot before it knows the members. The story without it: its limit was smaller
    than the leader's log, so it took nothing more, and never came to that entry.
    """
    joins = Follower("n4")
    rooms = [answer.room for _ in range(20) if isinstance(answer := joins.feed(), AppendReply)]
    assert rooms == [Room.ALL] * 20
    assert joins.core.log.bytes > 2 * LIMIT
    joins.add()
    answer = joins.feed()
    assert isinstance(answer, AppendReply)
    assert answer.room is Room.NO_ENTRIES
