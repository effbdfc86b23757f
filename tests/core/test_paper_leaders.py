"""The rules of the paper's Figure 2 for leaders, one test each; each docstring ends with its
section.
"""

from __future__ import annotations

import pytest

from raftd.core.effects import NotLeader
from raftd.core.messages import AppendReply, AppendRequest, Channel
from tests.core.paper import formed


def test_a_leader_sends_heartbeats_while_idle() -> None:
    """Empty AppendEntries during idle periods prevent election timeouts. Section 5.2."""
    env = formed()
    env.run("elect n1 n2")
    env.run("stabilize")
    env.run("tick n1 0.1")
    beats = [w.message for w in env.wires if isinstance(w.message, AppendRequest)]
    assert len(beats) == 2
    assert not any(beat.entries for beat in beats)


def test_a_command_is_answered_after_it_is_applied() -> None:
    """Append the entry to the local log, respond after it is applied. Section 5.3."""
    env = formed()
    env.run("elect n1 n2")
    env.run("stabilize")
    before = len(env.nodes["n1"].applied)
    env.run("propose n1 a")
    assert len(env.nodes["n1"].applied) == before
    env.run("stabilize")
    assert [entry.payload for entry in env.nodes["n1"].applied[before:]] == [b"a"]


def test_a_follower_takes_no_commands() -> None:
    """Clients talk to the leader; others name it. Section 8."""
    env = formed()
    env.run("elect n1 n2")
    env.run("stabilize")
    with pytest.raises(NotLeader) as caught:
        env.nodes["n2"].core.propose([b"a"], env.now)
    assert caught.value.leader == "n1"


def test_next_index_falls_on_a_refusal_until_the_logs_agree() -> None:
    """If AppendEntries fails because of inconsistency: decrement nextIndex and retry. Section
    5.3.
    """
    env = formed(
        "disk n1 terms=1,1,3,3 term=3", "disk n2 terms=1,1,3,3 term=3", "disk n3 terms=1,1,2 term=3"
    )
    env.run("elect n1 n2")
    env.run("stabilize")
    log = env.nodes["n3"].core.log
    assert [log.term_at(index) for index in range(1, 6)] == [1, 1, 3, 3, 4]


def test_only_entries_of_the_own_term_are_committed_by_counting() -> None:
    """N is committed if a majority has it and log[N].term == currentTerm. Section 5.4.2."""
    env = formed("disk n1 terms=1 term=1", "disk n2 terms=1 term=1")
    env.run("settings batch_entries_max=1")
    env.run("elect n1 n2")
    core = env.nodes["n1"].core
    matched = AppendReply(core.current_term, True, 1)
    heartbeat = next(
        wire
        for wire in env.wires
        if isinstance(wire.message, AppendRequest)
        and not wire.message.entries
        and wire.target == "n2"
    )
    assert isinstance(heartbeat.message, AppendRequest)
    core.on_reply("n2", heartbeat.message, matched, env.now)
    assert core.commit_index == 0, "entry 1 of term 1 is on a majority, and not committed"
    env.run("stabilize")
    assert core.commit_index == 2


def test_a_minority_commits_nothing() -> None:
    """A majority of matchIndex >= N. Section 5.3."""
    env = formed()
    env.run("elect n1 n2")
    env.run("stabilize")
    commit = env.nodes["n1"].core.commit_index
    env.run("propose n1 a")
    env.run("persist n1")
    assert env.nodes["n1"].core.commit_index == commit


def test_what_is_owed_is_pulled_and_nothing_is_owed_twice() -> None:
    """RPCs are issued in parallel and retried when they are lost. Section 5.1."""
    env = formed()
    env.run("elect n1 n2")
    env.run("stabilize")
    core = env.nodes["n1"].core
    core.propose([b"a"], env.now)
    first = core.next_request("n2", Channel.APPEND, env.now)
    assert isinstance(first, AppendRequest)
    assert core.next_request("n2", Channel.APPEND, env.now) is None
    core.unreachable("n2", first, env.now)
    env.now += 0.2
    core.tick(env.now)
    again = core.next_request("n2", Channel.APPEND, env.now)
    assert isinstance(again, AppendRequest)
    assert again.entries == first.entries
