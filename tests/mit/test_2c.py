"""Lab 2C: what survives crashes and bad networks."""

from __future__ import annotations

from collections.abc import Callable

from tests.mit.helpers import (
    ONE_SECONDS,
    ONE_WAIT,
    check_one_leader,
    one,
    one_steps,
    random_value,
    wait_applied,
)
from tests.mit.lab import ELECTION_SECONDS, Lab
from tests.mit.service import as_command
from tests.mit.tasks import Steps

FIGURE_8_ROUNDS = 1000
REORDERING_FROM = 200
AGREE_ROUNDS = 49
CHURN_ROUNDS = 20
CHURN_POLLS = (0.010, 0.020, 0.050, 0.100, 0.200)


def test_persist1_2c(seed: int) -> None:
    with Lab(seed, 3) as lab:
        one(lab, 11, 3, retry=True)
        for server in lab.servers:
            lab.start_server(server)
        for server in lab.servers:
            lab.connect(server)
        one(lab, 12, 3, retry=True)
        lab.restart(check_one_leader(lab))
        one(lab, 13, 3, retry=True)
        second = check_one_leader(lab)
        lab.crash_server(second)
        one(lab, 14, 2, retry=True)
        lab.restart(second)
        wait_applied(lab, 4, 3)
        third = (check_one_leader(lab) + 1) % 3
        lab.crash_server(third)
        one(lab, 15, 2, retry=True)
        lab.restart(third)
        one(lab, 16, 3, retry=True)


def test_persist2_2c(seed: int) -> None:
    with Lab(seed, 5) as lab:
        index = 1
        for _ in range(5):
            one(lab, 10 + index, 5, retry=True)
            leader = check_one_leader(lab)
            at = [(leader + step) % 5 for step in range(5)]
            lab.crash_server(at[1])
            lab.crash_server(at[2])
            one(lab, 10 + index + 1, 3, retry=True)
            for step in (0, 3, 4):
                lab.crash_server(at[step])
            lab.restart(at[1])
            lab.restart(at[2])
            lab.sleep(ELECTION_SECONDS)
            lab.restart(at[3])
            one(lab, 10 + index + 2, 3, retry=True)
            lab.restart(at[4])
            lab.restart(at[0])
            index += 3
        one(lab, 1000, 5, retry=True)


def test_persist3_2c(seed: int) -> None:
    with Lab(seed, 3) as lab:
        one(lab, 101, 3, retry=True)
        leader = check_one_leader(lab)
        near, far = (leader + 1) % 3, (leader + 2) % 3
        lab.disconnect(far)
        one(lab, 102, 2, retry=True)
        lab.crash_server(leader)
        lab.crash_server(near)
        lab.connect(far)
        lab.restart(leader)
        one(lab, 103, 2, retry=True)
        lab.restart(near)
        one(lab, 104, 3, retry=True)
        assert as_command(b"102") in lab.commands


def _start_on_all(lab: Lab, draw: Callable[[], bytes], *, only_linked: bool) -> int | None:
    """Start a value on every server that runs. Returns the last one that took it."""
    leader = None
    for server in lab.servers:
        if lab.process(server) is None:
            continue
        taken = lab.start_command(server, draw()) is not None
        if taken and (lab.connected[server] or not only_linked):
            leader = server
    return leader


def _pause(lab: Lab) -> float:
    if lab.rng.randrange(1000) < 100:
        return lab.rng.randrange(500) / 1000
    return lab.rng.randrange(13) / 1000


def test_figure_8_2c(seed: int) -> None:
    with Lab(seed, 5) as lab:
        one(lab, random_value(lab), 1, retry=True)
        up = 5
        for _ in range(FIGURE_8_ROUNDS):
            leader = _start_on_all(lab, lambda: random_value(lab), only_linked=False)
            lab.sleep(_pause(lab))
            if leader is not None:
                lab.crash_server(leader)
                up -= 1
            if up < 3:
                chosen = lab.rng.randrange(5)
                if lab.process(chosen) is None:
                    lab.restart(chosen)
                    up += 1
        for server in lab.servers:
            if lab.process(server) is None:
                lab.restart(server)
        _agree_in_time(lab)


