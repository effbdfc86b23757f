"""Lab 2B: the log."""

from __future__ import annotations

from tests.mit.helpers import (
    assert_applied_nowhere,
    check_one_leader,
    leader_now,
    one,
    random_value,
    wait_applied,
)
from tests.mit.lab import ELECTION_SECONDS, Lab
from tests.mit.service import as_command

TRIES = 5
RPC_COMMAND_BYTES = 5000
RPC_BYTES_MAX = 3 * 10 * RPC_COMMAND_BYTES + 50_000
BACKUP_COMMANDS = 50
ELECTION_RPCS_MAX = 30
AGREE_ROUNDS = 10
AGREE_RPCS_MAX = (AGREE_ROUNDS + 1 + 3) * 3
IDLE_RPCS_MAX = 3 * 20


def test_basic_agree_2b(seed: int) -> None:
    with Lab(seed, 3) as lab:
        for index in (1, 2, 3):
            assert_applied_nowhere(lab, index)
            assert one(lab, index * 100, 3, retry=False) == index


def test_rpc_bytes_2b(seed: int) -> None:
    """Each command travels to each peer once; heartbeats and replies count, too."""
    with Lab(seed, 3) as lab:
        lab.network.mode.count_bytes = True
        one(lab, 99, 3, retry=False)
        before = lab.network.bytes
        for index in range(2, 12):
            assert one(lab, lab.rng.randbytes(RPC_COMMAND_BYTES), 3, retry=False) == index
        lab.figure("bytes", lab.network.bytes - before, RPC_BYTES_MAX)


def test_follower_failure_2b(seed: int) -> None:
    with Lab(seed, 3) as lab:
        one(lab, 101, 3, retry=False)
        leader = check_one_leader(lab)
        lab.disconnect((leader + 1) % 3)
        one(lab, 102, 2, retry=False)
        lab.sleep(ELECTION_SECONDS)
        one(lab, 103, 2, retry=False)
        leader = check_one_leader(lab)
        lab.disconnect((leader + 1) % 3)
        lab.disconnect((leader + 2) % 3)
        started = lab.start_command(leader, b"104")
        assert started is not None
        assert started[0] == 4
        lab.sleep(2 * ELECTION_SECONDS)
        assert_applied_nowhere(lab, 4)


def test_leader_failure_2b(seed: int) -> None:
    with Lab(seed, 3) as lab:
        one(lab, 101, 3, retry=False)
        lab.disconnect(check_one_leader(lab))
        one(lab, 102, 2, retry=False)
        lab.sleep(ELECTION_SECONDS)
        one(lab, 103, 2, retry=False)
        lab.disconnect(check_one_leader(lab))
        for server in lab.servers:
            lab.start_command(server, b"104")
        lab.sleep(2 * ELECTION_SECONDS)
        assert_applied_nowhere(lab, 4)


def test_fail_agree_2b(seed: int) -> None:
    with Lab(seed, 3) as lab:
        one(lab, 101, 3, retry=False)
        gone = (check_one_leader(lab) + 1) % 3
        lab.disconnect(gone)
        one(lab, 102, 2, retry=False)
        one(lab, 103, 2, retry=False)
        lab.sleep(ELECTION_SECONDS)
        one(lab, 104, 2, retry=False)
        one(lab, 105, 2, retry=False)
        lab.connect(gone)
        one(lab, 106, 3, retry=True)
        lab.sleep(ELECTION_SECONDS)
        one(lab, 107, 3, retry=True)


def test_fail_no_agree_2b(seed: int) -> None:
    with Lab(seed, 5) as lab:
        one(lab, 10, 5, retry=False)
        leader = check_one_leader(lab)
        gone = [(leader + step) % 5 for step in (1, 2, 3)]
        for server in gone:
            lab.disconnect(server)
        started = lab.start_command(leader, b"20")
        assert started is not None
        assert started[0] == 2
        lab.sleep(2 * ELECTION_SECONDS)
        assert_applied_nowhere(lab, 2)
        for server in gone:
            lab.connect(server)
        again = lab.start_command(check_one_leader(lab), b"30")
        assert again is not None
        assert again[0] in (2, 3)
        one(lab, 1000, 5, retry=True)


