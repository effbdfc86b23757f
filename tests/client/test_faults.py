"""The blocking client when things go wrong: certain or unknown, never done twice."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable

import pytest

from raftd.client import (
    Client,
    NotDone,
    OutcomeUnknown,
    SessionExpired,
    Unavailable,
)
from raftd.wire.errors import WireError
from tests.client.conftest import wait_until
from tests.client.fake_server import FakeCluster
from tests.client.faults import Fault

Connect = Callable[..., Client]


def once(cluster: FakeCluster) -> None:
    executed = cluster.executed()
    assert len(executed) == len(set(executed)), f"done twice: {executed}"


# -- finding the leader -----------------------------------------------------------------------


@pytest.mark.parametrize("leader", ["n1", "n2", "n3"])
def test_the_hint_leads_to_the_leader(tally: FakeCluster, connect: Connect, leader: str) -> None:
    tally.lead(leader)
    client = connect(tally)
    client.submit(b"x")
    assert tally.nodes[leader].frames == 1


def test_a_leader_that_is_no_endpoint_is_reached_by_its_advertised_address(
    tally: FakeCluster, connect: Connect
) -> None:
    tally.lead("n3")
    client = connect([tally.nodes["n1"].address])
    client.submit(b"x")
    assert tally.nodes["n3"].frames == 1


def test_the_own_endpoint_beats_an_advertised_address_that_does_not_work(
    tally: FakeCluster, connect: Connect
) -> None:
    """As with published ports: the node advertises a name that only its peers can reach."""
    tally.lead("n3")
    tally.nodes["n3"].advertised = "127.0.0.1:1"
    client = connect(tally)
    client.submit(b"x")
    assert tally.nodes["n3"].frames == 1


@pytest.mark.parametrize(
    "hint",
    [
        ("", ""),
        ("n9", "127.0.0.1:1"),
        ("n2", ""),
        ("", "not an address at all"),
    ],
)
def test_useless_hints(tally: FakeCluster, connect: Connect, hint: tuple[str, str]) -> None:
    for name in ("n1", "n2"):
        tally.nodes[name].hint = lambda: hint
    tally.lead("n3")
    connect(tally).submit(b"x")
    assert tally.executed() == [b"x"]


def test_hints_in_a_circle_and_at_oneself(tally: FakeCluster, connect: Connect) -> None:
    first, second = tally.nodes["n1"], tally.nodes["n2"]
    first.hint = lambda: ("n2", second.address)
    second.hint = lambda: ("n1", first.address)
    tally.lead("n3")
    connect(tally).submit(b"x")
    first.hint = lambda: ("n1", first.address)
    second.hint = lambda: ("n2", second.address)
    connect(tally).submit(b"y")
    assert tally.executed() == [b"x", b"y"]


def test_the_leader_moves_and_readers_move_along(tally: FakeCluster, connect: Connect) -> None:
    client = connect(tally)
    client.submit(b"x")
    client.query(b"")
    tally.lead("n2")
    client.submit(b"y")
    frames = tally.nodes["n1"].frames
    client.query(b"")
    client.query(b"")
    assert tally.nodes["n1"].frames == frames
    once(tally)


def test_no_leader_is_certainly_not_done(tally: FakeCluster, connect: Connect) -> None:
    tally.lead("nobody")
    client = connect(tally)
    begun = time.monotonic()
    with pytest.raises(Unavailable, match="is not the leader"):
        client.submit(b"x", timeout=0.5)
    assert time.monotonic() - begun > 0.4
    with pytest.raises(NotDone):
        client.query(b"", timeout=0.3)
    assert client.query(b"", consistency="stale") == b"0"


def test_nobody_there_is_certainly_not_done(connect: Connect) -> None:
    client = connect(["127.0.0.1:1", "127.0.0.1:2"])
    with pytest.raises(Unavailable, match="cannot connect"):
        client.submit(b"x", timeout=0.4)
    with pytest.raises(NotDone):
        client.query(b"x", timeout=0.2)
    with pytest.raises(NotDone):
        client.query(b"x", consistency="stale", timeout=0.2)


def test_a_leader_elected_meanwhile_serves_those_who_wait(
    tally: FakeCluster, connect: Connect
) -> None:
    tally.lead("nobody")
    client = connect(tally)
    answers: list[bytes] = []
    thread = threading.Thread(target=lambda: answers.append(client.submit(b"x")))
    thread.start()
    wait_until(
        lambda: client._callers.ready().context.router._misses > 3, "the client has asked around"
    )
    tally.lead("n2")
    thread.join(5)
    assert answers == [b"1:x"]


# -- unknown outcomes -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        Fault.DROP_AFTER,
        Fault.DROP_BEFORE,
        Fault.UNKNOWN_AFTER,
        Fault.UNKNOWN_BEFORE,
        Fault.HANG_AFTER,
        Fault.HANG_BEFORE,
    ],
)
def test_a_retry_in_the_session_is_exactly_once(
    tally: FakeCluster, connect: Connect, fault: Fault
) -> None:
    client = connect(tally)
    client.submit(b"before")
    for name in ("n1", "n2", "n3"):
        tally.nodes[name].faults.append(fault)
    assert client.submit(b"x") == b"2:x"
    assert client.submit(b"after") == b"3:after"
    assert tally.executed() == [b"before", b"x", b"after"]


def test_an_unknown_attempt_is_retried_at_the_next_leader(
    tally: FakeCluster, connect: Connect
) -> None:
    client = connect(tally)
    client.submit(b"before")
    node = tally.nodes["n1"]
    node.faults.append(Fault.DROP_AFTER)
    node.delay = lambda: tally.lead("n2") if node.frames == 3 else None
    assert client.submit(b"x") == b"2:x"
    assert client.submit(b"y") == b"3:y"
    once(tally)


def test_unknown_sticks_when_later_attempts_are_refused(
    tally: FakeCluster, connect: Connect
) -> None:
    """Pitfall 90: a lost answer followed by "not leader" is still unknown at the deadline."""
    client = connect(tally)
    client.submit(b"before")
    node = tally.nodes["n1"]
    node.faults.append(Fault.DROP_AFTER)
    frames = node.frames

    def depose() -> None:
        if node.frames > frames + 1:
            tally.lead("nobody")

    node.delay = depose
    with pytest.raises(OutcomeUnknown, match="is not the leader") as caught:
        client.submit(b"x", timeout=0.7)
    assert caught.value.seq == 2
    assert tally.executed() == [b"before", b"x"]


def test_no_answer_until_the_deadline_is_unknown(tally: FakeCluster, connect: Connect) -> None:
    client = connect(tally, attempt_timeout=60.0)
    client.submit(b"before")
    tally.nodes["n1"].faults.append(Fault.HANG_AFTER)
    begun = time.monotonic()
    with pytest.raises(OutcomeUnknown, match="read, then repeat"):
        client.submit(b"x", timeout=0.3)
    assert time.monotonic() - begun < 20, "the deadline ends it, not the attempt's"


def test_refused_for_good_after_an_unknown_attempt_is_unknown(
    tally: FakeCluster, connect: Connect
) -> None:
    client = connect(tally)
    client.submit(b"before")
    node = tally.nodes["n1"]
    node.faults.append(Fault.DROP_AFTER)
    frames = node.frames

    def door(payload: bytes) -> None:
        if node.frames > frames + 1:
            raise WireError("a limit that came down meanwhile")

    node.door = door
    with pytest.raises(OutcomeUnknown, match="an earlier attempt had no answer"):
        client.submit(b"poison")


def test_numbers_that_callers_gave_up_are_passed_by_the_floor(
    tally: FakeCluster, connect: Connect
) -> None:
    client = connect(tally, attempt_timeout=0.3)
    client.submit(b"one")
    tally.nodes["n1"].faults.append(Fault.HANG_BEFORE)
    with pytest.raises(OutcomeUnknown):
        client.submit(b"two", timeout=0.1)
    client.submit(b"three")
    assert tally.executed() == [b"one", b"three"], "what was given up is not sent again"
    assert tally.floors()[-1] == 2


def test_an_interrupted_caller_gives_its_number_up(tally: FakeCluster, connect: Connect) -> None:
    client = connect(tally)
    client.submit(b"one")
    engine = client._callers.ready()
    tally.nodes["n1"].faults.append(Fault.HANG_BEFORE)
    main = threading.main_thread().ident
    assert main is not None
    # A shell's background job is born with SIGINT ignored, and this suite may be one.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        threading.Timer(0.1, signal.pthread_kill, (main, signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            client.submit(b"two", timeout=20.0)
    finally:
        signal.signal(signal.SIGINT, before)
    client.submit(b"three")
    assert engine.context.session.floor() == 3
    assert tally.executed() == [b"one", b"three"]


# -- sessions that expire ---------------------------------------------------------------------


def test_an_expired_session_without_an_open_attempt_is_replaced(
    tally: FakeCluster, connect: Connect
) -> None:
    client = connect(tally, attempt_timeout=10.0)
    client.submit(b"one")
    tally.expire_sessions()
    assert client.submit(b"two") == b"2:two"
    tally.expire_sessions()
    commands = [b"%d" % number for number in range(4000)]
    assert client.submit_many(commands)[-1] == b"4002:3999"
    assert tally.executed()[2:] == commands, "refused frames go again in their order"


def test_an_expired_session_with_an_open_attempt_is_unknown(
    tally: FakeCluster, connect: Connect
) -> None:
    """Pitfall 100."""
    client = connect(tally)
    client.submit(b"one")
    node = tally.nodes["n1"]
    node.faults.append(Fault.DROP_AFTER)
    frames = node.frames
    node.delay = lambda: tally.expire_sessions() if node.frames > frames + 1 else None
    with pytest.raises(SessionExpired):
        client.submit(b"two")
    node.delay = None
    assert client.submit(b"three") == b"3:three"
    assert tally.executed() == [b"one", b"two", b"three"]
