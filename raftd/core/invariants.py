"""What always holds inside one node, asserted while it runs: TigerBeetle's way, Raft's rules.

`positions` is looked at before anything is handed to the machine, every rule of RULES after each
tick and each event. A put pays for the first, three times, 0.3 us each; all of them take 4 us. What
needs more than one node's state, Figure 3 for one, the simulator checks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from raftd.core.effects import BrokenInvariant
from raftd.core.state import HELD_MAX, HELD_VOTES_MAX, State
from raftd.core.types import Role


class Rule(NamedTuple):
    name: str
    says: str
    holds: Callable[[State], bool]


def positions(s: State) -> bool:
    """Figure 2: lastApplied <= commitIndex, and what is committed is in the log."""
    log = s.log
    return (
        s.applied_index <= s.handed_index <= s.commit_index <= log.last_index
        and log.base_index <= s.snapshot.index <= s.commit_index
        and log.durable_index <= log.last_index
    )


def _verified(s: State) -> bool:
    return s.verified_index <= s.log.last_index


def _terms(s: State) -> bool:
    return s.log.last_term <= s.current_term and s.led_by[0] <= s.current_term


def _leader(s: State) -> bool:
    leads = s.role is Role.LEADER
    return leads == (s.leadership is not None) == (s.leader_id == s.me)


def _own_vote(s: State) -> bool:
    return s.role is not Role.LEADER or (s.voted_for == s.me and s.term_is_durable)


def _campaign(s: State) -> bool:
    campaign = s.campaign
    if campaign is None:
        return s.role in (Role.FOLLOWER, Role.LEADER)
    role = Role.PRE_CANDIDATE if campaign.pre else Role.CANDIDATE
    return s.role is role and campaign.term == s.current_term + campaign.pre


def _promises(s: State) -> bool:
    return s.durable_seq < s.next_seq and s.term_seq < s.next_seq


def _held(s: State) -> bool:
    return len(s.held) <= HELD_MAX + HELD_VOTES_MAX


def _configurations(s: State) -> bool:
    indexes = [index for index, _ in s.configurations]
    return bool(indexes) and indexes == sorted(set(indexes)) and indexes[-1] <= s.log.last_index


def _progress(s: State) -> bool:
    lead = s.leadership
    if lead is None:
        return True
    peers = lead.progress
    followed = all(p.match < p.next and p.match <= s.log.last_index for p in peers.values())
    return followed and peers.keys() == set(s.peers())


def _transfer(s: State) -> bool:
    transfer = s.leadership.transfer if s.leadership is not None else None
    return transfer is None or s.configuration.is_voter(transfer.target)


RULES = (
    Rule("positions", "applied <= handed <= commit <= last, snapshot <= commit", positions),
    Rule("verified", "a leader has verified no more of the log than there is", _verified),
    Rule("terms", "no entry and no leader is of a later term than the current one", _terms),
    Rule("leader", "who leads knows itself as the leader, and nobody else does", _leader),
    Rule("own-vote", "a leader has voted for itself, and the vote is durable", _own_vote),
    Rule("campaign", "candidates campaign in their role and term, others do not", _campaign),
    Rule("promises", "nothing is durable, or rests on a write, that was not asked for", _promises),
    Rule("held", "replies that wait for the disk are bounded", _held),
    Rule("configurations", "they ascend, and the one in force is in the log", _configurations),
    Rule("progress", "one for each peer: match < next, match <= last", _progress),
    Rule("transfer", "leadership goes to a voter", _transfer),
)


def check(s: State) -> None:
    """Raises BrokenInvariant, which names the rule: this node contradicts itself and must stop."""
    for rule in RULES:
        if not rule.holds(s):
            raise BrokenInvariant(f"{rule.name}: {rule.says}; here {_picture(s)}")


def _picture(s: State) -> str:
    lead = s.leadership
    peers = "" if lead is None else ", " + "; ".join(str(p) for p in lead.progress.values())
    return (
        f"{s.role.value} of term {s.current_term}, vote {s.voted_for or '-'}, leader "
        f"{s.leader_id or '-'}, snapshot {s.snapshot.index}, applied {s.applied_index}, handed "
        f"{s.handed_index}, commit {s.commit_index}, verified {s.verified_index}, durable "
        f"{s.log.durable_index}, log {s.log.first_index}..{s.log.last_index}, last term "
        f"{s.log.last_term}, {s.configuration}{peers}"
    )
