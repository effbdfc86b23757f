"""The main scenarios of the labs on real daemons. Each takes an empty directory and a seed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from harness.proxy import Delay
from raftd.client import Client
from tests.mit.real import SCALE, RealLab

BACKUP_COMMANDS = 50
FIGURE_8_CRASHES = 8
FIGURE_8_ROUNDS = 600
AGREE_ROUNDS = 20
SNAPSHOT_ROUNDS = 8
SNAPSHOT_EVERY = 10
TINY_SNAPSHOTS = {"snapshot_entries": str(SNAPSHOT_EVERY), "keep_entries": "0"}


def initial_election_2a(base: Path, seed: int) -> None:
    with RealLab(base, 3, seed) as lab:
        lab.check_one_leader()
        before = lab.terms()
        assert len(before) == 1
        lab.sleep_elections(2)
        assert lab.terms() == before, "the term changed without a failure"
        lab.check_one_leader()


def re_election_2a(base: Path, seed: int) -> None:
    with RealLab(base, 3, seed) as lab:
        first = lab.check_one_leader()
        lab.disconnect(first)
        lab.check_one_leader()
        lab.connect(first)
        second = lab.check_one_leader()
        other = (second + 1) % 3
        lab.disconnect(second, other)
        lab.sleep_elections(2)
        lab.check_no_leader()
        lab.connect(other)
        lab.check_one_leader()
        lab.connect(second)
        lab.check_one_leader()


def fail_agree_2b(base: Path, seed: int) -> None:
    with RealLab(base, 3, seed) as lab:
        lab.one(3)
        gone = (lab.check_one_leader() + 1) % 3
        lab.disconnect(gone)
        lab.one(2)
        lab.one(2)
        lab.sleep_elections(1)
        lab.one(2)
        lab.one(2)
        lab.connect(gone)
        lab.one(3)
        lab.sleep_elections(1)
        lab.one(3)


def fail_no_agree_2b(base: Path, seed: int) -> None:
    with RealLab(base, 5, seed) as lab:
        lab.one(5)
        leader = lab.check_one_leader()
        gone = [(leader + step) % 5 for step in (1, 2, 3)]
        lab.disconnect(*gone)
        key = lab.fresh()
        assert lab.start_command(leader, key)
        lab.sleep_elections(2)
        assert lab.applied_by(key) == 0, "applied without a majority"
        lab.connect(*gone)
        lab.check_one_leader()
        lab.one(5)


def rejoin_2b(base: Path, seed: int) -> None:
    with RealLab(base, 3, seed) as lab:
        lab.one(3)
        first = lab.check_one_leader()
        lab.disconnect(first)
        lab.start_many(first, 3)
        lab.one(2)
        second = lab.check_one_leader()
        lab.disconnect(second)
        lab.connect(first)
        lab.one(2)
        lab.connect(second)
        lab.one(3)


def backup_2b(base: Path, seed: int) -> None:
    with RealLab(base, 5, seed) as lab:
        lab.one(5)
        first = lab.check_one_leader()
        near, far = [(first + s) % 5 for s in (0, 1)], [(first + s) % 5 for s in (2, 3, 4)]
        lab.disconnect(*far)
        lab.start_many(first, BACKUP_COMMANDS)
        lab.sleep_elections(0.5)
        lab.disconnect(*near)
        lab.connect(*far)
        for _ in range(BACKUP_COMMANDS):
            lab.one(3)
        second = lab.check_one_leader()
        other = far[0] if second != far[0] else far[1]
        lab.disconnect(other)
        lab.start_many(second, BACKUP_COMMANDS)
        lab.sleep_elections(0.5)
        lab.disconnect(*lab.servers)
        lab.connect(*near, other)
        for _ in range(BACKUP_COMMANDS):
            lab.one(3)
        lab.connect(*lab.servers)
        lab.one(5)


def persist1_2c(base: Path, seed: int) -> None:
    with RealLab(base, 3, seed) as lab:
        first = lab.one(3)
        for server in lab.servers:
            lab.crash(server)
        lab.restart(*lab.servers)
        lab.one(3)
        lab.restart(lab.check_one_leader())
        lab.one(3)
        second = lab.check_one_leader()
        lab.crash(second)
        key = lab.one(2)
        lab.restart(second)
        lab.wait_applied(key, 3)
        third = (lab.check_one_leader() + 1) % 3
        lab.crash(third)
        lab.one(2)
        lab.restart(third)
        lab.one(3)
        assert lab.applied_by(first) == 3


def figure_8_2c(base: Path, seed: int) -> None:
    """Shortened: until so many leaders were killed in the moment after they took a command."""
    with RealLab(base, 5, seed) as lab:
        kept = [lab.one(1)]
        crashes = 0
        for _ in range(FIGURE_8_ROUNDS):
            key = lab.fresh()
            took = [server for server in lab.servers if lab.start_command(server, key)]
            longer = lab.rng.random() < 0.1
            time.sleep(lab.rng.randrange(500 if longer else 13) / 1000)
            if took:
                if lab.applied_by(key):
                    kept.append(key)
                lab.crash(took[-1])
                crashes += 1
            down = [server for server in lab.servers if not lab.is_up(server)]
            if len(down) > 2:
                lab.restart(lab.rng.choice(down))
            if crashes >= FIGURE_8_CRASHES:
                break
        assert crashes >= FIGURE_8_CRASHES, f"only {crashes} leaders were seen"
        lab.restart(*[server for server in lab.servers if not lab.is_up(server)])
        lab.one(5)
        lost = [key for key in kept if lab.applied_by(key) < 5]
        assert not lost, f"applied somewhere, and gone: {lost}"


def unreliable_agree_2c(base: Path, seed: int) -> None:
    """0-26 ms on every edge, and a connection that breaks every 50 ms."""
    with RealLab(base, 5, seed) as lab:
        lab.one(5)
        edges = lab.cluster.peer_edges()
        for edge in edges:
            edge.slow(Delay(0.013, 0.013))
        over = threading.Event()

        def cut() -> None:
            while not over.wait(0.05):
                lab.rng.choice(edges).cut()

        cutter = threading.Thread(target=cut, daemon=True)
        cutter.start()
        try:
            for round_ in range(AGREE_ROUNDS):
                lab.start_many(round_ % 5, 4)
                lab.one(1)
        finally:
            over.set()
            cutter.join()
        lab.cluster.heal()
        lab.one(5)


def snapshot_install_2d(base: Path, seed: int) -> None:
    with RealLab(base, 3, seed, TINY_SNAPSHOTS) as lab:
        lab.one(3)
        leader = lab.check_one_leader()
        for round_ in range(SNAPSHOT_ROUNDS):
            victim, sender = (leader + 1) % 3, leader
            if round_ % 3 == 1:
                victim, sender = leader, (leader + 1) % 3
            lab.disconnect(victim)
            lab.one(2)
            lab.start_many(sender, SNAPSHOT_EVERY // 2 + lab.rng.randrange(SNAPSHOT_EVERY))
            for _ in range(SNAPSHOT_EVERY):
                lab.one(2)
            lab.connect(victim)
            lab.one(3)
            leader = lab.check_one_leader()
        installed = sum(
            node.log_path.read_text(errors="replace").count('"snapshot_installed"')
            for node in lab.cluster.nodes
        )
        assert installed >= SNAPSHOT_ROUNDS // 2, f"only {installed} snapshots were installed"


def one_partition_3a(base: Path, seed: int) -> None:
    """The minority's clients reach only the minority until the heal; then they are done."""
    with RealLab(base, 5, seed) as lab:
        lab.one(5)
        leader = lab.check_one_leader()
        small = [leader, (leader + 1) % 5]
        large = [server for server in lab.servers if server not in small]
        edges = lab.client_edges(small)
        for edge in lab.client_edges(large):
            edge.block()
        lab.partition([small, large])
        endpoints = [f"127.0.0.1:{edge.port}" for edge in edges]
        direct = [lab.cluster.nodes[server].client_address for server in large]
        with (
            Client(endpoints, timeout=60) as minor,
            Client(endpoints, timeout=60) as reader,
            Client(direct, timeout=60) as major,
        ):
            late = [Later(lambda: minor.put(b"1", b"15")), Later(lambda: reader.get(b"1"))]
            _put_and_get(major, b"14")
            time.sleep(1.0)
            assert all(call.is_alive() for call in late), "a minority answered"
            _put_and_get(major, b"16")
            lab.connect(*lab.servers)
            for edge in lab.client_edges(large):
                edge.open(cut=True)
            lab.sleep_elections(1)
            for call in late:
                call.join(3 * SCALE)
                assert not call.is_alive(), "not done 3 s after the heal"
                assert call.error is None, f"failed after the heal: {call.error}"
            assert _value(major) == b"15"


def _put_and_get(client: Client, value: bytes) -> None:
    client.put(b"1", value)
    assert _value(client) == value


def _value(client: Client) -> bytes | None:
    found = client.get(b"1").kv
    return None if found is None else found.value


class Later(threading.Thread):
    """A call that may take until the heal; `error` is what it raised."""

    def __init__(self, act: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self._act = act
        self.error: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            self._act()
        except Exception as error:  # noqa: BLE001 - raised in the scenario's thread
            self.error = error


REAL: dict[str, Callable[[Path, int], None]] = {
    scenario.__name__: scenario
    for scenario in (
        initial_election_2a,
        re_election_2a,
        fail_agree_2b,
        fail_no_agree_2b,
        rejoin_2b,
        backup_2b,
        persist1_2c,
        figure_8_2c,
        unreliable_agree_2c,
        snapshot_install_2d,
        one_partition_3a,
    )
}
