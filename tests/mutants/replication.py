"""Planted bugs of appends, commits and reads."""

from __future__ import annotations

from tests.mutants.planted import core, plant

REPLICATION = (
    plant(
        "commit-by-counting-an-old-term",
        "only entries of the current term are committed by counting (Figure 8)",
        core(
            "leader",
            " or s.log.term_at(reached) != s.current_term",
            "",
        ),
        by="own-term-commit",
    ),
    plant(
        "own-match-before-fsync",
        "a leader's own share counts when it is durable",
        core(
            "leader",
            "return s.log.durable_index",
            "return s.log.last_index",
        ),
        by="committed-is-durable core-asserts",
    ),
    plant(
        "read-round-reused",
        "answers count only for reads queued before their request was pulled",
        core(
            "reads",
            "PendingRead(token, s.pull_number, index",
            "PendingRead(token, 0, index",
        ),
        by="read-index script:read_round_not_reused",
    ),
    plant(
        "resend-acknowledged-before-its-write",
        "a resend has nothing to write and must wait for the write that covers it",
        core(
            "follower",
            "    if request.entries:\n        _store(s, fx, request, now)\n",
            "    resend = bool(request.entries) and _first_new(s, request) is None\n"
            "    if request.entries:\n"
            "        _store(s, fx, request, now)\n",
        ),
        core(
            "follower",
            "    s.hold_late(fx, token, s.log.write_of(last) if request.entries else 0, make)\n",
            "    if resend:\n"
            "        early = AppendReply(s.current_term, True, last, number=number)\n"
            "        s.hold(fx, token, 0, early)\n"
            "        return\n"
            "    s.hold_late(fx, token, s.log.write_of(last) if request.entries else 0, make)\n",
        ),
        by="ack-is-durable",
    ),
    plant(
        "aba-on-disk",
        "durable is the longest prefix whose *last* writes are synced",
        core(
            "log",
            "        while self._runs and self._runs[-1][0] >= first:\n"
            "            last_seq = self._runs.pop()[1]\n",
            "",
        ),
        by="ack-is-durable core-asserts",
    ),
    plant(
        "heartbeat-acknowledges-memory",
        "a heartbeat must not acknowledge what is only in memory",
        core(
            "follower",
            "    def make() -> AppendReply:\n        durable = durable_for_leader(s)\n"
            "        unfit, room = s.unfit, snapshots.room(s)\n"
            "        return AppendReply(\n            s.current_term, True",
            "    def make() -> AppendReply:\n"
            "        durable = durable_for_leader(s) if request.entries else s.verified_index\n"
            "        unfit, room = s.unfit, snapshots.room(s)\n"
            "        return AppendReply(\n            s.current_term, True",
        ),
        by="ack-is-durable",
    ),
    plant(
        "full-log-takes-entries",
        "the log in memory is bounded on a follower, too",
        core(
            "follower",
            "    if request.entries and snapshots.room(s) is not Room.ALL:",
            "    if 0:",
        ),
        by="script:no_room",
    ),
    plant(
        "held-back-peer-is-sent-entries",
        "a follower without room gets no entries until it says otherwise",
        core(
            "leader", "    if prev_term is not None and progress.room is not Room.ALL:", "    if 0:"
        ),
        by="script:no_room",
    ),
    plant(
        "unfit-leader-goes-on",
        "a leader whose machine hangs hands over",
        core("timers", "        transfer.hand_over_if_unfit(s, fx, lead, now)", "        pass"),
        by="script:unfit_leader",
    ),
    plant(
        "hands-over-to-the-unfit",
        "only to one who is fit",
        core("transfer", "    if progress.unfit or progress", "    if progress"),
        by="script:unfit_leader",
    ),
    plant(
        "commit-past-what-is-verified",
        "a follower commits no further than its leader has verified its log",
        core(
            "follower",
            "min(request.commit, s.verified_index)",
            "min(request.commit, s.log.last_index)",
        ),
        by="commit-is-verified",
    ),
    plant(
        "append-truncates-without-conflict",
        "a log is cut only at a real conflict (5.3)",
        core(
            "follower",
            "        if ours != entry.term:\n            return offset\n",
            "        return offset\n",
        ),
        by="ack-is-durable committed-is-durable core-asserts",
    ),
    plant(
        "no-consistency-check",
        "the entry before the new ones must have the leader's term (5.3)",
        core(
            "follower",
            "    return ours is not None and ours == request.prev_term\n",
            "    return ours is not None\n",
        ),
        by="log-matching",
    ),
    plant(
        "gap-accepted",
        "entries follow what is there",
        core(
            "follower",
            "    return ours is not None and ours == request.prev_term\n",
            "    return ours is None or ours == request.prev_term\n",
        ),
        by="log-matching",
    ),
    plant(
        "match-from-next",
        "match rises only by what a reply says is durable",
        core(
            "leader",
            "    if progress.matched(reply.durable, sent.number, s.pull_number):\n",
            "    if progress.matched(progress.next - 1, sent.number, s.pull_number):\n",
        ),
        by="committed-is-durable",
    ),
    plant(
        "durable-not-capped-by-verified",
        "what is durable counts only as far as this leader has verified it",
        core(
            "follower",
            "    return min(s.log.durable_index, max(s.verified_index, s.commit_index))\n",
            "    return s.log.durable_index\n",
        ),
        by="committed-is-durable",
    ),
    plant(
        "verified-survives-the-term",
        "what a leader has verified ends with its term",
        core(
            "roles",
            "    s.role, s.leader_id = Role.FOLLOWER, None\n    s.verified_index = 0\n",
            "    s.role, s.leader_id = Role.FOLLOWER, None\n",
        ),
        by="committed-is-durable commit-is-verified core-asserts",
    ),
    plant(
        "commit-index-falls",
        "commitIndex never falls (Figure 2)",
        core(
            "follower",
            "max(s.commit_index, min(request.commit, s.verified_index))",
            "min(request.commit, s.verified_index)",
        ),
        by="monotonic",
    ),
    plant(
        "batches-without-a-bound",
        "messages are bounded by bytes as well as by count",
        core(
            "log",
            "            if size > bytes_max and count:\n",
            "            if False:\n",
        ),
        by="bounds",
    ),
    plant(
        "window-without-a-bound",
        "what is in flight to a follower is bounded",
        core(
            "leader",
            "    return (\n"
            "        len(progress.inflight) < s.settings.window_messages_max\n"
            "        and progress.inflight_bytes < s.settings.window_bytes_max\n"
            "    )\n",
            "    return True\n",
        ),
        by="bounds",
    ),
    plant(
        "stored-on-all-last-indexes",
        '"stored on all" from remembered or last indexes commits too much',
        core(
            "leader",
            "    reached = s.configuration.reached_by_majority(match)\n",
            "    reached = s.configuration.reached_by_majority(match)\n"
            "    sent = [p.next - 1 for p in lead.progress.values()]\n"
            "    if min(sent, default=0) > s.commit_index:\n"
            "        s.commit_index = min(min(sent), s.log.last_index)\n"
            "        return True\n",
        ),
        by="own-term-commit committed-is-durable",
    ),
    plant(
        "one-step-back",
        "a refusal's hints skip whole terms (5.3)",
        core(
            "leader",
            "    next_index = reply.conflict_index\n    if reply.conflict_term:",
            "    next_index = sent.prev_index\n    if False:",
        ),
        by="script:conflict_backup",
    ),
    plant(
        "no-search-in-the-own-log",
        "the leader looks for its own last entry of the conflicting term",
        core(
            "leader",
            "        if ours is not None:\n            next_index = ours + 1\n",
            "",
        ),
        by="script:conflict_leader_searches",
    ),
    plant(
        "heartbeat-behind-the-window",
        "a heartbeat says prev = match, so that it can overtake appends",
        core(
            "leader",
            "    prev_term = s.log.term_at(progress.match)\n    prev_index = progress.match if",
            "    prev_term = s.log.term_at(progress.next - 1)\n"
            "    prev_index = progress.next - 1 if",
        ),
        by="script:heartbeat_overtakes",
    ),
    plant(
        "no-no-op",
        "a new leader appends an entry of its term at once (section 8)",
        core(
            "election",
            "    leader.append(s, fx, now, (noop,))\n    s.wake_all",
            "    s.wake_all",
        ),
        by="script:figure_8_new_term",
    ),
    plant(
        "read-before-the-own-no-op",
        "no read before an entry of the own term is committed (6.4)",
        core(
            "reads",
            "    index = max(s.commit_index, lead.first_index)\n",
            "    index = s.commit_index\n",
        ),
        core(
            "reads",
            "    if not lead.reads or s.commit_index < lead.first_index:\n",
            "    if not lead.reads:\n",
        ),
        by="read-index",
    ),
    plant(
        "read-without-a-round",
        "a leader asks a majority before it answers a read (6.4)",
        core(
            "reads",
            "    while lead.reads and lead.reads[0].stamp < confirmed:\n",
            "    while lead.reads:\n",
        ),
        by="read-index",
    ),
    plant(
        "read-at-the-follower",
        "a follower asks its leader for the read index",
        core(
            "reads",
            "    s.forwarded.waiting.append(token)\n",
            "    fx.reads.append((token, s.commit_index))\n",
        ),
        by="read-index",
    ),
    plant(
        "applied-out-of-order",
        "entries are applied in order, once",
        core(
            "core",
            "            fx.committed = s.log.between(s.handed_index + 1, s.commit_index)\n",
            "            fx.committed = s.log.between(s.handed_index + 1, s.commit_index)[::-1]\n",
        ),
        by="state-machine-safety",
    ),
)
