"""Planted bugs of what a leader sends again, and of tails and votes that a disk has lost."""

from __future__ import annotations

from tests.mutants.planted import core, plant

SENDING = (
    plant(
        "refused-snapshot-sent-for-ever",
        "a refused snapshot gives way to a newer one",
        core(
            "install_snapshot",
            "    return sending.refusals > 0 and s.snapshot != sending.meta\n",
            "    return False\n",
        ),
        by="script:snapshot_refused_then_newer",
    ),
    plant(
        "rotten-snapshot-sent",
        "a file that is known to have gone bad is not sent",
        core("install_snapshot", " or sending.meta == s.rotten", ""),
        by="script:snapshot_refused_then_newer",
    ),
    plant(
        "rotten-snapshot-not-replaced",
        "one of the same index takes the place of a rotten one",
        core("snapshots", " and not _replaces_rotten(s, meta):", ":"),
        by="script:snapshot_refused_then_newer",
    ),
    plant(
        "timeout-now-sent-once",
        "a hand-over is asked for until its deadline",
        core(
            "transfer",
            "    transfer.not_before = now + 2 * s.settings.heartbeat_interval\n",
            "    transfer.not_before = transfer.deadline\n",
        ),
        by="script:transfer_resent",
    ),
    plant(
        "lost-tail-never-sent-again",
        "who has lost what it acknowledged is served from what it has",
        core(
            "progress",
            "        return refused and sent.number > self.matched_number\n",
            "        return False\n",
        ),
        by="script:lost_tail refused-is-not-repeated",
    ),
    plant(
        "late-refusal-moves-match-back",
        "match falls only by what was asked after it rose",
        core(
            "progress",
            "        return refused and sent.number > self.matched_number\n",
            "        return refused\n",
        ),
        by="script:lost_tail",
    ),
    plant(
        "late-answer-of-a-lost-log",
        "match rises by no answer that is older than the news of a loss",
        core("progress", " or number <= self.fell_number:", ":"),
        by="script:lost_tail_late_answer",
    ),
    plant(
        "vote-in-a-term-that-was-led",
        "who has heard a term's leader votes for nobody in it",
        core("voting", "    if was_led(s, request.term):\n        return False\n", ""),
        by="script:lost_vote",
    ),
    plant(
        "pre-vote-in-a-term-that-was-led",
        "no pre-vote for a term in which there would be no vote",
        core(
            "voting",
            "        return judge_vote(s, request)\n    return up_to_date",
            "        pass\n    return up_to_date",
        ),
        by="script:prevote_in_a_led_term",
    ),
)
