"""Which node to talk to: endpoints, leader hints, bounded redirects, back-off.

A hint is a node's id and the address that it advertises. The program's own endpoint for that id is
preferred (a published port, a tunnel), so ids are learned from Status answers. Hints may be wrong,
stale or point at the very node that gave them: redirects in a row are bounded, and an
address that just failed is not followed again for a moment.

No I/O, no clock and no randomness of its own. One owner: the client's loop, or one thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random

from raftd.client.endpoints import ENDPOINTS_MAX, is_endpoint

REDIRECTS_MAX = 3
"""Hints followed in a row without any success; then nodes are tried in turn."""
SEARCH_FIRST_SECONDS = 0.01
SEARCH_GROWTH = 1.25
"""Looking for a leader: the waits grow slowly, so that a client learns of a new leader within about
a quarter of the time that the election took; doubling would add as much again.
"""
BACKOFF_FIRST_SECONDS = 0.02
BACKOFF_MAX_SECONDS = 0.25
DISTRUST_SECONDS = 0.5
"""For how long a hint to an address that just failed is not followed."""
SKIP_SECONDS = 0.2
"""For how long an endpoint from which nothing came back is left out of the round, if there are
others: each visit would cost a wait while the others elect a leader."""


class Router:
    """The best guess of where the leader is, and how long to wait before the next attempt."""

    def __init__(self, endpoints: Sequence[str], random: Random) -> None:
        self.endpoints = list(endpoints)
        """Those of the program; with those of the members, while none of the first answers."""
        self._own = tuple(endpoints)
        self._members: tuple[str, ...] = ()
        self._silent: set[str] = set()
        self.leader: str | None = None
        """The address of the leader as far as known; only hints and answered commands set it."""
        self._random = random
        self._at = random.randrange(len(self.endpoints))
        self._ids: dict[str, str] = {}
        self._distrusted: dict[str, float] = {}
        self._skipped: dict[str, float] = {}
        self._followed = False
        self._redirects = 0
        self._misses = 0

    def target(self) -> str:
        """The address to try now."""
        return self.leader or self.endpoints[self._at]

    def learn(self, endpoint: str, node_id: str) -> None:
        """The node behind one of our endpoints said who it is."""
        if endpoint in self.endpoints and node_id:
            for known in [key for key, value in self._ids.items() if value == endpoint]:
                del self._ids[known]
            self._ids[node_id] = endpoint

    def heard_of(self, addresses: Iterable[str]) -> None:
        """The client addresses of the cluster's members, as one of them tells them."""
        told = (address for address in addresses if is_endpoint(address))
        self._members = tuple(sorted({*told} - {*self._own}))[:ENDPOINTS_MAX]

    def knows(self, leader_id: str, leader_address: str) -> bool:
        """False: asking our endpoints who they are could turn this hint into one of them."""
        return (
            leader_id in self._ids
            or leader_address in self.endpoints
            or len(self._ids) == len(self.endpoints)
        )

    def hinted(self, source: str, leader_id: str, leader_address: str, now: float) -> None:
        """`source` is not the leader and named one, or nobody (both empty)."""
        address = self._ids.get(leader_id) or leader_address
        distrusted = self._distrusted.get(address, 0.0) > now
        if address and address != source and not distrusted:
            self._redirects += 1
            if self._redirects <= REDIRECTS_MAX:
                self.leader = address
                self._followed = self._redirects == 1
                return
        self._miss(source, now)

    def leaderless(self, source: str, now: float) -> None:
        """`source` is well and knows no leader. It may be the next one, so it is not distrusted."""
        self._silent.discard(source)
        self._miss(source, now)

    def failed(self, address: str, now: float, *, silent: bool = False) -> None:
        """Nothing came back from there, or it cannot serve: the next one, please.

        silent: it gave no answer at all; it may have died, and the others elect a leader now.
        """
        self._distrusted[address] = now + DISTRUST_SECONDS
        if len(self._distrusted) > 4 * ENDPOINTS_MAX:  # hints name at most a cluster's nodes
            self._distrusted = {key: t for key, t in self._distrusted.items() if t > now}
        if silent and address in self.endpoints:
            self._skipped[address] = now + SKIP_SECONDS
        self._silent.add(address)
        if self._members and self._silent.issuperset(self._own):
            self._turn_to([*self._own, *self._members])
        self._miss(address, now)

    def answered(self, address: str, *, leads: bool) -> None:
        """A request was served there; leads: it was one that only a leader serves."""
        self._redirects = self._misses = 0
        if self._silent:
            self._heard(address)
        if leads and self.leader != address:
            self.leader = address
            self._distrusted.pop(address, None)

    def _heard(self, address: str) -> None:
        """One of the program's own endpoints answers: the others are not needed any more."""
        if address in self._own:
            self._silent.clear()
            self._turn_to(list(self._own))
        elif len(self._silent) > 4 * ENDPOINTS_MAX:
            self._silent.intersection_update(self._own)

    def _turn_to(self, endpoints: list[str]) -> None:
        """The turn stays with the endpoint that has it, if it is among them.

        The story without it: two of five members have been removed, the turn was with the last of
        them, and the client breaks.
        """
        current = self.endpoints[self._at]
        self.endpoints = endpoints
        kept = current in endpoints
        self._at = endpoints.index(current) if kept else self._at % len(endpoints)

    def pause(self) -> float:
        """Seconds to wait before the next attempt: none in the first round over all nodes, nor on
        the way that a first hint shows; nodes that point at each other get no second one for free.
        """
        if self._followed:
            self._followed = False
            return 0.0
        rounds = self._misses - len(self.endpoints)
        if rounds < 0:
            return 0.0
        return self._less_jitter(SEARCH_FIRST_SECONDS * SEARCH_GROWTH ** min(rounds, 64))

    def backoff(self, attempt: int) -> float:
        """Seconds, doubled with each attempt from 0 up to the bound, less up to a half of
        jitter.
        """
        return self._less_jitter(BACKOFF_FIRST_SECONDS * 2.0 ** min(attempt, 16))

    def _less_jitter(self, seconds: float) -> float:
        return min(BACKOFF_MAX_SECONDS, seconds) * (0.5 + self._random.random() / 2)

    def other(self, address: str) -> str:
        """An endpoint after `address` in turn, for requests that any node can serve."""
        if address not in self.endpoints:
            return self.endpoints[self._at]
        return self.endpoints[(self.endpoints.index(address) + 1) % len(self.endpoints)]

    def _miss(self, address: str, now: float) -> None:
        self._misses += 1
        self._followed = False
        in_circles = self._redirects > REDIRECTS_MAX
        if in_circles:
            self._redirects = 0
        if in_circles or self.leader == address:
            self.leader = None
        current = self.endpoints[self._at]
        if in_circles or address == current or address not in self.endpoints:
            self._at = self._next(now)

    def _next(self, now: float) -> int:
        count = len(self.endpoints)
        following = [(self._at + step) % count for step in range(1, count + 1)]
        for place in following:
            if self._skipped.get(self.endpoints[place], 0.0) <= now:
                return place
        return following[0]
