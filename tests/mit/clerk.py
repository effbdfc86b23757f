"""A client of the labs' key-value service: puts, appends and gets in a session, until answered.

It asks the server that it takes for the leader, then the next one, for ever. Between it and the
servers is the same network as between them. Every operation is noted in the cluster's history with
the revision that its answer shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from raftd.wire import batch as wire
from raftd.wire import kv
from raftd.wire.batch import encode_batch
from raftd.wire.session_id import NONCE_BYTES
from tests.mit.lab import Lab
from tests.mit.machine import encode_append
from tests.mit.tasks import Promise, Steps
from tests.sim.history import Op
from tests.sim.node import Node
from tests.sim.process import Process

ATTEMPT_SECONDS = 1.0
PAUSE_SECONDS = 0.02
DEAD_POLL = 0.1
"""A caller learns within so much that the server which handled its request was killed."""

Ask = Callable[[Process, Callable[[str, Any], None]], None]


class Clerk:
    """One caller. Its methods are steps of a task: `yield from clerk.get(key)`."""

    def __init__(self, lab: Lab, number: int, reach: Iterable[int] | None = None) -> None:
        self._lab = lab
        self._world = lab.world
        self._rng = lab.world.stream(f"clerk {number}")
        self.number = number
        self.reach = list(lab.servers if reach is None else reach)
        """The servers that it has a link to."""
        self._at = 0
        self._session = b""
        self._nonce = b""
        self._seq = 0

    # operations

    def put(self, key: bytes, value: bytes) -> Steps:
        yield from self._write("put", key, value, kv.encode_put(key, value))

    def append(self, key: bytes, suffix: bytes) -> Steps:
        yield from self._write("append", key, suffix, encode_append(key, suffix))

    def get(self, key: bytes) -> Steps:
        """Its result is the value; b"" for none."""
        op = self._lab.history.call(self.number, "get", key, None, self._world.now)
        query = kv.encode_get(key)
        status, answer = yield from self._until_answered(lambda p, done: p.app.read(query, done))
        assert status == wire.OK, f"a get was refused: {answer!r}"
        self._lab.history.done(op, answer, self._world.now)
        return (op.found.value if op.found is not None else None) or b""

    def _write(self, kind: str, key: bytes, value: bytes, command: bytes) -> Steps:
        if not self._session:
            yield from self._open()
        self._seq += 1
        op = self._lab.history.call(self.number, "put", key, value, self._world.now)
        if kind == "append":
            self._lab.appends.add(id(op))
        payload = encode_batch(self._session, self._seq - 1, [(self._seq, command)])
        results = yield from self._until_answered(lambda p, done: p.app.submit(payload, done))
        ((status, answer),) = wire.decode_results(results)
        assert status == wire.OK, f"{kind} {self._seq} of session {self._session!r}: {status}"
        self._lab.history.done(op, answer, self._world.now)

    def _open(self) -> Steps:
        self._nonce = self._nonce or self._rng.randbytes(NONCE_BYTES)
        payload = wire.encode_open(self._nonce)
        results = yield from self._until_answered(lambda p, done: p.app.submit(payload, done))
        self._session = wire.decode_session(wire.decode_results(results)[0][1])

    # attempts

    def _until_answered(self, ask: Ask) -> Steps:
        while True:
            server = self.reach[self._at % len(self.reach)]
            kind, value = yield self._attempt(server, ask)
            if kind == "ok":
                return value
            hinted = self._server_of(value) if kind == "refused" else None
            if hinted is not None and hinted != server:
                self._at = self.reach.index(hinted)
            else:
                self._at += 1
                yield self._rng.random() * PAUSE_SECONDS

    def _server_of(self, name: Any) -> int | None:
        server = self._lab.names.index(name) if name else None
        return server if server in self.reach else None

    def _attempt(self, server: int, ask: Ask) -> Promise:
        network, world = self._lab.network, self._world
        promise = Promise(world)
        node = self._lab.nodes[self._lab.name(server)]
        world.after(ATTEMPT_SECONDS, promise.give, ("lost", None))
        if node.process is None:
            world.after(network.dead_after(), promise.give, ("lost", None))
            return promise
        delay = network.delay()
        if network.loses():
            world.after(delay, promise.give, ("lost", None))
        else:
            world.after(delay, self._arrive, node, ask, promise)
        return promise

    def _arrive(self, node: Node, ask: Ask, promise: Promise) -> None:
        process, world = node.process, self._world
        if process is None:
            world.after(self._lab.network.dead_after(), promise.give, ("lost", None))
            return
        world.after(DEAD_POLL, self._look, node, process, promise)

        def answer(kind: str, value: Any) -> None:
            if self._lab.network.loses():
                kind, value = "lost", None
            world.after(0.0001 + self._rng.random() * 0.0009, promise.give, (kind, value))

        ask(process, answer)

    def _look(self, node: Node, process: Process, promise: Promise) -> None:
        if node.process is not process:
            promise.give(("lost", None))
        elif not promise.given:
            self._world.after(DEAD_POLL, self._look, node, process, promise)


def fill_appends(ops: Iterable[Op], appends: set[int]) -> None:
    """Give every append the whole value that it made, by the order of the revisions.

    Raises AssertionError if an operation is unanswered: clerks never give up.
    """
    values: dict[bytes, bytes] = {}
    writes = [op for op in ops if op.kind == "put"]
    assert all(op.outcome == "ok" for op in writes), "an operation was never answered"
    for op in sorted(writes, key=lambda op: op.revision or 0):
        assert op.value is not None
        if id(op) in appends:
            op.value = values.get(op.key, b"") + op.value
        values[op.key] = op.value
