"""The rules of the paper's Figure 2, one test each; each docstring ends with its section."""

from __future__ import annotations

import pytest

from raftd.core.effects import BrokenInvariant, Effects, NotLeader
from raftd.core.messages import (
    AppendReply,
    AppendRequest,
    Channel,
    Reply,
    Request,
    VoteReply,
    VoteRequest,
)
from raftd.core.types import Entry, EntryType, Role
from tests.core.commands import Script


def script(*lines: str) -> Script:
    env = Script()
    for line in lines:
        env.run(line)
    return env


def formed(*disks: str) -> Script:
    """Three nodes that know each other, with these disks, without a leader."""
    return script("settings prevote=no", "cluster 3", *disks, "boot")


def ask(env: Script, name: str, request: Request) -> Reply | None:
    """What `name` answers at once, if anything; syncs nothing."""
    effects = env.nodes[name].core.step(request, env.now, "asked")
    return _answer(env, name, effects)


def _answer(env: Script, name: str, effects: Effects) -> Reply | None:
    env.nodes[name].queued += effects.persist
    return next((reply for token, reply in effects.replies if token == "asked"), None)


def sync(env: Script, name: str) -> Reply | None:
    """Sync all that `name` has queued; returns the answer that waited for it."""
    node = env.nodes[name]
    done, node.queued = node.queued, []
    node.disk += done
    return _answer(env, name, node.core.persisted(done[-1].seq, env.now))


def vote(term: int, candidate: str = "n2", last: tuple[int, int] = (0, 0)) -> VoteRequest:
    return VoteRequest(term, candidate, last[0], last[1], number=1)


def append(term: int, prev: tuple[int, int], *terms: int, commit: int = 0) -> AppendRequest:
    entries = tuple(
        Entry(prev[0] + 1 + offset, each, EntryType.BATCH, b"x")
        for offset, each in enumerate(terms)
    )
    return AppendRequest(term, "n2", prev[0], prev[1], entries, commit, number=1)


# RequestVote, receiver


def test_vote_refused_to_an_older_term() -> None:
    """Reply false if term < currentTerm. Section 5.1."""
    env = formed("disk n1 term=5")
    assert ask(env, "n1", vote(4)) == VoteReply(5, granted=False)


def test_vote_given_once_a_term() -> None:
    """First come, first served: at most one vote a term. Section 5.2."""
    env = formed()
    assert ask(env, "n1", vote(1, "n2")) is None, "not before it is durable"
    assert sync(env, "n1") == VoteReply(1, granted=True)
    assert ask(env, "n1", vote(1, "n3")) == VoteReply(1, granted=False)
    assert ask(env, "n1", vote(1, "n2")) == VoteReply(1, granted=True)


def test_vote_survives_a_restart() -> None:
    """currentTerm and votedFor are persistent. Section 5.2."""
    env = formed()
    ask(env, "n1", vote(1, "n2"))
    sync(env, "n1")
    env.run("crash n1")
    assert ask(env, "n1", vote(1, "n3")) == VoteReply(1, granted=False)


@pytest.mark.parametrize(
    ("last", "granted"),
    [((3, 2), True), ((2, 3), True), ((4, 2), True), ((2, 2), False), ((9, 1), False)],
)
def test_vote_only_for_an_up_to_date_log(last: tuple[int, int], granted: bool) -> None:
    """Compare the last terms, then the lengths. Section 5.4.1."""
    env = formed("disk n1 terms=1,2,2 term=2")
    ask(env, "n1", vote(3, "n2", last))
    assert sync(env, "n1") == VoteReply(3, granted=granted)


# AppendEntries, receiver


def test_append_refused_to_an_older_term() -> None:
    """Reply false if term < currentTerm. Section 5.1."""
    env = formed("disk n1 term=5")
    reply = ask(env, "n1", append(4, (0, 0), 4))
    assert isinstance(reply, AppendReply)
    assert (reply.term, reply.ok, reply.durable) == (5, False, 0)


def test_append_refused_without_the_entry_before() -> None:
    """Reply false if the log has no entry at prevLogIndex with prevLogTerm. Section 5.3."""
    env = formed("disk n1 terms=1,1 term=2")
    for prev in ((3, 1), (2, 2)):
        reply = ask(env, "n1", append(2, prev, 2))
        assert isinstance(reply, AppendReply)
        assert not reply.ok
    assert env.nodes["n1"].core.log.last_index == 2, "a refusal cuts nothing"


def test_append_overrides_a_conflict_and_what_follows() -> None:
    """An existing entry that conflicts is deleted, and all that follow it. Section 5.3."""
    env = formed("disk n1 terms=1,1,1,1 term=2")
    ask(env, "n1", append(2, (1, 1), 2))
    log = env.nodes["n1"].core.log
    assert [log.term_at(index) for index in range(1, log.last_index + 1)] == [1, 2]


def test_append_keeps_what_agrees() -> None:
    """Entries not already in the log are appended, and nothing else happens. Section 5.3."""
    env = formed("disk n1 terms=1,1,1,1 term=1")
    ask(env, "n1", append(1, (0, 0), 1, 1))
    assert env.nodes["n1"].core.log.last_index == 4
    assert not env.nodes["n1"].queued


