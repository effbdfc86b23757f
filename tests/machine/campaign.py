"""The store without Raft, under everything that its node may do to it, for thousands of steps.

Two replicas apply the same commands; one is restarted from its snapshot, the other now and then
from the first one's, so that it jumps over entries under its watchers. Each answer is compared with
the naive store's, watchers are judged by their rules, and at the end both replicas must be equal:

exactly-once           answers are those of the naive store
state-machine-safety   replicas answer alike, and are equal byte for byte
lease-kept             no lease is ended before its time; lease-ends: and none outlives it for long
"""

from __future__ import annotations

import random
from collections import Counter
from contextlib import suppress

from raftd.machine.kv.lessor import TICK_SECONDS
from raftd.machine.kv.store import KvStore
from raftd.machine.kv.watcher import Watcher
from raftd.machine.protocol import MachineError
from raftd.wire import leases, refusals
from raftd.wire.spans import prefix_end
from tests.machine import requests
from tests.machine.leading import FakeNode
from tests.machine.naive import Naive, Refused
from tests.machine.watch_rules import BrokenRule, WatchJudge, restored

SPANS = ((b"k1", b""), (b"k", prefix_end(b"k")), (b"\0", b"\0"), (b"k3", b"l4"), (b"l2", b""))
SKIPS = ((False, False), (False, False), (True, False), (False, True))
LATE_SECONDS = 3.0


class Replica:
    """One store on a fake node, its watchers, and their judges."""

    def __init__(self, campaign: Campaign, name: str) -> None:
        self._campaign = campaign
        self._name = name
        self.watchers: list[tuple[Watcher, WatchJudge]] = []
        self.node = FakeNode(chunk=5)
        self.node.store.watches.queue_events_max = 4
        self.index = 0

    @property
    def store(self) -> KvStore:
        return self.node.store

    def apply(self, command: bytes) -> bytes | str:
        self.index += 1
        try:
            answer: bytes | str = self.store.apply(command)
        except MachineError as error:
            answer = refusals.refusal_of(str(error))
        self.store.on_applied(self.index)
        return answer

    def install(self, data: bytes) -> None:
        restored(self.store, data, self._name)
        self.index += 1
        self.store.on_applied(self.index)

    def watch(self, rng: random.Random, resumed: WatchJudge | None) -> None:
        span, skips = rng.choice(SPANS), rng.choice(SKIPS)
        judge = resumed or WatchJudge(span, skips, self.store.watches.revision)
        if resumed is None and rng.random() < 0.4:
            judge.seen = max(self._campaign.naive.compacted - 1, judge.seen - 20, 1)
        watcher = self.store.watches.subscribe(
            *judge.span,
            judge.seen + 1,
            on_ready=lambda: None,
            no_put=judge.skips[0],
            no_delete=judge.skips[1],
            prev_kv=True,
        )
        self.watchers.append((watcher, judge))

    def take(self, place: int, events_max: int) -> bool:
        """False: there was nothing more."""
        watcher, judge = self.watchers[place]
        delivery = watcher.take(events_max)
        if delivery.compacted:
            judge.compacted(self._campaign.naive, delivery.compacted)
            del self.watchers[place]
            return False
        self._campaign.stats["events"] += judge.delivery(
            self._campaign.naive, delivery, watcher.progress
        )
        return delivery.more


