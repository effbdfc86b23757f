"""Asking for votes: what starts a campaign, what decides it (Section 5.2; dissertation 9.6).

A candidate concedes as soon as a majority has become impossible. After a broken link to the leader
the first pre-vote is sent at once.
"""

from __future__ import annotations

from raftd.core import admission, leader, membership, roles
from raftd.core.effects import Effects
from raftd.core.events import EventKind
from raftd.core.messages import Channel, VoteReply, VoteRequest
from raftd.core.quorum import VoteResult
from raftd.core.state import State
from raftd.core.types import Entry, EntryType, NodeId, Role

NEVER = float("-inf")

LINK_LOST_RETRY_MIN = 0.02
LINK_LOST_RETRY_MAX = 0.06
"""Seconds. After a broken link a refused pre-vote is tried again soon: the others see the break a
bit later. So is a split vote, should two of them ask at once all the same.
"""

LINK_LOST_TRIES_MAX = 10
"""How often; after that the usual retry timeout holds."""


def link_lost(s: State, fx: Effects, peer: NodeId, now: float) -> None:
    """The connections to `peer` broke. If it led, ask soon whether the others have lost it, too.

    A pre-vote, so that one broken path disturbs nobody. At most once per leader and election
    timeout, and staggered: all followers see a leader's death in the same millisecond.
    """
    since = now - s.link_lost_at
    recent = s.link_lost_to == peer and since < s.settings.election_timeout_min
    if s.role is not Role.FOLLOWER or s.leader_id != peer or s.link_lost or recent:
        return
    s.link_lost, s.link_lost_at, s.link_lost_to, s.link_lost_tries = True, now, peer, 0
    s.election_deadline = now + _stagger(s, peer)
    s.event(fx, EventKind.LEADER, f"the link to leader {peer} broke", peer)


def _stagger(s: State, lost: NodeId) -> float:
    """Seconds until this voter asks: the others of `lost` have turns, in another order each term.

    The story without turns: two that draw nearly the same wait both win a pre-vote and split the
    votes, and the next attempt costs as much again as the whole election.
    """
    voters = sorted(s.configuration.voters_besides(lost))
    if s.me not in voters:
        return s.settings.link_lost_stagger_max
    turn = (voters.index(s.me) + s.current_term) % len(voters)
    return s.settings.link_lost_stagger_max * (turn + s.uniform(0.0, 0.5)) / len(voters)


def timeout(s: State, fx: Effects, now: float) -> None:
    """Figure 2, "Followers": nothing was heard for an election timeout. Late timers: `timers`."""
    late = now - s.election_deadline > s.settings.heartbeat_interval
    if late and not s.late_rearmed:
        s.election_deadline = now + s.settings.heartbeat_interval
        s.late_rearmed = True
        return
    why = "the link to the leader broke" if s.link_lost else "election timeout"
    if not s.may_vote or not membership.may_campaign(s):
        _wait_for_leader(s, fx, now, why)
    elif s.settings.prevote:
        start_prevote(s, fx, now, why)
    elif not s.term_is_durable:
        roles.lose_leader(s, fx, why)
        roles.arm_retry(s, now)  # its disk hangs: one more term would ask nobody either
    else:
        start(s, fx, now, why)


def _wait_for_leader(s: State, fx: Effects, now: float, why: str) -> None:
    """A learner, or whoever else may not campaign, has lost its leader all the same.

    The story without it: a learner that was cut off named its dead leader for ever, called itself
    ready, and kept what its clients asked until it could ask that leader.
    """
    if not s.removed:
        admission.greet_again(s)
    roles.lose_leader(s, fx, why)
    roles.arm_election(s, now)


def start_prevote(s: State, fx: Effects, now: float, why: str) -> None:
    """Ask whether we could win. Alone in the cluster the answer is known at once."""
    roles.become_pre_candidate(s, fx, now, why)
    judge(s, fx, now)


def start(s: State, fx: Effects, now: float, why: str, *, transfer: bool = False) -> None:
    """Alone in the cluster, or with a vote that is durable already, it may be won at once."""
    roles.become_candidate(s, fx, now, why, transfer=transfer)
    judge(s, fx, now)


def next_vote_request(s: State, peer: NodeId, now: float) -> VoteRequest | None:
    """Each voter is asked once a campaign, and again when the request got lost."""
    campaign = s.campaign
    if campaign is None or peer in campaign.asked or not s.configuration.is_voter(peer):
        return None
    if now < campaign.ask_again_at.get(peer, NEVER):
        return None
    campaign.asked.add(peer)
    return VoteRequest(
        campaign.term,
        s.me,
        s.log.last_index,
        s.log.last_term,
        pre=campaign.pre,
        transfer=campaign.transfer,
        number=s.next_number(),
        pulled_at=now,
    )