def _agree_in_time(lab: Lab) -> None:
    began = lab.world.now
    one(lab, random_value(lab), 5, retry=True)
    lab.figure("seconds to the last agreement", lab.world.now - began, ONE_SECONDS)


def test_figure_8_unreliable_2c(seed: int) -> None:
    with Lab(seed, 5, unreliable=True) as lab:
        one(lab, lab.rng.randrange(10_000), 1, retry=True)
        up = 5
        for round_ in range(FIGURE_8_ROUNDS):
            if round_ == REORDERING_FROM:
                lab.network.mode.long_reordering = True
            leader = _start_on_all(lab, lambda: b"%d" % lab.rng.randrange(10_000), only_linked=True)
            lab.sleep(_pause(lab))
            if leader is not None and lab.rng.random() < 0.5:
                lab.disconnect(leader)
                up -= 1
            if up < 3:
                chosen = lab.rng.randrange(5)
                if not lab.connected[chosen]:
                    lab.connect(chosen)
                    up += 1
        lab.connect_all()
        _agree_in_time(lab)


def test_unreliable_agree_2c(seed: int) -> None:
    with Lab(seed, 5, unreliable=True) as lab:
        tasks = []
        for round_ in range(1, AGREE_ROUNDS + 1):
            for j in range(4):
                value = b"%d" % (100 * round_ + j)
                tasks.append(lab.go(one_steps(lab, value, 1, retry=True)))
            one(lab, round_, 1, retry=True)
        lab.network.mode.unreliable = False
        lab.finish(tasks, ONE_SECONDS + ONE_WAIT, "the concurrent agreements")
        one(lab, 100, 5, retry=True)
        said = {
            as_command(b"%d" % (100 * r + j)) for r in range(1, AGREE_ROUNDS + 1) for j in range(4)
        }
        assert said <= set(lab.commands)


def test_reliable_churn_2c(seed: int) -> None:
    _churn(seed, unreliable=False)


def test_unreliable_churn_2c(seed: int) -> None:
    _churn(seed, unreliable=True)


def _churn(seed: int, *, unreliable: bool) -> None:
    with Lab(seed, 5, unreliable=unreliable) as lab:
        stop: list[bool] = []
        clients = [lab.go(_churn_client(lab, me, stop)) for me in range(3)]
        for _ in range(CHURN_ROUNDS):
            _churn_once(lab)
            lab.sleep(0.7)
        lab.sleep(ELECTION_SECONDS)
        lab.network.mode.unreliable = False
        for server in lab.servers:
            if lab.process(server) is None:
                lab.start_server(server)
            lab.connect(server)
        stop.append(True)
        told = lab.finish(clients, ONE_SECONDS, "the clients to stop")
        lab.sleep(ELECTION_SECONDS)
        last = one(lab, random_value(lab), 5, retry=True)
        held = set(lab.commands[1 : last + 1])
        for values in told:
            assert values, "a client saw nothing committed: the test shows nothing"
            lost = [value for value in values if as_command(value) not in held]
            assert not lost, f"committed and gone: {lost}"


def _churn_client(lab: Lab, me: int, stop: list[bool]) -> Steps:
    """Values that this client saw committed."""
    seen: list[bytes] = []
    while not stop:
        value = random_value(lab)
        index = None
        for server in lab.servers:
            started = lab.start_command(server, value)
            if started is not None:
                index = started[0]
        if index is None:
            yield (79 + me * 17) / 1000
            continue
        for pause in CHURN_POLLS:
            if lab.applied_by(index) > 0:
                if lab.commands[index] == as_command(value):
                    seen.append(value)
                break
            yield pause
    return seen


def _churn_once(lab: Lab) -> None:
    if lab.rng.random() < 0.2:
        lab.disconnect(lab.rng.randrange(5))
    if lab.rng.random() < 0.5:
        server = lab.rng.randrange(5)
        if lab.process(server) is None:
            lab.start_server(server)
        lab.connect(server)
    if lab.rng.random() < 0.2:
        server = lab.rng.randrange(5)
        if lab.process(server) is not None:
            lab.crash_server(server)
