"""The blocking client when nodes refuse, break and come back, also under load."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from raftd.client import (
    Client,
    Invalid,
    MachineError,
    NotDone,
    Overloaded,
    RaftdError,
)
from raftd.wire.errors import WireError
from tests.client.conftest import WAIT_SECONDS, wait_until
from tests.client.fake_server import FakeCluster, Wordy
from tests.client.faults import Fault

Connect = Callable[..., Client]


def once(cluster: FakeCluster) -> None:
    executed = cluster.executed()
    assert len(executed) == len(set(executed)), f"done twice: {executed}"


# -- refusals at the door ---------------------------------------------------------------------


def test_overload_is_waited_out(tally: FakeCluster, connect: Connect) -> None:
    tally.nodes["n1"].faults.extend([Fault.OVERLOADED] * 4)
    assert connect(tally).submit(b"x") == b"1:x"


def test_overload_to_the_end_is_certainly_not_done(tally: FakeCluster, connect: Connect) -> None:
    client = connect(tally, attempt_timeout=WAIT_SECONDS)  # a slow answer is no silent node
    client.query(b"the connection stands")
    tally.nodes["n1"].faults.extend([Fault.OVERLOADED] * 1000)
    ends: list[RaftdError] = []
    while len(ends) < 10 and not any(isinstance(end, Overloaded) for end in ends):
        with pytest.raises(RaftdError) as caught:
            client.submit(b"x", timeout=0.5)
        ends.append(caught.value)
    # An attempt that is under way at the very deadline is unknown, rightly: then once more.
    assert isinstance(ends[-1], Overloaded), ends
    assert len(tally.nodes["n1"].faults) > 900, "with pauses, not in a hail"
    assert tally.executed() == []


def test_handing_over_is_waited_out(tally: FakeCluster, connect: Connect) -> None:
    tally.nodes["n1"].faults.extend([Fault.UNAVAILABLE] * 2)
    tally.nodes["n1"].open_faults.extend([Fault.UNAVAILABLE] * 2)
    assert connect(tally).submit(b"x") == b"1:x"


def test_opening_a_session_may_fail_in_any_way(tally: FakeCluster, connect: Connect) -> None:
    tally.nodes["n1"].open_faults.extend(
        [Fault.DROP_AFTER, Fault.UNKNOWN_AFTER, Fault.HANG_AFTER, Fault.OVERLOADED]
    )
    assert connect(tally).submit(b"x") == b"1:x"
    assert tally.sessions.session_count() == 1, "attempts without an answer left sessions behind"


def test_one_bad_command_does_not_spoil_its_neighbours(
    tally: FakeCluster, connect: Connect
) -> None:
    """A node refuses a whole frame as invalid: each command is then sent alone."""
    client = connect(tally, attempt_timeout=5.0)
    client.submit(b"warm")
    node = tally.nodes["n1"]

    def door(payload: bytes) -> None:
        if b"poison" in payload:
            raise WireError("command 3 is poisoned")

    node.door = door
    gate, entered = threading.Event(), threading.Event()

    def hold() -> None:
        entered.set()
        gate.wait(10)

    node.delay = hold
    outcomes: dict[bytes, object] = {}

    def work(command: bytes) -> None:
        try:
            outcomes[command] = client.submit(command)
        except Exception as error:  # noqa: BLE001 - looked at below
            outcomes[command] = error

    commands = [b"first", b"a", b"poison", b"b"]
    threads = [threading.Thread(target=work, args=(command,)) for command in commands]
    threads[0].start()
    assert entered.wait(10)
    for thread in threads[1:]:
        thread.start()
    wait_until(lambda: len(client._callers.ready().small.queue) == 3, "three callers wait")
    gate.set()
    for thread in threads:
        thread.join(10)
    assert isinstance(outcomes[b"poison"], Invalid)
    assert sorted(tally.executed()) == [b"a", b"b", b"first", b"warm"]


def test_a_machines_refusal_is_remembered_too(tally: FakeCluster, connect: Connect) -> None:
    client = connect(tally)
    client.submit(b"one")
    tally.nodes["n1"].faults.append(Fault.DROP_AFTER)
    with pytest.raises(MachineError):
        client.submit(b"bad")


# -- queries and bulk -------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [Fault.DROP_BEFORE, Fault.HANG_BEFORE])
@pytest.mark.parametrize("consistency", ["linearizable", "stale"])
def test_queries_are_asked_again(
    tally: FakeCluster, connect: Connect, fault: Fault, consistency: str
) -> None:
    client = connect(tally)
    for node in tally.nodes.values():
        node.faults.append(fault)
    assert client.query(b"", consistency=consistency) == b"0"  # type: ignore[arg-type]


def test_an_unanswered_query_is_certainly_not_done(tally: FakeCluster, connect: Connect) -> None:
    for node in tally.nodes.values():
        node.faults.extend([Fault.HANG_BEFORE] * 100)
    with pytest.raises(NotDone, match="ask again"):
        connect(tally, attempt_timeout=5.0).query(b"", timeout=0.3)


@pytest.mark.parametrize("fault", list(Fault))
def test_bulk_through_a_fault_in_the_middle(
    tally: FakeCluster, connect: Connect, fault: Fault
) -> None:
    client = connect(tally)
    client.submit(b"warm")
    node = tally.nodes["n1"]
    frames = node.frames

    def strike() -> None:
        if node.frames == frames + 4 and not node.faults:
            node.faults.append(fault)

    node.delay = strike
    commands = [b"%d" % number for number in range(10_000)]
    client.submit_many(commands)
    executed = tally.executed()
    assert sorted(executed) == sorted([b"warm", *commands])


def test_small_and_bulk_commands_share_a_session(tally: FakeCluster, connect: Connect) -> None:
    client = connect(tally)
    done = threading.Event()
    small: list[bytes] = []

    def work() -> None:
        number = 0
        while not done.is_set():
            number += 1
            small.append(client.submit(b"small%d" % number))

    thread = threading.Thread(target=work)
    thread.start()
    for round in range(5):
        client.submit_many([b"bulk%d-%d" % (round, number) for number in range(4000)])
    done.set()
    thread.join(10)
    assert small
    assert tally.sessions.session_count() == 1
    assert len(tally.executed()) == 20_000 + len(small)
    once(tally)


def test_answers_too_big_for_the_session_arrive_bit_by_bit(connect: Connect) -> None:
    """SESSION_FULL: the client takes what it got, raises its floor and goes on."""
    with FakeCluster(machine=Wordy()) as cluster:
        client = connect(cluster)
        commands = [b"%03d" % number for number in range(600)]
        answers = client.submit_many(commands, timeout=20.0)
        assert [answer[:3] for answer in answers] == commands
        assert sorted(cluster.executed()) == commands
        client.close()


# -- nodes that stop and come back ------------------------------------------------------------


def test_a_stopped_leader_is_replaced_and_comes_back(tally: FakeCluster, connect: Connect) -> None:
    client = connect(tally)
    client.submit(b"one")
    tally.nodes["n1"].stop()
    tally.lead("n2")
    client.submit(b"two", timeout=5.0)
    tally.nodes["n1"].start()
    tally.lead("n1")
    client.submit(b"three", timeout=5.0)
    assert tally.executed() == [b"one", b"two", b"three"]


def test_leaders_change_under_load(tally: FakeCluster, connect: Connect) -> None:
    """Nothing lost, nothing twice, while the leader moves and streams break."""
    client = connect(tally)
    stop = threading.Event()
    acknowledged: list[list[bytes]] = [[] for _ in range(8)]

    def work(number: int) -> None:
        round = 0
        while not stop.is_set():
            round += 1
            command = b"%d-%d" % (number, round)
            client.submit(command, timeout=10.0)
            acknowledged[number].append(command)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for move in range(12):
        names = ["n1", "n2", "n3"]
        old, new = names[move % 3], names[(move + 1) % 3]
        tally.nodes[old].faults.append(
            (Fault.DROP_AFTER, Fault.DROP_BEFORE, Fault.UNKNOWN_AFTER)[move % 3]
        )
        seen = len(tally.executed())
        tally.lead(new)
        wait_until(lambda: len(tally.executed()) > seen + 20, "writes go on")  # noqa: B023
    stop.set()
    for thread in threads:
        thread.join(15)
    once(tally)
    assert {command for each in acknowledged for command in each} == set(tally.executed())
