"""A formed cluster in the simulator with the labs' controls: connect, crash, start a command.

Servers are numbers 0 to n-1 here, as in the labs; nodes are called n1 to n<n>. An index is that of
a machine command: no-ops, configurations and the opening of sessions are left out of every count.
The service takes a snapshot when the test's rule says so; the log keeps no tail behind it.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any

from raftd.core.effects import Effects, NotLeader, Unavailable
from raftd.core.types import Entry, Index, NodeId, Role, Term
from raftd.storage.record import RECORD
from raftd.wire import batch as wire
from tests.mit.network import LabNetwork, Mode
from tests.mit.records import RUNS, Figure, Run
from tests.mit.service import Image, Witness, as_command, is_command, timers_of
from tests.mit.tasks import Steps, Task
from tests.sim.cluster import Cluster
from tests.sim.node import Node
from tests.sim.plan import NetworkPlan, Plan
from tests.sim.process import Process

ELECTION_SECONDS = 1.0
"""The labs' RaftElectionTimeout: how long the tests give an election."""
TEST_SECONDS = 120.0
FORM_SECONDS = 5.0
SNAPSHOT_POLL = 0.005
"""The labs take snapshots in place; ours take a while, and the next one is asked for then."""
TRACE_SHOWN = 80


class Lab(Cluster):
    """with Lab(seed, 3) as lab: ... - leaving it checks the time limit and files the run."""

    def __init__(
        self,
        seed: int,
        servers: int,
        *,
        unreliable: bool = False,
        snapshot_every: int = 0,
        snapshot_bytes: int = 0,
        long_delays: bool = True,
    ) -> None:
        plan = Plan(
            nodes=servers,
            settings=timers_of(seed),
            network=NetworkPlan(fifo_appends=False, notice_crash=0.0),
            clients=0,
            segment_bytes=1 << 14,
        )
        super().__init__(seed, plan)
        self.checkers = Witness(self)
        network = LabNetwork(self.world, plan.network, self.nodes)
        network.prepare(Mode(unreliable=unreliable, long_delays=long_delays))
        self.network: LabNetwork = network
        for node in self.nodes.values():
            node.image = Image(node.disk.rng)
        self.run_of = Run(seed)
        self.rng = random.Random(f"{seed}/lab")
        self.servers = range(servers)
        self.connected = [True] * servers
        self.applied = [0] * servers
        """Machine commands applied, or covered by the snapshot, in each server's present life."""
        self.commands: list[bytes] = [b""]
        """By index: what was applied there, on every server that has (the checkers see to it)."""
        self.appends: set[int] = set()
        """Which of the history's puts (by id) were appends: `value` is only what they added."""
        self.snapshots = 0
        self._numbers: list[int] = [0]
        """By raft index: how many machine commands there are up to it."""
        self._snapshot_every = snapshot_every
        self._snapshot_bytes = snapshot_bytes
        self._snapshot_owed: set[int] = set()
        self._form()

    def _form(self) -> None:
        for node in self.nodes.values():
            self.world.at(self._rng.random() * 0.02, node.start)
        asked, self.network.mode = self.network.mode, Mode(long_delays=False)
        self.wait_for(
            lambda: all(view.disk.admitted for view in self.checkers.views.values()),
            FORM_SECONDS,
            "the cluster to form",
        )
        self.network.mode = asked

    # with

    def __enter__(self) -> Lab:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        run = self.run_of
        run.events, run.seconds = self.world.events, self.world.now
        RUNS.append(run)
        if error is not None:
            lines = "\n".join(self.world.last_lines(TRACE_SHOWN))
            error.add_note(f"seed {run.seed} at {self.world.now:.3f} s: {self.describe()}\n{lines}")
            return
        self.figure("seconds", self.world.now, TEST_SECONDS)

    def figure(self, name: str, value: float, limit: float) -> None:
        """Note a figure, and fail if it is above its limit."""
        self.run_of.figures.append(Figure(name, value, limit))
        assert value <= limit, f"{name}: {value:g}, the limit is {limit:g}"

    # time

    def sleep(self, seconds: float) -> None:
        world, over = self.world, False

        def end() -> None:
            nonlocal over
            over = True

        world.after(seconds, end)
        while not over:
            world.step()

    def wait_for(self, condition: Callable[[], bool], seconds: float, what: str) -> None:
        end = self.world.now + seconds
        while not condition():
            assert self.world.now <= end, f"waited {seconds:g} s for {what}; {self.describe()}"
            assert self.world.step(), f"nothing happens while waiting for {what}"

    def go(self, steps: Steps) -> Task:
        return Task(self.world, steps)

    def finish(self, tasks: Iterable[Task], seconds: float, what: str) -> list[Any]:
        waited = list(tasks)
        self.wait_for(lambda: all(task.done for task in waited), seconds, what)
        return [task.result for task in waited]

    # servers

    def name(self, server: int) -> NodeId:
        return self.names[server]

    def process(self, server: int) -> Process | None:
        return self.nodes[self.names[server]].process

    def node_died(self, node: Node) -> None:
        """Nobody is told, and nobody restarts it: the test does."""
        self.checkers.stopped(node.name)
        self.checkers.durable_on_majority(len(self.checkers.committed) - 1)

    def crash_server(self, server: int) -> None:
        """The lab's crash1: off the net and gone, with all that was not synced."""
        self.disconnect(server)
        node = self.nodes[self.name(server)]
        if node.process is not None:
            self.crash(node, "lab", lose_unsynced=True)
        self.applied[server] = 0

    def start_server(self, server: int) -> None:
        """The lab's start1, which does not connect. A running one is crashed first."""
        self.crash_server(server)
        self.nodes[self.name(server)].start()

    def restart(self, server: int) -> None:
        self.start_server(server)
        self.connect(server)

    def connect(self, server: int) -> None:
        self.connected[server] = True
        self._relink()

    def disconnect(self, server: int) -> None:
        self.connected[server] = False
        self._relink()

    def _relink(self) -> None:
        self.partition([[s for s in self.servers if self.connected[s]]])

    def partition(self, sides: Iterable[Iterable[int]]) -> None:
        """Only servers of one side hear each other."""
        together = {(a, b) for side in map(list, sides) for a in side for b in side}
        cut = {(a, b) for a in self.servers for b in self.servers if (a, b) not in together}
        self.network.cut = {(self.name(a), self.name(b)) for a, b in cut}

    def connect_all(self) -> None:
        self.connected = [True] * len(self.servers)
        self._relink()

    # raft

    def role(self, server: int) -> tuple[Term, bool]:
        """The lab's GetState."""
        process = self.process(server)
        if process is None:
            return 0, False
        return process.core.current_term, process.core.role is Role.LEADER

    def start_command(self, server: int, value: bytes) -> tuple[int, Term] | None:
        """The lab's Start: (index, term) if this server leads and takes it."""
        process = self.process(server)
        if process is None:
            return None
        payload = wire.encode_batch(b"", 0, [(0, as_command(value))])
        payload = wire.noted(payload, process.node.epoch_ms())
        taken: list[tuple[int, Term]] = []

        def propose(now: float) -> Effects:
            effects = process.core.propose([payload], now)
            index, term = effects.assigned[0]
            taken.append((self._number_of(process, index), term))
            return effects

        self.world.events += 1
        with contextlib.suppress(NotLeader, Unavailable):
            process.at_once(process.raftd._driver.enter, propose)
        return taken[0] if taken else None

    def _number_of(self, process: Process, index: Index) -> int:
        log = process.core.log
        known = min(len(self._numbers) - 1, index)
        known = max(log.base_index, min(known, process.core.commit_index))
        return self._numbers[known] + sum(map(is_command, log.between(known + 1, index)))

    def applied_by(self, index: int) -> int:
        """The lab's nCommitted: how many servers have applied that index."""
        return sum(count >= index for count in self.applied)

    # what the witness tells

    def note_applied(self, name: NodeId, entry: Entry) -> None:
        server = self.names.index(name)
        if entry.index == len(self._numbers):
            self._first_applied(entry)
        number = self._numbers[entry.index]
        every = self._snapshot_every
        if every and number > self.applied[server] and (number + 1) % every == 0:
            self._snapshot_owed.add(server)
        self.applied[server] = max(number, self.applied[server])

    def _first_applied(self, entry: Entry) -> None:
        number = self._numbers[-1]
        if is_command(entry):
            number += 1
            self.commands.append(wire.decode_batch(entry.payload).commands[0][1])
        self._numbers.append(number)

    def note_installed(self, name: NodeId, index: Index) -> None:
        self.applied[self.names.index(name)] = self._numbers[index]

    def maybe_snapshot(self, name: NodeId) -> None:
        """After each command that a server applies: the service's rule."""
        server = self.names.index(name)
        process = self.process(server)
        if process is None or not (self._snapshot_bytes or self._snapshot_every):
            return
        if process.raftd._snapshot_policy._running:
            self.world.after(SNAPSHOT_POLL, self.maybe_snapshot, name)
            return
        if self._snapshot_bytes and self._log_bytes(process) >= self._snapshot_bytes:
            self._snapshot_owed.add(server)
        if server in self._snapshot_owed:
            self._snapshot_owed.discard(server)
            self.snapshots += 1
            self.world.after(0.0, process.run, process.app.snapshot_now)

    # sizes

    def log_bytes(self) -> int:
        """The lab's LogSize: the largest of the servers' logs, machine commands' records only.

        A record is as long as on disk; the headers of the writes that it came in are left out.
        """
        found = [self._log_bytes(p) for s in self.servers if (p := self.process(s)) is not None]
        return max(found, default=0)

    def _log_bytes(self, process: Process) -> int:
        log = process.core.log
        entries = log.between(log.first_index, log.last_index)
        return sum(RECORD.size + len(entry.payload) for entry in entries if is_command(entry))

    def snapshot_bytes(self) -> int:
        """The largest of the servers' snapshots as sessions and store would write them now."""
        most = 0
        for server in self.servers:
            process = self.process(server)
            if process is not None and process.core.snapshot.index:
                sessions, chunks = process.stores.host.capture()
                most = max(most, len(sessions) + sum(map(len, chunks)))
        return most
