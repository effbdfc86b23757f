"""Lab 3B: the key-value service with snapshots; maxraftstate is 1000 bytes."""

from __future__ import annotations

from tests.mit.clerk import Clerk
from tests.mit.generic import LOG_FACTOR, OP_SECONDS, Shape, generic, linearizable
from tests.mit.lab import ELECTION_SECONDS, Lab
from tests.mit.tasks import Steps
from tests.mit.test_3a import speed

MAX_RAFT_STATE = 1000
SNAPSHOT_BYTES_MAX = 500


def _run(lab: Lab, steps: Steps) -> None:
    lab.finish([lab.go(steps)], OP_SECONDS, "an operation")


def _check(clerk: Clerk, key: bytes, value: bytes) -> Steps:
    got = yield from clerk.get(key)
    assert got == value, f"{key!r} holds {got!r}, must hold {value!r}"


def test_snapshot_rpc_3b(seed: int) -> None:
    """Who was cut off gets a snapshot, and can serve with the other that was then cut off."""
    with Lab(seed, 3, snapshot_bytes=MAX_RAFT_STATE, long_delays=False) as lab:
        first = Clerk(lab, 0)
        _run(lab, first.put(b"a", b"A"))
        _run(lab, _check(first, b"a", b"A"))
        lab.partition([[0, 1], [2]])
        near = Clerk(lab, 1, [0, 1])
        for number in range(50):
            _run(lab, near.put(b"%d" % number, b"%d" % number))
        lab.sleep(ELECTION_SECONDS)
        _run(lab, near.put(b"b", b"B"))
        lab.figure("log bytes", lab.log_bytes(), LOG_FACTOR * MAX_RAFT_STATE)
        lab.partition([[0, 2], [1]])
        far = Clerk(lab, 2, [0, 2])
        _run(lab, far.put(b"c", b"C"))
        _run(lab, far.put(b"d", b"D"))
        for key, value in ((b"a", b"A"), (b"b", b"B"), (b"1", b"1"), (b"49", b"49")):
            _run(lab, _check(far, key, value))
        assert lab.world.stats["event snapshot_installed"] > 0
        lab.connect_all()
        _run(lab, first.put(b"e", b"E"))
        for key, value in ((b"c", b"C"), (b"e", b"E"), (b"1", b"1")):
            _run(lab, _check(first, key, value))
        linearizable(lab, lab.history.ops)


def test_snapshot_size_3b(seed: int) -> None:
    with Lab(seed, 3, snapshot_bytes=MAX_RAFT_STATE, long_delays=False) as lab:
        clerk = Clerk(lab, 0)
        for _ in range(200):
            for value in (b"0", b"1"):
                _run(lab, clerk.put(b"x", value))
                _run(lab, _check(clerk, b"x", value))
        lab.figure("log bytes", lab.log_bytes(), LOG_FACTOR * MAX_RAFT_STATE)
        lab.figure("snapshot bytes", lab.snapshot_bytes(), SNAPSHOT_BYTES_MAX)
        assert lab.snapshots > 0
        linearizable(lab, lab.history.ops)


def test_speed_3b(seed: int) -> None:
    speed(seed, MAX_RAFT_STATE)


def test_snapshot_recover_3b(seed: int) -> None:
    generic(seed, Shape(1, 5, crash=True, snapshot_bytes=MAX_RAFT_STATE))


def test_snapshot_recover_many_clients_3b(seed: int) -> None:
    generic(seed, Shape(20, 5, crash=True, snapshot_bytes=MAX_RAFT_STATE))


def test_snapshot_unreliable_3b(seed: int) -> None:
    generic(seed, Shape(5, 5, unreliable=True, snapshot_bytes=MAX_RAFT_STATE))


def test_snapshot_unreliable_recover_3b(seed: int) -> None:
    generic(seed, Shape(5, 5, unreliable=True, crash=True, snapshot_bytes=MAX_RAFT_STATE))


def test_snapshot_unreliable_recover_concurrent_partition_3b(seed: int) -> None:
    shape = Shape(5, 5, unreliable=True, crash=True, partitions=True, snapshot_bytes=MAX_RAFT_STATE)
    generic(seed, shape)


def test_snapshot_unreliable_recover_concurrent_partition_linearizable_3b(seed: int) -> None:
    shape = Shape(
        15,
        7,
        unreliable=True,
        crash=True,
        partitions=True,
        snapshot_bytes=MAX_RAFT_STATE,
        random_keys=True,
    )
    generic(seed, shape)
