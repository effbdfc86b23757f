"""Clients with sessions that write and read as load.py says, retry through other nodes and keep a
history.

A client numbers its commands within its session, sends them in frames of one to three, several
frames at a time, and repeats a frame under the same numbers until it hears an answer or gives up.
The network between clients and nodes loses and doubles messages, too.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from raftd.core.types import NodeId
from raftd.wire import batch as wire
from raftd.wire import session_id
from tests.sim.history import History, Op
from tests.sim.load import Load
from tests.sim.world import Violation, World

if TYPE_CHECKING:
    from tests.sim.cluster import Cluster

ATTEMPT_SECONDS = 0.6
GIVE_UP_SECONDS = 4.0
RETRY_SECONDS = 0.03


class Frame:
    """Commands that travel together. `unsure`: an earlier attempt may have done them."""

    __slots__ = (
        "attempt",
        "commands",
        "deadline",
        "done",
        "finish",
        "ops",
        "session",
        "target",
        "unsure",
    )

    def __init__(
        self, session: bytes, commands: list[tuple[int, bytes]], ops: list[Op], deadline: float
    ) -> None:
        self.session = session
        self.commands = commands
        self.ops = ops
        self.deadline = deadline
        self.attempt = 0
        self.unsure = False
        self.done = False
        self.target: NodeId = ""
        self.finish: Callable[[], None] | None = None


class Read:
    """A get or a range until it is answered or given up."""

    __slots__ = ("attempt", "deadline", "done", "op", "query")

    def __init__(self, op: Op, query: bytes, deadline: float) -> None:
        self.op = op
        self.query = query
        self.deadline = deadline
        self.attempt = 0
        self.done = False


class Client:
    def __init__(self, cluster: Cluster, number: int) -> None:
        self._cluster = cluster
        self._world: World = cluster.world
        self._plan = cluster.plan
        self._rng: random.Random = cluster.world.stream(f"client {number}")
        self._history: History = cluster.history
        self._load = Load(cluster, number, self._rng)
        self.number = number
        self._session = b""
        self._nonce = b""
        self._opening = False
        self._next_seq = 1
        self._open_seqs: dict[int, None] = {}
        self._leader: NodeId | None = None
        self._waiting: list[Callable[[], None]] = []

    def start(self) -> None:
        for _ in range(self._plan.client_width):
            self._world.after(self._rng.random() * 0.05, self._next)

    def _next(self) -> None:
        if self._cluster.clients_stopped or len(self._history.ops) >= self._plan.ops_max:
            return
        if self._rng.random() < 0.35:
            self._read()
        elif not self._session:
            self._waiting.append(self._next)
            self._open()
        else:
            self._write()

    def _think(self) -> None:
        self._world.after(self._rng.random() * self._plan.client_think + 0.0005, self._next)

    def _pick(self) -> NodeId:
        if self._leader is not None and self._rng.random() >= self._plan.client_spread:
            return self._leader
        return self._rng.choice(self._cluster.names)

    # sessions

    def _open(self) -> None:
        if not self._opening:
            self._opening = True
            frame = Frame(b"", [], [], self._world.now + GIVE_UP_SECONDS * 4)
            self._nonce = self._nonce or self._rng.randbytes(session_id.NONCE_BYTES)
            self._attempt(frame, wire.encode_open(self._nonce))

    def _opened(self, frame: Frame, results: list[tuple[int, bytes]] | None) -> None:
        self._opening = False
        if results is not None:
            self._session, self._nonce = wire.decode_session(results[0][1]), b""
            self._next_seq = 1
            self._open_seqs.clear()
            self._world.stats["sessions"] += 1
        waiting, self._waiting = self._waiting, []
        for call in waiting:
            self._world.after(RETRY_SECONDS, call)

    # commands

    def _write(self) -> None:
        commands, ops = [], []
        for _ in range(self._rng.choice((1, 1, 2, 3))):
            op, command = self._load.command()
            seq = self._next_seq
            self._next_seq += 1
            self._open_seqs[seq] = None
            commands.append((seq, command))
            ops.append(op)
            self._history.sent(op, self._session, seq)
        frame = Frame(self._session, commands, ops, self._world.now + GIVE_UP_SECONDS)
        self._attempt(frame, self._payload(frame))

    def _payload(self, frame: Frame) -> bytes:
        floor = min(self._open_seqs, default=self._next_seq) - 1
        return wire.encode_batch(
            frame.session, min(floor, frame.commands[0][0] - 1), frame.commands
        )

    def _attempt(self, frame: Frame, payload: bytes) -> None:
        if frame.done:
            return
        frame.attempt += 1
        frame.target = target = self._pick()
        attempt = frame.attempt
        self._world.after(
            ATTEMPT_SECONDS * (0.5 + self._rng.random()), self._attempt_over, frame, attempt
        )
        if frame.attempt > 1:
            self._world.stats["client retries"] += 1

        def answer(kind: str, value: Any) -> None:
            self._world.after(self._hop(), self._answered, frame, attempt, target, kind, value)

        self._cluster.to_node(
            target, self._rng, lambda p, told: p.app.submit(payload, told), answer
        )

    def _hop(self) -> float:
        return 0.0005 + self._rng.random() * 0.002

    def _attempt_over(self, frame: Frame, attempt: int) -> None:
        """No answer in time: it may be done, or still to come."""
        if frame.done or frame.attempt != attempt:
            return
        frame.unsure = True
        self._leader = None
        self._again(frame, 0.0)

    def _again(self, frame: Frame, delay: float) -> None:
        if self._world.now >= frame.deadline or self._cluster.clients_stopped:
            self._finish(frame, None)
            return
        payload = wire.encode_open(self._nonce) if not frame.session else self._payload(frame)
        self._world.after(delay, self._attempt, frame, payload)

    def _answered(self, frame: Frame, attempt: int, target: NodeId, kind: str, value: Any) -> None:
        if frame.done:
            return
        if kind == "ok":
            self._leader = target
            self._finish(frame, wire.decode_results(value))
        elif attempt == frame.attempt:
            if kind == "refused":
                self._leader = value
            else:
                frame.unsure = True
                self._leader = None
            frame.attempt += 1
            self._again(frame, RETRY_SECONDS * self._rng.random())
        elif kind == "unknown":
            frame.unsure = True

    def _finish(self, frame: Frame, results: list[tuple[int, bytes]] | None) -> None:
        frame.done = True
        if not frame.session:
            self._opened(frame, results)
            return
        if frame.session == self._session:
            for seq, _ in frame.commands:
                self._open_seqs.pop(seq, None)
        for offset, op in enumerate(frame.ops):
            if results is None:
                self._history.lost(op, self._world.now, unsure=frame.unsure)
            else:
                self._settle(frame, op, *results[offset])
        self._think()

    def _settle(self, frame: Frame, op: Op, status: int, answer: bytes) -> None:
        now = self._world.now
        if status == wire.OK:
            self._world.stats["ops done"] += 1
            self._history.done(op, answer, now)
            return
        if status == wire.SEQ_REUSED:
            raise Violation(
                "exactly-once", f"client {self.number}: a number was reused, says {answer!r}"
            )
        if status == wire.SEQ_STALE and not frame.unsure:
            raise Violation(
                "exactly-once", f"client {self.number}: stale at the first attempt, {op}"
            )
        if status == wire.SESSION_EXPIRED and frame.session == self._session:
            self._session = b""
            self._world.stats["sessions expired"] += 1
        # The network may have carried it twice: what this copy found expired, the other, whose
        # answer is still on its way, may have found alive.
        doubled = status == wire.SESSION_EXPIRED and self._plan.network.duplicate > 0
        self._history.lost(op, now, unsure=frame.unsure or doubled)

    # reads

    def _read(self) -> None:
        op, query = self._load.read()
        self._read_attempt(Read(op, query, self._world.now + GIVE_UP_SECONDS), 1)

    def _read_attempt(self, read: Read, attempt: int) -> None:
        if read.done:
            return
        read.attempt = attempt
        target = self._rng.choice(self._cluster.names) if self._rng.random() < 0.5 else self._pick()

        def answer(kind: str, value: Any) -> None:
            self._world.after(self._hop(), self._read_answered, read, attempt, kind, value)

        query = read.query
        self._cluster.to_node(target, self._rng, lambda p, told: p.app.read(query, told), answer)
        self._world.after(ATTEMPT_SECONDS, self._read_answered, read, attempt, "timeout", None)

    def _read_answered(self, read: Read, attempt: int, kind: str, value: Any) -> None:
        if read.done:
            return
        if kind == "ok":
            status, answer = value
            if status != wire.OK:
                raise Violation("linearizable", f"a {read.op.kind} was refused: {answer!r}")
            self._world.stats["ops done"] += 1
            read.done = True
            self._history.done(read.op, answer, self._world.now)
            self._load.answered(read.op)
            self._think()
        elif attempt == read.attempt:
            read.attempt += 1
            if self._world.now >= read.deadline or self._cluster.clients_stopped:
                read.done = True
                self._history.lost(read.op, self._world.now, unsure=False)
                self._think()
                return
            self._world.stats["read retries"] += 1
            self._world.after(RETRY_SECONDS, self._read_attempt, read, attempt + 1)
