"""Planted bugs of changes of the members."""

from __future__ import annotations

from tests.mutants.planted import core, plant

MEMBERS = (
    plant(
        "change-before-the-own-term-commits",
        "a leader changes the members only after an entry of its own term is committed (2015)",
        core(
            "changes",
            "    if s.commit_index < lead.first_index:\n        raise",
            "    if 0:\n        raise",
        ),
        by="own-term-before-change script:single_server_bug",
    ),
    plant(
        "two-changes-at-once",
        "a change is proposed only when the one before is committed (4.1)",
        core(
            "changes",
            "    if s.configurations[-1][0] > s.commit_index or s.configuration.outgoing:\n",
            "    if False:\n",
        ),
        by="one-change-at-a-time",
    ),
    plant(
        "removed-leader-counts-itself",
        "a leader that removes itself does not count itself (4.2.2)",
        core(
            "leader",
            "    reached = s.configuration.reached_by_majority(match)\n",
            "    alone = type(s.configuration)(tuple({*s.configuration.voters, s.me}))\n"
            "    reached = alone.reached_by_majority(match)\n",
        ),
        core("leader", "    if not s.configuration.has_majority(holders):\n", "    if False:\n"),
        by="committed-is-durable",
    ),
    plant(
        "learners-vote-counts",
        "a learner has no vote",
        core(
            "election",
            "    result = s.configuration.vote_result(campaign.votes)\n",
            "    voters = {*s.configuration.members()}\n"
            "    result = type(s.configuration)(tuple(voters)).vote_result(campaign.votes)\n",
        ),
        core(
            "election",
            "peer in campaign.asked or not s.configuration.is_voter(peer):\n",
            "peer in campaign.asked or not s.configuration.is_member(peer):\n",
        ),
        by="elected-by-votes",
    ),
    plant(
        "configuration-lost-in-a-snapshot",
        "a snapshot holds the configuration of its index (7)",
        core(
            "membership",
            "            break\n        found = configuration\n    return found\n",
            "            break\n    return found\n",
        ),
        by="snapshot-keeps-members",
    ),
    plant(
        "snapshot-brings-no-configuration",
        "whoever installs a snapshot goes by its configuration (Figure 13, rule 8)",
        core(
            "membership",
            "    set_configuration(s, fx, now, [(meta.index, meta.configuration)])\n",
            "    set_configuration(s, fx, now, [(meta.index, s.configuration)])\n",
        ),
        by="configuration-in-force",
    ),
    plant(
        "progress-kept-of-a-removed-peer",
        "a leader's progress follows the configuration",
        core("membership", "        lead.progress.pop(peer, None)\n", "        pass\n"),
        by="progress-of-members core-asserts",
    ),
    plant(
        "who-was-removed-is-called",
        "what is lost or answered by a peer that was removed meanwhile is no reason to call it",
        core("step", "    if s.configuration.is_member(peer):\n", "    if True:\n"),
        by="members-are-called",
    ),
    plant(
        "members-of-a-passed-configuration-are-woken",
        "of two configurations in one message only the members of the last one are called",
        core("membership", "    _wake_no_more(s, fx, gone)\n", "    pass\n"),
        by="members-are-called",
    ),
    plant(
        "greetings-of-who-is-no-member",
        "of a Hello by or to a node that is no member nothing is kept",
        core(
            "admission",
            "    if not s.configuration.is_member(peer):\n        return\n    s.recorded",
            "    s.recorded",
        ),
        core(
            "admission",
            "    if not s.configuration.is_member(peer):\n        return\n    greeting",
            "    greeting",
        ),
        core(
            "admission",
            "    greeting = s.greetings.get(peer)\n    if greeting is not None:  # else",
            "    greeting = greeting_of(s, peer)\n    if True:  # else",
        ),
        by="kept-of-members",
    ),
    plant(
        "learner-keeps-a-silent-leader",
        "who may not campaign gives up a silent leader all the same",
        core(
            "election",
            "    roles.lose_leader(s, fx, why)\n    roles.arm_election(s, now)\n",
            "    roles.arm_election(s, now)\n",
        ),
        by="silent-leader-ends",
    ),
    plant(
        "heartbeat-is-due-to-who-was-never-met",
        "a timer that nothing can be done for is not due",
        core("timers", "        if progress.peer in s.incarnations:", "        if True:"),
        by="timers-end",
    ),
    plant(
        "due-hello-wakes-nobody",
        "whoever is owed something is woken when it is due",
        core("timers", "    admission.wake_ungreeted(s, fx, now)\n", ""),
        by="timers-end",
    ),
    plant(
        "truncated-configuration-stays",
        "a configuration is out of force when its entry is truncated (4.1)",
        core("membership", "    if len(kept) < len(s.configurations):\n", "    if False:\n"),
        by="configuration-in-force core-asserts",
    ),
    plant(
        "joint-by-the-new-voters-alone",
        "a joint configuration commits by both majorities (6)",
        core(
            "types",
            "        return min(reached, quorum.reached_by_majority(self.outgoing, value_of))\n",
            "        return reached\n",
        ),
        core("leader", "    if not s.configuration.has_majority(holders):\n", "    if False:\n"),
        by="committed-is-durable script:replace_joint",
    ),
    plant(
        "removed-by-what-is-not-committed",
        "who is removed is told so only when that is committed",
        core("voting", "membership.committed(s).retired", "s.configuration.retired"),
        core(
            "admission",
            "    if node in membership.committed(s).retired:\n",
            "    if node in s.configuration.retired:\n",
        ),
        core(
            "admission",
            "and identity.node in membership.committed(s).retired",
            "and identity.node in s.configuration.retired",
        ),
        by="only-the-removed-leave",
    ),
    plant(
        "voter-that-may-not-vote",
        "a node that is still joining does not become a voter",
        core("changes", "    _check_admitted(lead, change)\n", ""),
        by="liveness",
    ),
    plant(
        "hands-over-to-the-preferred-at-once",
        "a preferred node leads after it has been able to for a while",
        core(
            "transfer",
            "    if target is None:\n        lead.prefer_at",
            "    if 0:\n        lead.prefer_at",
        ),
        core("transfer", 'lead.prefer_at == float("inf")', "0"),
        core("transfer", "    elif now >= lead.prefer_at:", "    elif target is not None:"),
        by="script:preferred_leader",
    ),
)
