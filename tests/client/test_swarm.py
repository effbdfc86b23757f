"""Everything at once, by seed: what the client says about each command must be true of the log.

Done: executed exactly once. Certainly not done: never executed, not even later. Unknown: at most
once.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from itertools import count
from random import Random

import pytest

from raftd.client import BulkError, Client, NotDone, OutcomeUnknown, RaftdError
from tests.client.fake_server import FakeCluster, Tally
from tests.client.faults import Fault

CALLERS = 12
STRIKES = 50
BULK = 700
PAUSE_SECONDS = 0.002
DONE_MIN = 100
"""So many commands have to be done, or nothing was shown."""
SECONDS = 30.0
"""On a busy machine those come once the trouble is over."""


class Swarm:
    """Callers with short deadlines on one client, while nodes misbehave."""

    def __init__(self, seed: int, cluster: FakeCluster) -> None:
        self.random = Random(seed)
        self.cluster = cluster
        self.said: dict[bytes, bytes | RaftdError] = {}
        self.done = 0
        self.over = threading.Event()
        self.client = Client(
            cluster.endpoints, attempt_timeout=0.06, timeout=2.0, random=Random(seed)
        )

    def run(self) -> None:
        callers = [
            threading.Thread(target=self.call, args=(number, Random(self.random.random())))
            for number in range(CALLERS)
        ]
        trouble = threading.Thread(target=self.trouble)
        for thread in [*callers, trouble]:
            thread.start()
        trouble.join(60)
        deadline = time.monotonic() + SECONDS
        while self.done <= DONE_MIN and time.monotonic() < deadline:
            self.over.wait(0.02)
        self.over.set()
        for thread in callers:
            thread.join(60)
        self.client.close()

    def call(self, number: int, random: Random) -> None:
        for round in count():
            if self.over.wait(PAUSE_SECONDS):
                return
            name = b"%d-%d" % (number, round)
            timeout = random.choice([0.03, 0.2, 2.0])
            if number == 0 and round % 20 == 0:
                self.bulk(name, timeout)
                continue
            try:
                self.said[name] = self.client.submit(name, timeout=timeout)
                self.done += 1
            except RaftdError as error:
                self.said[name] = error

    def bulk(self, name: bytes, timeout: float) -> None:
        commands = [b"%b-%d" % (name, each) for each in range(BULK)]
        try:
            results: list[bytes | RaftdError] = [
                *self.client.submit_many(commands, timeout=timeout)
            ]
        except BulkError as error:
            results = list(error.results)
        self.said.update(zip(commands, results))

    def trouble(self) -> None:
        random, cluster = self.random, self.cluster
        names = list(cluster.nodes)
        for _ in range(STRIKES):
            self.over.wait(random.uniform(0.0, 0.04))
            kind = random.random()
            if kind < 0.6:
                cluster.nodes[random.choice(names)].faults.append(random.choice(list(Fault)))
            elif kind < 0.85:
                cluster.lead(random.choice(names))
            elif kind < 0.92:
                cluster.lead("nobody")
            else:
                cluster.expire_sessions()


@pytest.mark.parametrize("seed", [1, 3])
def test_what_the_client_says_is_true(seed: int) -> None:
    with FakeCluster(machine=Tally()) as cluster:
        swarm = Swarm(seed, cluster)
        swarm.run()
        times = Counter(cluster.executed())
    kinds: Counter[str] = Counter()
    for command, said in swarm.said.items():
        done = times[command]
        if isinstance(said, bytes):
            assert done == 1, f"{command!r} was acknowledged and executed {done} times"
        elif isinstance(said, NotDone):
            assert done == 0, f"{command!r} was executed though: {said}"
        else:
            assert isinstance(said, OutcomeUnknown), said
            assert done <= 1, f"{command!r} was executed {done} times"
        kinds[type(said).__name__] += 1
    print(f"seed {seed}: {dict(kinds)}")
    assert kinds["bytes"] > DONE_MIN
    assert kinds["OutcomeUnknown"] + kinds["SessionExpired"] > 0