def test_concurrent_starts_2b(seed: int) -> None:
    """The labs' goroutines are starts within one instant here."""
    with Lab(seed, 3) as lab:
        for attempt in range(TRIES):
            if attempt:
                lab.sleep(3.0)
            if _concurrent_starts(lab):
                return
        raise AssertionError(f"the term changed in each of {TRIES} tries")


def _concurrent_starts(lab: Lab) -> bool:
    leader = check_one_leader(lab)
    first = lab.start_command(leader, b"1")
    if first is None:
        return False
    wanted = {b"%d" % (100 + number) for number in range(5)}
    started = [lab.start_command(leader, value) for value in sorted(wanted)]
    taken = [got for got in started if got is not None and got[1] == first[1]]
    found = [wait_applied(lab, index, 3, first[1]) for index, _ in taken]
    if None in found or len(taken) < len(wanted):
        return False
    assert set(found) == {as_command(value) for value in wanted}
    return True


def test_rejoin_2b(seed: int) -> None:
    with Lab(seed, 3) as lab:
        one(lab, 101, 3, retry=True)
        first = check_one_leader(lab)
        lab.disconnect(first)
        for value in (b"102", b"103", b"104"):
            lab.start_command(first, value)
        one(lab, 103, 2, retry=True)
        second = check_one_leader(lab)
        lab.disconnect(second)
        lab.connect(first)
        one(lab, 104, 2, retry=True)
        lab.connect(second)
        one(lab, 105, 3, retry=True)


def test_backup_2b(seed: int) -> None:
    """Long wrong logs are found out quickly."""
    with Lab(seed, 5) as lab:
        one(lab, random_value(lab), 5, retry=True)
        first = check_one_leader(lab)
        near, far = [(first + s) % 5 for s in (0, 1)], [(first + s) % 5 for s in (2, 3, 4)]
        for server in far:
            lab.disconnect(server)
        _start_many(lab, first)
        lab.sleep(ELECTION_SECONDS / 2)
        for server in near:
            lab.disconnect(server)
        for server in far:
            lab.connect(server)
        _agree_many(lab)
        second = check_one_leader(lab)
        other = far[0] if second != far[0] else far[1]
        lab.disconnect(other)
        _start_many(lab, second)
        lab.sleep(ELECTION_SECONDS / 2)
        for server in lab.servers:
            lab.disconnect(server)
        for server in (*near, other):
            lab.connect(server)
        _agree_many(lab)
        for server in lab.servers:
            lab.connect(server)
        one(lab, random_value(lab), 5, retry=True)


def _start_many(lab: Lab, server: int) -> None:
    for _ in range(BACKUP_COMMANDS):
        lab.start_command(server, random_value(lab))


def _agree_many(lab: Lab) -> None:
    for _ in range(BACKUP_COMMANDS):
        one(lab, random_value(lab), 3, retry=True)


def test_count_2b(seed: int) -> None:
    with Lab(seed, 3) as lab:
        lab.wait_for(lambda: leader_now(lab) is not None, 5.0, "the first leader")
        elected = sum(lab.network.requests.values())
        assert elected >= 1
        lab.figure("RPCs to elect", elected, ELECTION_RPCS_MAX)
        for attempt in range(TRIES):
            if attempt:
                lab.sleep(3.0)
            used = _count_agreement(lab)
            if used is not None:
                lab.figure(f"RPCs for {AGREE_ROUNDS + 2} agreements", used, AGREE_RPCS_MAX)
                break
        else:
            raise AssertionError(f"the term changed in each of {TRIES} tries")
        before = sum(lab.network.requests.values())
        lab.sleep(ELECTION_SECONDS)
        idle = sum(lab.network.requests.values()) - before
        lab.figure("RPCs in an idle second", idle, IDLE_RPCS_MAX)


def _count_agreement(lab: Lab) -> int | None:
    leader = check_one_leader(lab)
    before = sum(lab.network.requests.values())
    first = lab.start_command(leader, b"1")
    if first is None:
        return None
    values = [random_value(lab) for _ in range(AGREE_ROUNDS + 1)]
    for offset, value in enumerate(values):
        started = lab.start_command(leader, value)
        if started is None or started[1] != first[1]:
            return None
        assert started[0] == first[0] + 1 + offset
    for index in range(AGREE_ROUNDS):
        found = wait_applied(lab, first[0] + 1 + index, 3, first[1])
        if found is None:
            return None
        assert found == as_command(values[index])
    return sum(lab.network.requests.values()) - before