class Campaign:
    """One seed."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(f"{seed}/store")
        self.naive = Naive()
        self.stats: Counter[str] = Counter()
        self.leader = Replica(self, "leader")
        self.other = Replica(self, "other")
        self._behind: list[bytes] = []
        self._under_way: list[bytes] = []
        self._twice: list[bytes] = []
        self._alive: dict[int, tuple[int, float]] = {}
        self._term = 1
        self.leader.node.lead(1)

    def run(self, steps: int = 600) -> None:
        """Raises BrokenRule."""
        rng = self._rng
        for _ in range(steps):
            command = requests.command(rng, self.naive.revision)
            if command[0] != leases.LEASE_EXPIRE:
                self._apply(command)
            self._time_passes()
            if rng.random() < 0.03:
                self._catch_up(jump=rng.random() < 0.5)
            self._ask()
            self._watchers()
            if rng.random() < 0.01:
                self._leadership_moves()
        self._end()

    def _apply(self, command: bytes) -> None:
        try:
            expected: bytes | str = self.naive.execute(command)
        except Refused as refused:
            expected = str(refused)
        self._compare(command, self.leader.apply(command), expected)
        self._behind.append(command)
        if isinstance(expected, bytes):
            self._note_lease(command)

    def _compare(self, request: bytes, got: bytes | str, expected: bytes | str) -> None:
        if got != expected:
            raise BrokenRule(
                "exactly-once", f"{request[:80]!r}: answered {got!r}, must be {expected!r}"
            )

    def _ask(self) -> None:
        question = requests.query(self._rng, self.naive.revision)
        try:
            got: bytes | str = self.leader.store.query(question)
        except MachineError as error:
            got = refusals.refusal_of(str(error))
        try:
            expected: bytes | str = self.naive.query(question)
        except Refused as refused:
            expected = str(refused)
        self._compare(question, got, expected)

    # leases

    def _note_lease(self, command: bytes) -> None:
        now = self.leader.node.time
        if command[0] == leases.LEASE_GRANT:
            lease, ttl_s = leases.decode_grant(command)
            self._alive[lease] = ttl_s, now
        elif command[0] == leases.LEASE_REVOKE:
            self._alive.pop(leases.decode_number(command), None)

    def _time_passes(self) -> None:
        rng, node = self._rng, self.leader.node
        if rng.random() < 0.02:
            seconds = 1 + rng.random() * 20
            node.pause(seconds)
            not_counted = seconds - TICK_SECONDS
            for lease, (ttl_s, since) in self._alive.items():
                self._alive[lease] = ttl_s, since + not_counted
        node.run(rng.random() * 0.4)
        for lease in list(self._alive):
            if rng.random() < 0.1 and node.renew(lease):
                self._alive[lease] = self._alive[lease][0], node.time
        proposals, node.proposals = node.proposals, []
        self._under_way += [command for command, term in proposals if term == self._term]
        for command in list(self._under_way):
            fate = rng.random()
            if fate < 0.9:
                self._under_way.remove(command)
            if fate < 0.75:  # else it is lost, or under way still when it is proposed again
                self._ended(command)
                self._apply(command)
            if fate < 0.3:
                self._twice.append(command)
        if self._twice and rng.random() < 0.1:
            self._ended(self._twice[0])
            self._apply(self._twice.pop(0))
        for lease, (ttl_s, since) in self._alive.items():
            if node.time - since > ttl_s + LATE_SECONDS:
                raise BrokenRule("lease-ends", f"lease {lease} of {ttl_s} s lives on")

    def _ended(self, command: bytes) -> None:
        if command[0] != leases.LEASE_EXPIRE:
            return
        for lease, serial in leases.decode_expire(command):
            known = self._alive.get(lease)
            if known is None or self.naive.serials.get(lease) != serial:
                continue
            ttl_s, since = self._alive.pop(lease)
            self.stats["ended"] += 1
            if self.leader.node.time - since < ttl_s - 1e-6:
                lived = self.leader.node.time - since
                raise BrokenRule("lease-kept", f"lease {lease} of {ttl_s} s after {lived:.2f} s")

    def _leadership_moves(self) -> None:
        """Another leads for a while, and renews there; then this node again."""
        node = self.leader.node
        self._term += 2
        node.follow(self._term - 1)
        node.proposals.clear()
        node.run(self._rng.random() * 4)
        if node.proposals:
            raise BrokenRule("lease-kept", "a node that does not lead proposes to end leases")
        for lease in list(self._alive)[:1]:
            with suppress(MachineError):
                node.renew(lease)
                raise BrokenRule("lease-kept", "a node that does not lead renewed a lease")
        node.lead(self._term)
        self._alive = {lease: (ttl_s, node.time) for lease, (ttl_s, _) in self._alive.items()}

    # the other replica

    def _catch_up(self, *, jump: bool) -> None:
        """It applies what it has not, or is given a snapshot in its place."""
        if jump:
            self.other.install(b"".join(self.leader.store.capture()))
        else:
            for command in self._behind:
                self.other.apply(command)
        self._behind.clear()
        mine, its = (b"".join(r.store.capture()) for r in (self.leader, self.other))
        if mine != its:
            raise BrokenRule("state-machine-safety", "two replicas differ after the same commands")

    def _watchers(self) -> None:
        rng = self._rng
        for replica in (self.leader, self.other):
            if len(replica.watchers) < 6 and rng.random() < 0.1:
                replica.watch(rng, None)
            for place in range(len(replica.watchers) - 1, -1, -1):
                if rng.random() < 0.2:
                    replica.take(place, rng.choice((1, 3, 50)))
            if replica.watchers and rng.random() < 0.02:  # it moves to the other node
                watcher, judge = replica.watchers.pop(0)
                watcher.cancel()
                rng.choice((self.leader, self.other)).watch(rng, judge)

    def _end(self) -> None:
        self._catch_up(jump=False)
        for replica in (self.leader, self.other):
            for place in range(len(replica.watchers) - 1, -1, -1):
                while replica.take(place, 50):
                    pass
            for watcher, judge in replica.watchers:
                if watcher.progress != self.naive.revision or judge.seen != self.naive.revision:
                    raise BrokenRule("watch-bookmarkable", f"stands at {judge.seen} at the end")
