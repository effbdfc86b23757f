"""A disk that is full or hangs: the leader goes on asking, and what waits for it stays bounded."""

from __future__ import annotations

import pytest

from raftd.core.effects import BrokenInvariant, Effects
from raftd.core.log import RaftLog
from raftd.core.messages import AppendReply, AppendRequest, NotAdmitted
from raftd.core.state import HELD_MAX
from raftd.core.types import Entry, EntryType
from tests.core.commands import Script


def test_replies_that_wait_for_the_disk_are_bounded() -> None:
    env = Script()
    for line in ("cluster 3", "boot"):
        env.run(line)
    core = env.nodes["n1"].core
    term = core.current_term + 1
    replies: list[object] = []
    seqs: list[int] = []

    def heartbeat(number: int) -> Effects:
        request = AppendRequest(term, "n2", 0, 0, (), 0, number=number)
        effects = core.step(request, env.now, number)
        replies.extend(reply for _, reply in effects.replies)
        seqs.extend(write.seq for write in effects.persist)
        return effects

    for number in range(3 * HELD_MAX):
        heartbeat(number)
    assert seqs, "a new term has to be written, and was not yet"
    assert len(replies) == 2 * HELD_MAX
    assert all(isinstance(reply, NotAdmitted) for reply in replies)
    released = core.persisted(seqs[-1], env.now).replies
    assert len(released) == HELD_MAX
    assert all(isinstance(reply, AppendReply) and reply.ok for _, reply in released)


def test_only_what_was_written_becomes_durable() -> None:
    env = Script()
    for line in ("cluster 3", "boot"):
        env.run(line)
    core = env.nodes["n1"].core
    last = core._s.next_seq - 1
    core.persisted(last, env.now)
    with pytest.raises(BrokenInvariant, match="only what was written becomes durable"):
        core.persisted(last + 1, env.now)


def test_durable_is_never_more_than_there_is() -> None:
    log = RaftLog(0, 0, ())
    log.append((Entry(1, 1, EntryType.NOOP, b""), Entry(2, 1, EntryType.NOOP, b"")), 1)
    log._entries.pop()
    with pytest.raises(BrokenInvariant, match="durable is never more than there is"):
        log.persisted(1)