def wake_unasked(s: State, fx: Effects, now: float) -> None:
    """Those whose vote request got lost may be asked again."""
    if s.campaign is None:
        return
    for peer, at in s.campaign.ask_again_at.items():
        if peer not in s.campaign.asked and now >= at:
            fx.wake[(peer, Channel.CONTROL)] = None


def on_vote_lost(s: State, fx: Effects, peer: NodeId, sent: VoteRequest, now: float) -> None:
    """No answer will come: ask once more in this candidacy, but not in a tight loop. Not who lost
    its vote meanwhile: next_vote_request has nothing for it, and `wake_at` would say "now" on.
    """
    campaign = s.campaign
    if campaign is None or not is_current(s, sent) or not s.configuration.is_voter(peer):
        return
    if s.link_lost and peer == s.link_lost_to:
        # The leader whose death this is about: waiting for its answer would hide that the others
        # have refused, and cost a whole retry timeout where tens of ms do.
        count(s, peer, False)
        judge(s, fx, now)
    else:
        campaign.asked.discard(peer)
        campaign.ask_again_at[peer] = now + s.settings.heartbeat_interval / 2


def is_current(s: State, sent: VoteRequest) -> bool:
    """Does an answer to `sent` still concern the candidacy that we are in?"""
    campaign = s.campaign
    return (
        campaign is not None
        and campaign.term == sent.term
        and campaign.pre == sent.pre
        and s.current_term == (sent.term - 1 if sent.pre else sent.term)
    )


def on_vote_reply(
    s: State, fx: Effects, peer: NodeId, sent: VoteRequest, reply: VoteReply, now: float
) -> None:
    if reply.removed:
        roles.note_removed(s, fx, now, f"{peer} says so")
    elif is_current(s, sent):
        count(s, peer, reply.granted)
        judge(s, fx, now)


def count(s: State, peer: NodeId, granted: bool) -> None:
    """One vote a voter, in this candidacy only."""
    assert s.campaign is not None
    s.campaign.votes.setdefault(peer, granted)


def lacks_only_own_vote(s: State) -> bool:
    """With `self_vote_last`: would our own vote complete the majority?"""
    campaign = s.campaign
    assert campaign is not None
    with_own = {**campaign.votes, s.me: True}
    return s.configuration.vote_result(with_own) is VoteResult.WON


def judge(s: State, fx: Effects, now: float) -> None:
    """Act on the votes so far, as soon as they decide."""
    campaign = s.campaign
    if campaign is None:
        return
    result = s.configuration.vote_result(campaign.votes)
    if result is VoteResult.WON:
        if campaign.pre:
            start(s, fx, now, "pre-vote won")
        elif s.me in campaign.votes:
            _win(s, fx, now)
        else:  # the others sufficed, but there is no leader without its own vote
            _vote_for_self_last(s, fx, now)
    elif result is VoteResult.LOST and s.settings.concede:
        _concede(s, fx, now)
    elif s.settings.self_vote_last and not campaign.pre:
        _vote_for_self_last(s, fx, now)


def _win(s: State, fx: Effects, now: float) -> None:
    """Section 5.4.2 and 8: a no-op at once, else older entries and reads wait for a client."""
    roles.become_leader(s, fx, now)
    noop = Entry(s.log.last_index + 1, s.current_term, EntryType.NOOP, b"")
    leader.append(s, fx, now, (noop,))
    s.wake_all(fx, Channel.CONTROL, Channel.APPEND)


def _vote_for_self_last(s: State, fx: Effects, now: float) -> None:
    campaign = s.campaign
    assert campaign is not None
    if campaign.own_vote is None and s.voted_for is None and lacks_only_own_vote(s):
        s.voted_for = s.me
        campaign.own_vote = s.write(fx, now, hard_state=True)


def own_vote_is_durable(s: State, fx: Effects, now: float) -> None:
    """A write became durable: if it was our own vote, it counts from now on."""
    campaign = s.campaign
    if campaign is None or campaign.own_vote is None or campaign.own_vote > s.durable_seq:
        return
    if s.me not in campaign.votes:
        count(s, s.me, True)
        judge(s, fx, now)


def _concede(s: State, fx: Effects, now: float) -> None:
    """A majority of refusals: this candidacy cannot be won, so stop asking.

    It gives its vote to nobody.
    """
    roles.become_follower(s, fx, None, now, "refused by too many voters")
    roles.arm_retry(s, now)
    if s.link_lost and s.link_lost_tries < LINK_LOST_TRIES_MAX:
        s.link_lost_tries += 1
        s.election_deadline = now + s.uniform(LINK_LOST_RETRY_MIN, LINK_LOST_RETRY_MAX)
