"""The labs' GenericTest: clients for three rounds of five seconds, faults, and what must hold then.

The labs' clients go as fast as they can; these pause between two operations, so that a round is
some hundred operations of each and not thousands. All other numbers are the labs'.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from tests.mit.clerk import Clerk, fill_appends
from tests.mit.lab import ELECTION_SECONDS, Lab
from tests.mit.tasks import Steps
from tests.sim import history as histories

ROUNDS = 3
ROUND_SECONDS = 5.0
LOG_FACTOR = 8
PAUSE_MAX = 0.1
PAUSE_MAX_MANY = 0.2
MANY = 10
"""Clients, from which on each pauses longer."""
OP_SECONDS = 30.0
OPS_MIN = 20
"""A client that did less in a run shows nothing."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The columns of the labs' table. snapshot_bytes: maxraftstate; 0 for none (their -1)."""

    clients: int
    servers: int
    unreliable: bool = False
    crash: bool = False
    partitions: bool = False
    snapshot_bytes: int = 0
    random_keys: bool = False


def generic(seed: int, shape: Shape) -> None:
    with Lab(
        seed,
        shape.servers,
        unreliable=shape.unreliable,
        snapshot_bytes=shape.snapshot_bytes,
        long_delays=False,
    ) as lab:
        clerks = [Clerk(lab, number) for number in range(shape.clients)]
        for round_ in range(ROUNDS):
            _round(lab, shape, clerks, round_)
        _judge(lab, shape)


def _round(lab: Lab, shape: Shape, clerks: list[Clerk], round_: int) -> None:
    stop: list[bool] = []
    clients = [lab.go(_client(lab, shape, clerk, round_, stop)) for clerk in clerks]
    parts_stop: list[bool] = []
    partitioner = None
    if shape.partitions:
        lab.sleep(1.0)
        partitioner = lab.go(_partition(lab, parts_stop))
    lab.sleep(ROUND_SECONDS)
    stop.append(True)
    parts_stop.append(True)
    if partitioner is not None:
        lab.finish([partitioner], ELECTION_SECONDS * 2, "the partitioner to stop")
        lab.connect_all()
        lab.sleep(ELECTION_SECONDS)
    if shape.crash:
        _crash_all(lab)
    expected = lab.finish(clients, OP_SECONDS, "the clients' last operations")
    _check_round(lab, shape, clerks, expected)


def _crash_all(lab: Lab) -> None:
    for server in lab.servers:
        lab.crash_server(server)
    lab.sleep(ELECTION_SECONDS)
    for server in lab.servers:
        lab.restart(server)


def _partition(lab: Lab, stop: list[bool]) -> Steps:
    while not stop:
        sides: tuple[list[int], list[int]] = ([], [])
        for server in lab.servers:
            sides[lab.rng.randrange(2)].append(server)
        lab.partition(sides)
        yield ELECTION_SECONDS + lab.rng.randrange(200) / 1000


def _client(lab: Lab, shape: Shape, clerk: Clerk, round_: int, stop: list[bool]) -> Steps:
    """Appends and gets until `stop`. Its result: (appends made, what its own key must hold)."""
    me, rng, count = clerk.number, lab.world.stream(f"client {clerk.number} {round_}"), 0
    own = b"" if shape.random_keys else b"%d" % me
    value = b""
    if own:
        yield from clerk.put(own, b"")
    pause = PAUSE_MAX if shape.clients < MANY else PAUSE_MAX_MANY
    while not stop:
        key = own or b"%d" % rng.randrange(shape.clients)
        token = b"x %d.%d %d y" % (me, round_, count)
        if rng.random() < 0.5:
            yield from clerk.append(key, token)
            value += token
            count += 1
        elif shape.random_keys and rng.random() < 0.1:
            yield from clerk.put(key, token)
            count += 1
        else:
            got = yield from clerk.get(key)
            assert not own or got == value, f"client {me}: {got!r}, must be {value!r}"
        yield rng.random() * pause
    return count, value


def _check_round(
    lab: Lab, shape: Shape, clerks: list[Clerk], expected: list[tuple[int, bytes]]
) -> None:
    """Each client's appends are there, once and in order; the log is small."""
    for clerk, (count, value) in zip(clerks, expected, strict=True):
        if shape.random_keys:
            continue
        (got,) = lab.finish([lab.go(clerk.get(b"%d" % clerk.number))], OP_SECONDS, "a last get")
        check_appends(got, clerk.number, count)
        assert got == value
    if shape.snapshot_bytes:
        lab.figure("log bytes", lab.log_bytes(), LOG_FACTOR * shape.snapshot_bytes)
    else:
        assert lab.snapshots == 0


def check_appends(value: bytes, client: int, count: int) -> None:
    """`value` holds numbers 0 to count - 1 of this client, each once, in order."""
    numbers = re.findall(rb"x %d(?:\.\d+)? (\d+) y" % client, value)
    assert [int(number) for number in numbers] == list(range(count)), (
        f"client {client} appended {count}, found {len(numbers)}"
    )


def _judge(lab: Lab, shape: Shape) -> None:
    ops = lab.history.ops
    assert len(ops) >= OPS_MIN * shape.clients, f"{len(ops)} operations show too little"
    if shape.snapshot_bytes:
        assert lab.snapshots > 0, "no snapshot was taken"
    linearizable(lab, ops)


def linearizable(lab: Lab, ops: Iterable[histories.Op]) -> None:
    known = list(ops)
    fill_appends(known, lab.appends)
    histories.check(known)
    lab.world.stats["ops judged"] += len(known)
