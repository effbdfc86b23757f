"""Planted bugs that a reader thought of, line by line: what no other one touches."""

from __future__ import annotations

from tests.mutants.planted import core, plant

READING = (
    plant(
        "reset-log-called-durable",
        "until its mark is durable, a received snapshot makes nothing durable",
        core(
            "log",
            "        self.durable_index = min(self.durable_index, still_durable)\n",
            "",
        ),
        by="ack-is-durable core-asserts",
    ),
    plant(
        "trial-vote-counts",
        "a pre-vote is no vote: it is not on disk, and its voter may give another one",
        core("election", "        and campaign.pre == sent.pre\n", ""),
        core(
            "election",
            "s.current_term == (sent.term - 1 if sent.pre else sent.term)",
            "s.current_term in (sent.term - 1, sent.term)",
        ),
        by="elected-by-votes",
    ),
)
