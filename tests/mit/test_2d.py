"""Lab 2D: snapshots. The log stays small, and who was away gets a snapshot."""

from __future__ import annotations

from raftd.wire.batch import HEADER, HEADER_1, NOTE
from tests.mit.helpers import check_one_leader, one, random_value
from tests.mit.lab import Lab

SNAPSHOT_EVERY = 10
COMMANDS_MAX = 24
"""The most that a log held in the labs' 100 seeds: docs/mit.md."""
LOG_BYTES_MAX = 2000 + COMMANDS_MAX * (NOTE.size + HEADER.size - HEADER_1.size)
"""The labs' limit, and what a batch of version 2 has more than one of version 1, each time."""
ROUNDS = 30
CRASH_ROUNDS = 5


def test_snapshot_basic_2d(seed: int) -> None:
    _snapshots(seed)


def test_snapshot_install_2d(seed: int) -> None:
    _snapshots(seed, cut_off=True)


def test_snapshot_install_unreliable_2d(seed: int) -> None:
    _snapshots(seed, cut_off=True, unreliable=True)


def test_snapshot_install_crash_2d(seed: int) -> None:
    _snapshots(seed, crash=True)


def test_snapshot_install_un_crash_2d(seed: int) -> None:
    _snapshots(seed, crash=True, unreliable=True)


def _snapshots(
    seed: int, *, cut_off: bool = False, crash: bool = False, unreliable: bool = False
) -> None:
    with Lab(seed, 3, unreliable=unreliable, snapshot_every=SNAPSHOT_EVERY) as lab:
        one(lab, random_value(lab), 3, retry=True)
        leader, most = check_one_leader(lab), 0
        for round_ in range(ROUNDS):
            victim, sender = (leader + 1) % 3, leader
            if round_ % 3 == 1:
                victim, sender = leader, (leader + 1) % 3
            if cut_off or crash:
                (lab.crash_server if crash else lab.disconnect)(victim)
                one(lab, random_value(lab), 2, retry=True)
            for _ in range(SNAPSHOT_EVERY // 2 + lab.rng.randrange(SNAPSHOT_EVERY)):
                lab.start_command(sender, random_value(lab))
            one(lab, random_value(lab), 2 if cut_off or crash else 3, retry=True)
            most = max(most, lab.log_bytes())
            assert most < LOG_BYTES_MAX, f"the log has {most} bytes; {lab.describe()}"
            if cut_off or crash:
                (lab.restart if crash else lab.connect)(victim)
                one(lab, random_value(lab), 3, retry=True)
                leader = check_one_leader(lab)
        lab.figure("log bytes", most, LOG_BYTES_MAX - 1)
        if cut_off or crash:
            assert lab.world.stats["event snapshot_installed"] > 0, "nobody needed a snapshot"


def test_snapshot_all_crash_2d(seed: int) -> None:
    with Lab(seed, 3, unreliable=True, snapshot_every=SNAPSHOT_EVERY) as lab:
        one(lab, random_value(lab), 3, retry=True)
        for _ in range(CRASH_ROUNDS):
            for _ in range(SNAPSHOT_EVERY // 2 + lab.rng.randrange(SNAPSHOT_EVERY)):
                one(lab, random_value(lab), 3, retry=True)
            before = one(lab, random_value(lab), 3, retry=True)
            _crash_all(lab)
            after = one(lab, random_value(lab), 3, retry=True)
            assert after >= before + 1


def test_snapshot_init_2d(seed: int) -> None:
    """A snapshot that was restored is not written back empty."""
    with Lab(seed, 3, unreliable=True, snapshot_every=SNAPSHOT_EVERY) as lab:
        one(lab, random_value(lab), 3, retry=True)
        for _ in range(SNAPSHOT_EVERY + 1):
            one(lab, random_value(lab), 3, retry=True)
        for _ in range(2):
            _crash_all(lab)
            one(lab, random_value(lab), 3, retry=True)


def _crash_all(lab: Lab) -> None:
    for server in lab.servers:
        lab.crash_server(server)
    for server in lab.servers:
        lab.restart(server)
