"""The planted bugs. `invariants`: by which of the simulator's it must be caught; `scripts`: or by which conversation."""

from __future__ import annotations

from dataclasses import dataclass

from tests.mutants.patching import Patch

CORE = "raftd.core."


@dataclass(frozen=True, slots=True)
class Mutant:
    """rule: what is broken, in the words of the paper or of the checklist it comes from."""

    name: str
    rule: str
    patches: tuple[Patch, ...]
    invariants: tuple[str, ...] = ()
    scripts: tuple[str, ...] = ()


def _core(module: str, old: str, new: str) -> Patch:
    return Patch(CORE + module, old, new)


MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "vote-cleared-within-a-term",
        "votedFor is cleared only when the term rises (Figure 2)",
        (
            _core(
                "roles",
                "    s.role, s.leader_id = Role.FOLLOWER, leader\n",
                "    s.role, s.leader_id = Role.FOLLOWER, leader\n    s.voted_for = None\n",
            ),
        ),
        invariants=("one-vote-per-term",),
    ),
    Mutant(
        "commit-by-counting-an-old-term",
        "only entries of the current term are committed by counting (Figure 8)",
        (_core("leader", " or s.log.term_at(reached) != s.current_term", ""),),
        invariants=("own-term-commit",),
    ),
    Mutant(
        "own-match-before-fsync",
        "a leader's own share counts when it is durable",
        (_core("leader", "return s.log.durable_index", "return s.log.last_index"),),
        invariants=("committed-is-durable",),
    ),
    Mutant(
        "read-round-reused",
        "answers count only for reads that were queued before their request was pulled",
        (_core("reads", "PendingRead(token, s.pull_number, index", "PendingRead(token, 0, index"),),
        invariants=("read-index",),
    ),
    Mutant(
        "resend-acknowledged-before-its-write",
        "a resend has nothing to write and must wait for the write that covers it",
        (
            _core(
                "follower",
                "    if request.entries:\n        _store(s, fx, request, now)\n",
                "    resend = bool(request.entries) and _first_new(s, request) is None\n"
                "    if request.entries:\n        _store(s, fx, request, now)\n",
            ),
            _core(
                "follower",
                "    s.hold(fx, token, s.log.write_of(last) if request.entries else 0, make)\n",
                "    if resend:\n"
                "        s.hold(fx, token, 0, lambda: AppendReply(s.current_term, True, last, number=number))\n"
                "        return\n"
                "    s.hold(fx, token, s.log.write_of(last) if request.entries else 0, make)\n",
            ),
        ),
        invariants=("ack-is-durable",),
    ),
    Mutant(
        "aba-on-disk",
        "durable is the longest prefix whose *last* writes are synced",
        (
            _core(
                "log",
                "        while self._runs and self._runs[-1][0] >= first:\n"
                "            last_seq = self._runs.pop()[1]\n",
                "",
            ),
        ),
        invariants=("ack-is-durable",),
    ),
    Mutant(
        "snapshot-acknowledged-before-its-marker",
        "entries after a received snapshot are acknowledged when it is marked in the log",
        (
            _core(
                "log",
                "        self.durable_index = min(self.durable_index, still_durable)\n",
                "        self.durable_index = base_index\n",
            ),
        ),
        invariants=("ack-is-durable",),
    ),
    Mutant(
        "vote-not-persisted",
        "a vote is durable before it leaves",
        (
            _core(
                "candidate",
                "        s.voted_for = request.candidate\n        s.write(fx, now, hard_state=True)\n",
                "        s.voted_for = request.candidate\n",
            ),
        ),
        invariants=("vote-is-durable",),
    ),
    Mutant(
        "heartbeat-acknowledges-memory",
        "a heartbeat answered at once must not acknowledge what is only in memory",
        (
            _core(
                "follower",
                "        return AppendReply(s.current_term, True, durable_for_leader(s), number=number)\n",
                "        durable = durable_for_leader(s) if request.entries else s.verified_index\n"
                "        return AppendReply(s.current_term, True, durable, number=number)\n",
            ),
        ),
        invariants=("ack-is-durable",),
    ),
    Mutant(
        "unadmitted-node-answers",
        "a node that is not admitted answers NOT_ADMITTED to everything but Hello",
        (_core("core", "elif not s.may_vote:", "elif False:"),),
        invariants=("admission",),
    ),
)
