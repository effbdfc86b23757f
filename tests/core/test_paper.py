"""The rules of the paper's Figure 2 for all servers, followers and candidates, one test each.

Each docstring ends with the section. The leaders' rules are in test_paper_leaders.
"""

from __future__ import annotations

import pytest

from raftd.core.effects import ImpossibleMessage
from raftd.core.messages import AppendReply, AppendRequest, VoteReply
from raftd.core.types import Role
from tests.core.paper import append, ask, formed, sync, vote

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
    """A leader that contradicts what is committed is none: it is refused. Section 5.4.3."""
    env = formed("disk n1 terms=1,1 term=1")
    ask(env, "n1", append(1, (0, 0), 1, 1, commit=2))
    with pytest.raises(ImpossibleMessage):
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
    """Election safety; who claims to be the second is refused. Section 5.2."""
    env = formed()
    env.run("elect n1 n3")
    with pytest.raises(ImpossibleMessage):
        ask(env, "n1", append(1, (0, 0)))
