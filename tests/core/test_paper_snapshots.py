"""Figure 13, the receiver's rules, one test each."""

from __future__ import annotations

from raftd.core.core import RaftCore
from raftd.core.effects import Effects
from raftd.core.messages import AppendRequest, SnapshotReply, SnapshotRequest
from raftd.core.types import Configuration, Entry, EntryType, SnapshotMeta
from tests.core.leading import CONFIGURATION, Leader


def meta(index: int, term: int, configuration: Configuration = CONFIGURATION) -> SnapshotMeta:
    return SnapshotMeta(index, term, configuration, 10)


def follower() -> RaftCore:
    """n1 follows n2 in term 9; its log is 1/2, committed, then 2/9, 3/9, 4/9."""
    core = Leader().core
    entries = tuple(Entry(index, 9, EntryType.BATCH, b"x") for index in (2, 3, 4))
    synced(core, core.step(AppendRequest(9, "n2", 1, 2, entries, 1), 9.0, "append"))
    return core


def synced(core: RaftCore, effects: Effects) -> Effects:
    return core.persisted(effects.persist[-1].seq, 9.0)


def chunk(of: SnapshotMeta, term: int, data: bytes = b"") -> SnapshotRequest:
    return SnapshotRequest(term, "n2", of, 0, data)


def test_chunk_refused_to_an_older_term() -> None:
    """Rule 1."""
    core = follower()
    effects = core.step(chunk(meta(9, 8), 8, b"0123456789"), 9.0, "old")
    assert effects.replies == [("old", SnapshotReply(9, 0, False))]
    assert not effects.chunks


def test_chunk_is_given_out_and_answered_when_it_is_stored() -> None:
    """Rules 2 to 4: the driver writes the file, and says where to go on."""
    core = follower()
    request = chunk(meta(9, 9), 9, b"01234")
    effects = core.step(request, 9.0, "chunk")
    assert effects.chunks == [("chunk", request)]
    assert not effects.replies
    stored = core.chunk_stored("chunk", request, 5, 9.0)
    assert stored.replies == [("chunk", SnapshotReply(9, 5, False, 4))]


def test_snapshot_of_an_entry_that_the_log_has_keeps_what_follows() -> None:
    """Rule 6. The same entries bring the machine to the same state: nothing is installed."""
    core = follower()
    effects = core.snapshot_received(meta(3, 9), "last", chunk(meta(3, 9), 9), 9.0)
    assert core.log.last_index == 4
    assert [entry.index for entry in effects.committed] == [2, 3]
    assert effects.install is None
    assert effects.replies == [("last", SnapshotReply(9, 10, True, 4))]


def test_snapshot_of_another_history_takes_the_place_of_the_whole_log() -> None:
    """Rule 7. Answered, and given to the machine, only when the mark of it is durable: rule 8."""
    core = follower()
    four = Configuration(("n1", "n2", "n3", "n4"))
    newer = meta(3, 8, four)
    synced(core, core.step(chunk(newer, 10, b"01234"), 9.0, "first"))
    effects = core.snapshot_received(newer, "last", chunk(newer, 10), 9.0)
    assert (core.log.base_index, core.log.last_index) == (3, 3)
    assert effects.install is None
    assert not effects.replies
    marked = synced(core, effects)
    assert marked.install == newer
    assert marked.replies == [("last", SnapshotReply(10, 10, True, 3))]
    assert core.state(9.0).configuration == four


def test_snapshot_that_becomes_whole_after_its_follower_has_become_the_leader() -> None:
    """Leader Append-Only. Chunks of a term before were on their way to the disk meanwhile.

    The story without it: a leader takes an older term's commit for its own, and, were that entry
    not in its log, throws its log away.
    """
    core = Leader().core
    before = core.state(9.0)
    late = meta(5, 1)
    effects = core.snapshot_received(late, "late", chunk(late, 1), 9.0)
    assert effects.replies == [("late", SnapshotReply(before.term, 0, False))]
    assert not effects.persist
    assert not effects.committed
    after = core.state(9.0)
    assert (after.last_index, after.commit_index) == (before.last_index, before.commit_index)
