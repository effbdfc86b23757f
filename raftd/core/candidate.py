"""Elections (Section 5.2, 5.4.1; dissertation 3.10, 4.2.3, 9.6): asking for votes and giving them.

The order of the rules for an incoming vote request is the heart of it:
  (a) wrong cluster, incarnation or addressee: the shell has dropped it already;
  (b) a leader is known to be alive and this is no hand-over: refuse, *without* adopting the term;
  (c) a pre-vote changes nothing here, it is only judged;
  (d) a higher term is adopted, which clears the vote, and then the request is judged.
"""

from __future__ import annotations

from raftd.core.effects import Effects, Token
from raftd.core.messages import VoteReply, VoteRequest
from raftd.core.quorum import VoteResult, majority, reached_by_majority, vote_result
from raftd.core.state import Campaign, State
from raftd.core.types import Index, NodeId, Role, Term

NEVER = float("-inf")


def up_to_date(s: State, last_index: Index, last_term: Term) -> bool:
    """Is a log that ends there at least as up-to-date as ours? Term first, then index. Section
    5.4.1.
    """
    return (last_term, last_index) >= (s.log.last_term, s.log.last_index)


def leader_is_alive(s: State, now: float) -> bool:
    """Heard within the minimum election timeout, its link not lost; a leader: a majority heard from
    it.
    """
    horizon = now - s.settings.election_timeout_min
    if s.role is Role.LEADER:
        return quorum_contact(s, now) > horizon
    if s.leader_id is None or s.leader_contact is None or s.link_lost:
        return False
    return s.leader_contact > horizon


def quorum_contact(s: State, now: float) -> float:
    """Since when a leader has not heard from a majority; dated by when the answered requests were
    pulled.
    """
    lead = s.leadership
    assert lead is not None

    def contact(voter: NodeId) -> float:
        if voter == s.me:
            return now
        progress = lead.progress.get(voter)
        heard = progress.contact if progress else None
        return lead.since if heard is None else heard

    return reached_by_majority(s.configuration.voters, contact)


def judge_prevote(s: State, request: VoteRequest) -> bool:
    """Would we vote for it? Nothing changes here: not the term, the vote nor the timer."""
    free = request.term > s.current_term or (
        request.term == s.current_term and s.voted_for in (None, request.candidate)
    )
    return free and up_to_date(s, request.last_index, request.last_term)


def judge_vote(s: State, request: VoteRequest) -> bool:
    """Figure 2, RequestVote, receiver rules 1 and 2.

    The term was adopted before, if it was higher.
    """
    if request.term < s.current_term or s.role is Role.LEADER:
        return False
    free = s.voted_for in (None, request.candidate)
    return free and up_to_date(s, request.last_index, request.last_term)


def refuse(s: State, fx: Effects, request: VoteRequest, token: Token) -> None:
    reply = VoteReply(s.current_term, False, request.pre)
    s.hold(fx, token, 0, lambda: reply, survives_term=True)


def grant(s: State, fx: Effects, request: VoteRequest, now: float, token: Token) -> None:
    """Remember the vote; the grant leaves when it is durable.

    A vote given again waits for the same write.
    """
    if s.voted_for is None:
        s.voted_for = request.candidate
        s.write(fx, now, hard_state=True)
    reply = VoteReply(s.current_term, True, False)

    def make() -> VoteReply:
        return reply

    s.hold(fx, token, s.term_seq, make, survives_term=True)


# -- asking --


def next_vote_request(s: State, peer: NodeId, now: float) -> VoteRequest | None:
    campaign = s.campaign
    if campaign is None or peer in campaign.asked or peer not in s.configuration.voters:
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


def is_current(s: State, sent: VoteRequest) -> bool:
    """Does an answer to `sent` still concern the candidacy that we are in? Three-way check of
    terms.
    """
    campaign = s.campaign
    return (
        campaign is not None
        and campaign.term == sent.term
        and campaign.pre == sent.pre
        and s.current_term == (sent.term - 1 if sent.pre else sent.term)
    )


def count(s: State, peer: NodeId, granted: bool) -> VoteResult:
    """One vote a voter, in this candidacy only."""
    campaign = s.campaign
    assert campaign is not None
    campaign.votes.setdefault(peer, granted)
    return vote_result(s.configuration.voters, campaign.votes)


def lacks_only_own_vote(s: State) -> bool:
    """With `self_vote_last`: would our own vote complete the majority?"""
    campaign = s.campaign
    assert campaign is not None
    granted = sum(campaign.votes.get(voter) is True for voter in s.configuration.voters)
    return granted + 1 >= majority(len(s.configuration.voters))


def ask_again_later(s: State, campaign: Campaign, peer: NodeId, now: float) -> None:
    """The request got lost: ask once more in this candidacy, but not in a tight loop."""
    campaign.asked.discard(peer)
    campaign.ask_again_at[peer] = now + s.settings.heartbeat_interval / 2
