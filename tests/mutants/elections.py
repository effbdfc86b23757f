"""Planted bugs of votes, terms, admission and hand-over."""

from __future__ import annotations

from tests.mutants.planted import core, plant

ELECTIONS = (
    plant(
        "vote-cleared-within-a-term",
        "votedFor is cleared only when the term rises (Figure 2)",
        core(
            "roles",
            "    s.role, s.leader_id = Role.FOLLOWER, leader\n",
            "    s.role, s.leader_id, s.voted_for = Role.FOLLOWER, leader, None\n",
        ),
        by="one-vote-per-term",
    ),
    plant(
        "vote-not-persisted",
        "a vote is durable before it leaves",
        core(
            "voting",
            "        s.voted_for = request.candidate\n        s.write(fx, now, hard_state=True)\n",
            "        s.voted_for = request.candidate\n",
        ),
        by="vote-is-durable",
    ),
    plant(
        "unadmitted-node-answers",
        "a node that is not admitted answers NOT_ADMITTED to everything but Hello",
        core(
            "step",
            "elif not s.may_vote and not _from_leader_to_joiner(s, request):",
            "elif False:",
        ),
        by="admission",
    ),
    plant(
        "vote-leaves-before-its-sync",
        "a vote is durable before it leaves",
        core(
            "voting",
            "    s.hold(fx, token, s.term_seq, reply, survives_term=True)\n",
            "    fx.replies.append((token, reply))\n",
        ),
        by="vote-is-durable",
    ),
    plant(
        "request-leaves-before-its-term",
        "a new term is synced before a request of that term leaves",
        core(
            "core",
            "not s.may_vote or not s.term_is_durable or",
            "not s.may_vote or",
        ),
        by="term-is-durable",
    ),
    plant(
        "adopted-term-not-persisted",
        "a term that is adopted is durable before it is shown",
        core(
            "roles",
            "    s.verified_index = 0\n"
            "    s.write(fx, now, hard_state=True)\n"
            "    _refuse_held(s)\n"
            "    s.event",
            "    s.verified_index = 0\n    _refuse_held(s)\n    s.event",
        ),
        by="term-is-durable",
    ),
    plant(
        "any-log-wins",
        "a vote goes only to a log at least as up-to-date (5.4.1)",
        core(
            "voting",
            "    return (last_term, last_index) >= (s.log.last_term, s.log.last_index)\n",
            "    return True\n",
        ),
        by="leader-completeness",
    ),
    plant(
        "length-before-term",
        "logs are compared by last term first (5.4.1)",
        core(
            "voting",
            "(last_term, last_index) >= (s.log.last_term, s.log.last_index)",
            "(last_index, last_term) >= (s.log.last_index, s.log.last_term)",
        ),
        by="leader-completeness",
    ),
    plant(
        "half-is-a-majority",
        "a majority is more than half",
        core(
            "quorum",
            "    return count // 2 + 1\n",
            "    return (count + 1) // 2\n",
        ),
        by="elected-by-votes core-asserts election-safety committed-is-durable "
        "leader-completeness read-index",
    ),
    plant(
        "votes-of-another-candidacy-count",
        "votes count in the current candidacy only",
        core(
            "election",
            "        campaign is not None\n"
            "        and campaign.term == sent.term\n"
            "        and campaign.pre == sent.pre\n"
            "        and s.current_term == (sent.term - 1 if sent.pre else sent.term)\n",
            "        campaign is not None\n",
        ),
        by="elected-by-votes election-safety",
    ),
    plant(
        "candidate-gives-its-vote-away",
        "who has voted for itself grants nobody its vote",
        core(
            "voting",
            "    free = s.voted_for in (None, request.candidate)\n",
            '    free = s.voted_for in (None, request.candidate) or s.role.name == "CANDIDATE"\n',
        ),
        by="one-vote-per-term",
    ),
    plant(
        "own-vote-after-another",
        "the own vote, cast last, is cast only if nobody else got it",
        core(
            "election",
            "campaign.own_vote is None and s.voted_for is None and",
            "campaign.own_vote is None and",
        ),
        core(
            "voting",
            "        if s.role is not Role.FOLLOWER:\n"
            '            roles.become_follower(s, fx, None, now, f"voted for '
            '{request.candidate}")\n',
            "",
        ),
        by="one-vote-per-term",
    ),
    plant(
        "own-vote-before-its-sync",
        "a leader's own vote counts when it is durable, alone too",
        core(
            "roles",
            "        s.campaign.own_vote = seq\n",
            "        s.campaign.own_vote = seq\n        s.campaign.votes[s.me] = True\n",
        ),
        core(
            "roles",
            "    if s.voted_for != s.me or not s.term_is_durable:\n",
            "    if s.voted_for != s.me:\n",
        ),
        by="vote-is-durable core-asserts",
    ),
    plant(
        "vote-forgotten-at-restart",
        "votedFor survives a restart",
        core(
            "recover",
            "voted_for=recovered.hard_state.vote",
            "voted_for=None",
        ),
        by="one-vote-per-term",
    ),
    plant(
        "record-shown-before-its-sync",
        "a record of an incarnation is a promise",
        core(
            "admission",
            "found = s.durable_records.get(node)",
            "found = s.records.get(node)",
        ),
        by="record-is-durable",
    ),
    plant(
        "admitted-before-its-mark",
        "the mark of admission is durable before the first word",
        core(
            "state",
            "return self.admitted and self.admitted_seq <= self.durable_seq",
            "return self.admitted",
        ),
        by="admission",
    ),
    plant(
        "new-incarnation-accepted",
        "the first incarnation heard for an id stands for ever",
        core(
            "admission",
            "    if known not in (None, incarnation):\n        s.event(",
            "    if False:\n        s.event(",
        ),
        by="admission",
    ),
    plant(
        "forged-request-believed",
        "what no correct peer can say is refused before anything has changed",
        core("core", "        plausible.check_request(self._s, request)\n", ""),
        by="script:forged",
    ),
    plant(
        "forged-answer-believed",
        "a follower's log cannot hold more of a leader's than the leader has",
        core("core", "        plausible.check_reply(self._s, sent, reply)\n", ""),
        by="script:forged",
    ),
    plant(
        "own-entries-taken-back",
        "a leader never overwrites entries of its term (Figure 3)",
        core(
            "plausible",
            "        if request.entries and request.term == s.current_term:\n",
            "        if False:\n",
        ),
        by="script:forged",
    ),
    plant(
        "stranger-recorded",
        "a name in no configuration is not recorded: it could speak as a peer",
        core("admission", "        if not _may_be_behind(s, now):\n", "        if False:\n"),
        by="script:forged",
    ),
    plant(
        "hello-shows-all-records",
        "a Hello teaches nothing of others than its sender",
        core(
            "admission",
            "    return () if found is None else ((node, found),)\n",
            "    return tuple(sorted(s.durable_records.items()))\n",
        ),
        by="script:forged",
    ),
    plant(
        "reply-released-one-write-early",
        "a held reply waits for its own write",
        core(
            "durability",
            "        if held.seq > s.durable_seq:\n",
            "        if held.seq > s.durable_seq + 1:\n",
        ),
        by="vote-is-durable term-is-durable record-is-durable",
    ),
    plant(
        "pre-vote-moves-the-term",
        "a pre-vote changes nothing at the voter (9.6)",
        core(
            "step",
            "    if request.pre or voting.defends_leader(s, request, now):\n",
            "    if voting.defends_leader(s, request, now):\n",
        ),
        by="script:prevote_changes_nothing",
    ),
    plant(
        "no-stickiness",
        "while a leader is alive, votes are refused without adopting the term",
        core(
            "voting",
            "    return not request.transfer and contact.leader_is_alive(s, now)\n",
            "    return False\n",
        ),
        by="script:prevote_order",
    ),
    plant(
        "transfer-refused-by-stickiness",
        "a hand-over election is not held up by the old leader's followers",
        core(
            "voting",
            "    return not request.transfer and contact.leader_is_alive(s, now)\n",
            "    return contact.leader_is_alive(s, now)\n",
        ),
        by="script:transfer",
    ),
    plant(
        "late-tick-campaigns",
        "a late timer re-arms once instead of campaigning",
        core(
            "election",
            "    if late and not s.late_rearmed:\n",
            "    if False:\n",
        ),
        by="script:late_tick",
    ),
    plant(
        "no-check-quorum",
        "a leader without a majority in contact steps down (6.2)",
        core(
            "contact",
            "    if not s.settings.check_quorum:\n        return\n",
            "    return\n",
        ),
        by="script:late_tick_leader",
    ),
    plant(
        "proposals-during-a-transfer",
        "no proposals while leadership is handed over (3.10)",
        core(
            "leader",
            "    if lead.transfer is not None:\n"
            "        target = lead.transfer.target\n"
            '        raise Unavailable(f"leadership is being handed to {target}", target)\n'
            "    if s.unsynced",
            "    if s.unsynced",
        ),
        by="script:transfer",
    ),
)
