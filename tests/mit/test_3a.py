"""Lab 3A: the key-value service without snapshots."""

from __future__ import annotations

from tests.mit.clerk import Clerk
from tests.mit.generic import OP_SECONDS, Shape, check_appends, generic, linearizable
from tests.mit.helpers import check_one_leader
from tests.mit.lab import ELECTION_SECONDS, Lab
from tests.mit.tasks import Steps, Task

SPEED_OPS = 1000
OP_MS_MAX = 100 / 3
"""Three operations in each heartbeat interval of the labs."""


def test_basic_3a(seed: int) -> None:
    generic(seed, Shape(1, 5))


def test_speed_3a(seed: int) -> None:
    speed(seed, 0)


def speed(seed: int, snapshot_bytes: int) -> None:
    with Lab(seed, 3, snapshot_bytes=snapshot_bytes, long_delays=False) as lab:
        clerk = Clerk(lab, 0)
        lab.finish([lab.go(clerk.get(b"x"))], OP_SECONDS, "the first get")
        began = lab.world.now
        lab.finish([lab.go(_appends(clerk, b"x", SPEED_OPS))], 120.0, "all appends")
        lab.figure("ms an operation", (lab.world.now - began) * 1000 / SPEED_OPS, OP_MS_MAX)
        (value,) = lab.finish([lab.go(clerk.get(b"x"))], OP_SECONDS, "the last get")
        check_appends(value, 0, SPEED_OPS)


def _appends(clerk: Clerk, key: bytes, count: int) -> Steps:
    for number in range(count):
        yield from clerk.append(key, b"x %d %d y" % (clerk.number, number))


def test_concurrent_3a(seed: int) -> None:
    generic(seed, Shape(5, 5))


def test_unreliable_3a(seed: int) -> None:
    generic(seed, Shape(5, 5, unreliable=True))


def test_unreliable_one_key_3a(seed: int) -> None:
    with Lab(seed, 3, unreliable=True, long_delays=False) as lab:
        clerks = [Clerk(lab, number) for number in range(5)]
        lab.finish([lab.go(clerks[0].put(b"k", b""))], OP_SECONDS, "the put")
        tasks = [lab.go(_appends(clerk, b"k", 10)) for clerk in clerks]
        lab.finish(tasks, OP_SECONDS, "all appends")
        (value,) = lab.finish([lab.go(clerks[0].get(b"k"))], OP_SECONDS, "the get")
        for clerk in clerks:
            check_appends(value, clerk.number, 10)
        assert value.count(b"y") == 50
        linearizable(lab, lab.history.ops)


def test_one_partition_3a(seed: int) -> None:
    """The minority completes nothing, the majority all; after the heal, so does the minority."""
    with Lab(seed, 5, long_delays=False) as lab:
        key = b"1"
        anybody = Clerk(lab, 0)
        lab.finish([lab.go(anybody.put(key, b"13"))], OP_SECONDS, "the first put")
        leader = check_one_leader(lab)
        small = [leader, (leader + 1) % 5]
        large = [server for server in lab.servers if server not in small]
        lab.partition([small, large])
        major = Clerk(lab, 1, large)
        minor = [Clerk(lab, 2, small), Clerk(lab, 3, small)]
        _run(lab, major.put(key, b"14"))
        assert _run(lab, major.get(key)) == b"14"
        late = [lab.go(minor[0].put(key, b"15")), lab.go(minor[1].get(key))]
        lab.sleep(1.0)
        assert not any(task.done for task in late), "a minority answered"
        assert _run(lab, major.get(key)) == b"14"
        _run(lab, major.put(key, b"16"))
        assert _run(lab, major.get(key)) == b"16"
        lab.connect_all()
        for clerk in minor:
            clerk.reach = list(lab.servers)
        lab.sleep(ELECTION_SECONDS)
        _finish_late(lab, late)
        assert _run(lab, anybody.get(key)) == b"15"
        linearizable(lab, lab.history.ops)


def _run(lab: Lab, steps: Steps) -> bytes | None:
    (result,) = lab.finish([lab.go(steps)], OP_SECONDS, "an operation")
    return result if isinstance(result, bytes) else None


def _finish_late(lab: Lab, late: list[Task]) -> None:
    began = lab.world.now
    lab.finish(late, 3.0, "the minority's operations after the heal")
    lab.figure("seconds after the heal", ELECTION_SECONDS + lab.world.now - began, 4.0)


def test_many_partitions_one_client_3a(seed: int) -> None:
    generic(seed, Shape(1, 5, partitions=True))


def test_many_partitions_many_clients_3a(seed: int) -> None:
    generic(seed, Shape(5, 5, partitions=True))


def test_persist_one_client_3a(seed: int) -> None:
    generic(seed, Shape(1, 5, crash=True))


def test_persist_concurrent_3a(seed: int) -> None:
    generic(seed, Shape(5, 5, crash=True))


def test_persist_concurrent_unreliable_3a(seed: int) -> None:
    generic(seed, Shape(5, 5, unreliable=True, crash=True))


def test_persist_partition_3a(seed: int) -> None:
    generic(seed, Shape(5, 5, crash=True, partitions=True))


def test_persist_partition_unreliable_3a(seed: int) -> None:
    generic(seed, Shape(5, 5, unreliable=True, crash=True, partitions=True))


def test_persist_partition_unreliable_linearizable_3a(seed: int) -> None:
    generic(seed, Shape(15, 7, unreliable=True, crash=True, partitions=True, random_keys=True))
