"""Elections in the simulator, many of them: how long, and how many vote messages, to a new leader.

The node that ships, on simulated clocks, disks and network. One cluster runs through a number of
elections: each time the leader falls silent (as by SIGSTOP, nobody is told) or dies (as by SIGKILL,
its peers see their connections break), and the measure is taken when another node leads a later
term.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from raftd.core.messages import VoteReply, VoteRequest
from raftd.core.types import Settings
from tests.sim.cluster import Cluster
from tests.sim.node import Node
from tests.sim.plan import DiskPlan, NetworkPlan, Plan

DELAY_MIN, DELAY_MEAN = 0.0002, 0.0005
"""Seconds one way, in the mean 0.7 ms: a local network."""
SYNC_MEAN = 0.001
SETTLE_SECONDS = 1.6
"""Simulated, between two elections: everybody follows the new leader again, links are whole."""
STRIKE_SECONDS = 0.2
GIVE_UP_SECONDS = 60.0


@dataclass(frozen=True)
class Election:
    """seconds: from the fault to a leader. campaign: from the first campaign to a leader."""

    seconds: float
    campaign: float
    messages: int


def elections(
    settings: Settings, nodes: int, loss: float, killed: bool, count: int, seed: int
) -> list[Election]:
    """`count` elections in a row."""
    plan = Plan(
        nodes=nodes,
        settings=settings,
        network=NetworkPlan(delay_min=DELAY_MIN, delay_mean=DELAY_MEAN),
        disk=DiskPlan(sync_mean=SYNC_MEAN),
        clients=0,
    )
    bench = _Bench(Cluster(seed, plan), seed)
    bench.boot()
    plan.network.loss = loss
    return [bench.election(killed) for _ in range(count)]


class _Bench:
    def __init__(self, cluster: Cluster, seed: int) -> None:
        self.cluster = cluster
        self.world = cluster.world
        self.rng = random.Random(f"{seed}/variants")
        self.messages = 0
        self.first_campaign: float | None = None
        _no_checks(cluster.checkers)
        _no_restarts(cluster.faults)
        self._count_votes()

    def _count_votes(self) -> None:
        network = self.cluster.network
        send, send_reply = network.send, network.reply

        def counted_send(process: Any, peer: str, channel: Any, request: Any, *rest: Any) -> None:
            if isinstance(request, VoteRequest):
                self.messages += 1
                if self.first_campaign is None:
                    self.first_campaign = self.world.now
            send(process, peer, channel, request, *rest)

        def counted_reply(process: Any, call: Any, reply: Any) -> None:
            self.messages += isinstance(reply, VoteReply)
            send_reply(process, call, reply)

        network.send = counted_send  # type: ignore[assignment, method-assign]
        network.reply = counted_reply  # type: ignore[method-assign]

    def boot(self) -> None:
        for node in self.cluster.nodes.values():
            node.start()
        self._until(lambda: all(_admitted(node) for node in self.cluster.nodes.values()))
        self._until(lambda: self.cluster.leader() is not None)

    def election(self, killed: bool) -> Election:
        self._settle()
        leader, term = self._strike(killed)
        began = self.world.now

        def succeeded() -> bool:
            found = self.cluster.leader()
            return found is not None and _term(found) > term

        self._until(succeeded)
        ended = self.world.now
        leader.start()
        leader.resume()
        asked = self._asked_at(ended)
        return Election(ended - began, ended - asked, self.messages)

    def _strike(self, killed: bool) -> tuple[Node, int]:
        """At a moment of its own, not just when something else happens: that would often be in the
        middle of a round of heartbeats. Returns who led, and in which term.
        """
        struck: list[tuple[Node, int]] = []

        def strike() -> None:
            leader = self.cluster.leader()
            if leader is None or not self._agreed():
                self.world.after(STRIKE_SECONDS, strike)
                return
            struck.append((leader, _term(leader)))
            self.messages, self.first_campaign = 0, None
            if killed:
                leader.die("election", lose_unsynced=False)
            else:
                leader.pause()

        self.world.after(self.rng.uniform(0, STRIKE_SECONDS), strike)
        self._until(lambda: bool(struck))
        return struck[0]

    def _asked_at(self, otherwise: float) -> float:
        return otherwise if self.first_campaign is None else self.first_campaign

    def _settle(self) -> None:
        """With loss there may be elections meanwhile; begin when everybody follows one leader."""
        calm_at = self.world.now + self.rng.uniform(0.5, 1.0) * SETTLE_SECONDS
        self._until(lambda: self.world.now >= calm_at)
        self._until(self._agreed)

    def _agreed(self) -> bool:
        leader = self.cluster.leader()
        return leader is not None and all(
            node.process is not None
            and node.process.core.leader_id == leader.name
            and _term(node) == _term(leader)
            for node in self.cluster.nodes.values()
        )

    def _until(self, condition: Callable[[], bool]) -> None:
        world = self.world
        limit = world.now + GIVE_UP_SECONDS
        while not condition():
            if world.now > limit or not world.step():
                raise RuntimeError(
                    f"nothing came of it in {GIVE_UP_SECONDS:g} simulated seconds: "
                    f"{self.cluster.describe()}"
                )


def _no_checks(checkers: Any) -> None:
    """The simulator's judges are not asked here: they cost most of its time."""
    for name in dir(checkers):
        if not name.startswith("_") and callable(getattr(checkers, name)):
            setattr(checkers, name, lambda *_, **__: None)


def _no_restarts(faults: Any) -> None:
    """A dead node is started again when its election is over, not before."""
    faults.restart_later = lambda node: None


def _term(node: Node) -> int:
    return 0 if node.process is None else node.process.core.current_term


def _admitted(node: Node) -> bool:
    return node.process is not None and node.process.core.state(node.now()).admitted


def variant(
    base: Settings, *, prevote: bool, self_vote_last: bool, concede: bool, short_retry: bool
) -> Settings:
    """short_retry: the default window; else a candidate waits as long as a follower does."""
    settings = replace(base, prevote=prevote, self_vote_last=self_vote_last, concede=concede)
    if short_retry:
        return settings
    return replace(
        settings,
        candidate_retry_min=base.election_timeout_min,
        candidate_retry_max=base.election_timeout_max,
    )