def test_append_moves_the_commit_index() -> None:
    """commitIndex = min(leaderCommit, index of last new entry), and never falls. Section 5.3."""
    env = formed("disk n1 terms=1,1,1,1 term=1")
    ask(env, "n1", append(1, (0, 0), 1, 1, commit=9))
    assert env.nodes["n1"].core.commit_index == 2
    ask(env, "n1", append(1, (0, 0), 1, commit=1))
    assert env.nodes["n1"].core.commit_index == 2


def test_append_is_answered_when_it_is_durable() -> None:
    """A follower answers after it has written the entries to stable storage. Section 5.3, Figure
    2.
    """
    env = formed("disk n1 term=1")
    assert ask(env, "n1", append(1, (0, 0), 1)) is None
    assert sync(env, "n1") == AppendReply(1, True, 1, number=1)


def test_committed_entries_are_never_overridden() -> None:
    """A leader that contradicts what is committed breaks Raft: stop. Section 5.4.3."""
    env = formed("disk n1 terms=1,1 term=1")
    ask(env, "n1", append(1, (0, 0), 1, 1, commit=2))
    with pytest.raises(BrokenInvariant):
        ask(env, "n1", append(2, (0, 0), 2, 2))


# All servers


@pytest.mark.parametrize("role", ["candidate", "leader"])
def test_a_higher_term_makes_a_follower(role: str) -> None:
    """If a request or reply holds a higher term: adopt it, become a follower. Section 5.1."""
    env = formed()
    env.run("campaign n1" if role == "candidate" else "elect n1 n2")
    assert env.nodes["n1"].core.role.value == role
    ask(env, "n1", append(7, (0, 0)))
    core = env.nodes["n1"].core
    assert (core.role, core.current_term, core.voted_for) == (Role.FOLLOWER, 7, None)


def test_committed_entries_are_applied_in_order() -> None:
    """If commitIndex > lastApplied: apply, one after the other. Section 5.3."""
    env = formed()
    env.run("elect n1 n2")
    env.run("propose n1 a b c")
    env.run("stabilize")
    assert [entry.index for entry in env.nodes["n1"].applied] == [1, 2, 3, 4]


# Followers and candidates


def test_a_follower_campaigns_after_the_election_timeout() -> None:
    """No AppendEntries and no vote given for an election timeout: become a candidate. Section
    5.2.
    """
    env = formed()
    core = env.nodes["n1"].core
    env.run("tick n1 0.9")
    assert core.role is Role.FOLLOWER
    env.run("tick n1 0.15")
    assert (core.role, core.current_term, core.voted_for) == (Role.CANDIDATE, 1, "n1")


def test_append_and_a_vote_given_restart_the_timer_nothing_else_does() -> None:
    """The timer restarts for the current leader and for a vote given. Section 5.2."""
    env = formed("disk n1 terms=1 term=1")
    core = env.nodes["n1"].core
    begun = core.wake_at(env.now)
    env.run("advance 0.5")
    ask(env, "n1", vote(2, "n2", (0, 0)))  # refused: its log is shorter
    sync(env, "n1")
    assert core.wake_at(env.now) == begun
    ask(env, "n1", append(1, (0, 0)))  # an old leader
    assert core.wake_at(env.now) == begun
    ask(env, "n1", append(2, (0, 0)))
    assert core.wake_at(env.now) > begun


def test_a_majority_of_votes_makes_a_leader() -> None:
    """Votes from a majority of servers: become leader, and say so at once. Section 5.2."""
    env = formed()
    env.run("campaign n1")
    env.run("persist n1")
    env.run("deliver n1>n2")
    env.run("persist n2")
    env.run("deliver n2=>n1")
    assert env.nodes["n1"].core.role is Role.LEADER
    beats = [w for w in env.wires if isinstance(w.message, AppendRequest) and w.source == "n1"]
    assert {wire.target for wire in beats} == {"n2", "n3"}


def test_a_candidate_follows_a_leader_of_its_term() -> None:
    """AppendEntries from a new leader: become a follower. Section 5.2."""
    env = formed()
    env.run("campaign n1")
    ask(env, "n1", append(1, (0, 0)))
    assert env.nodes["n1"].core.role is Role.FOLLOWER
    assert env.nodes["n1"].core.voted_for == "n1", "its vote stays given"


def test_a_candidate_tries_again_after_a_timeout() -> None:
    """Election timeout elapses: start a new election, in a new term. Section 5.2."""
    env = formed()
    env.run("campaign n1")
    env.run("persist n1")
    env.run("tick n1 0.5")
    assert env.nodes["n1"].core.current_term == 2


def test_two_leaders_of_a_term_cannot_be() -> None:
    """Election safety; whoever sees it broken stops. Section 5.2."""
    env = formed()
    env.run("elect n1 n3")
    with pytest.raises(BrokenInvariant):
        ask(env, "n1", append(1, (0, 0)))


# Leaders


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
