"""Callers are woken in a chain, frames are gathered: nobody is forgotten, one alone never waits."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Callable

import pytest

from raftd.client import Client, OutcomeUnknown
from raftd.client.delivery import context
from raftd.client.delivery import send_queue as module
from raftd.client.delivery.calls import PendingCall, WakeChain
from raftd.client.delivery.send_queue import SendQueue
from tests.client.conftest import wait_until
from tests.client.fake_server import FakeCluster

Connect = Callable[..., Client]


# -- the chain --------------------------------------------------------------------------------


class Waiting:
    """Callers of one frame; `woken` has those whose turn it was."""

    def __init__(self, count: int) -> None:
        self.woken: list[int] = []
        self.calls = [self._call(number) for number in range(count)]
        self.chain = WakeChain(self.calls)

    def _call(self, number: int) -> PendingCall:
        return PendingCall((b"x",), 1, lambda: self.woken.append(number))


def test_each_that_leaves_wakes_the_next() -> None:
    waiting = Waiting(3)
    waiting.chain.next()
    assert waiting.woken == [0], "one at a time"
    waiting.calls[0].leave()
    waiting.calls[1].leave()
    assert waiting.woken == [0, 1, 2]
    waiting.calls[2].leave()


def test_one_that_gave_up_before_its_turn_is_skipped() -> None:
    waiting = Waiting(3)
    waiting.calls[1].leave()
    waiting.chain.next()
    waiting.calls[0].leave()
    assert waiting.woken == [0, 2]


def test_one_that_gives_up_at_the_moment_of_its_turn_passes_it_on() -> None:
    """Woken and interrupted before it knew: it leaves all the same."""
    waiting = Waiting(2)
    waiting.calls[0].wake = lambda: waiting.calls[0].leave()
    waiting.chain.next()
    assert waiting.woken == [1]


def test_whoever_leaves_while_it_is_looked_at_breaks_nothing() -> None:
    """Between the waker's note and its look: both go on then, and each of the others wakes once."""

    class Sly(PendingCall):
        @property
        def _left(self) -> bool:
            if self.entered:
                return True
            self.entered = True
            self.leave()
            return False

        @_left.setter
        def _left(self, value: bool) -> None: ...

        entered = True

    waiting = Waiting(1)
    sly = Sly((b"x",), 1, lambda: waiting.woken.append(9))
    chain = WakeChain([sly, *waiting.calls])
    sly.entered = False
    chain.next()
    assert waiting.woken.count(0) == 1


def test_nobody_waits_long_for_a_thread_that_does_not_run() -> None:
    waiting = Waiting(4)
    waiting.calls[2].leave()
    waiting.chain.next()
    waiting.chain.finish()
    assert waiting.woken == [0, 1, 3]


def held_frame(cluster: FakeCluster, client: Client) -> threading.Event:
    """The next frame waits at the leader until the event is set; a call of its own opens it."""
    client.submit(b"the session is open")
    release = threading.Event()
    cluster.nodes["n1"].delay = lambda: release.wait(10)
    return release


def start(client: Client, names: list[bytes], answers: list[bytes]) -> list[threading.Thread]:
    """Threads that submit; the first one is in flight alone, the others wait for the next frame."""

    def submit(name: bytes) -> None:
        answers.append(client.submit(name, timeout=20.0))

    threads = [threading.Thread(target=submit, args=(name,)) for name in names]
    engine = client._callers.ready()
    for at, thread in enumerate(threads):
        thread.start()
        wait_until(
            lambda at=at: len(engine.small.queue) == at and bool(engine.small.flights),  # type: ignore[misc]
            f"{at} callers wait",
        )
    return threads


@pytest.fixture
def no_rescue(monkeypatch: pytest.MonkeyPatch) -> None:
    """The chain has to hold by itself."""
    monkeypatch.setattr(context, "CHAIN_SECONDS", 60.0)


@pytest.mark.usefixtures("no_rescue")
def test_the_others_of_an_interrupted_caller_are_woken(
    tally: FakeCluster, connect: Connect
) -> None:
    client = connect(tally, attempt_timeout=30.0)
    release = held_frame(tally, client)
    answers: list[bytes] = []
    threads = start(client, [b"1", b"2", b"3", b"4"], answers)
    main = threading.main_thread().ident
    assert main is not None
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        threading.Timer(0.1, signal.pthread_kill, (main, signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            client.submit(b"interrupted", timeout=20.0)
    finally:
        signal.signal(signal.SIGINT, before)
    release.set()
    for thread in threads:
        thread.join(5)
    assert len(answers) == 4


@pytest.mark.usefixtures("no_rescue")
def test_the_others_of_a_caller_that_ran_out_of_time_are_woken(
    tally: FakeCluster, connect: Connect
) -> None:
    client = connect(tally, attempt_timeout=30.0)
    release = held_frame(tally, client)
    answers: list[bytes] = []
    threads = start(client, [b"1"], answers)
    engine = client._callers.ready()
    late: list[type[Exception]] = []

    def impatient() -> None:
        try:
            client.submit(b"late", timeout=0.3)
        except Exception as error:  # noqa: BLE001 - which one is looked at below
            late.append(type(error))

    more = [threading.Thread(target=impatient)]
    more[0].start()
    wait_until(lambda: len(engine.small.queue) == 1, "the late one waits")
    more += [threading.Thread(target=lambda: answers.append(client.submit(b"n"))) for _ in range(3)]
    for thread in more[1:]:
        thread.start()
    more[0].join(5)
    release.set()
    for thread in threads + more:
        thread.join(5)
    assert len(answers) == 4
    assert len(late) == 1
    assert late[0] is not OutcomeUnknown, "it had not left the client"


def test_a_thread_that_does_not_run_holds_nobody_up(
    tally: FakeCluster, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PendingCall, "leave", lambda self: None)
    client = connect(tally, attempt_timeout=30.0)
    release = held_frame(tally, client)
    answers: list[bytes] = []
    threads = start(client, [b"%d" % number for number in range(9)], answers)
    release.set()
    for thread in threads:
        thread.join(5)
    assert len(answers) == 9


# -- gathering --------------------------------------------------------------------------------


def call() -> PendingCall:
    return PendingCall((b"x",), 1, lambda: None)


def test_one_caller_never_waits_to_gather(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GATHER_SECONDS", 60.0)

    async def main() -> None:
        queue = SendQueue(asyncio.get_running_loop())
        await queue.gather(1)
        queue.put(call())
        await queue.gather(1)

    asyncio.run(asyncio.wait_for(main(), 5))


def test_most_of_those_who_were_answered_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GATHER_SECONDS", 60.0)

    async def main() -> None:
        queue = SendQueue(asyncio.get_running_loop())
        queue.put(call())
        gathering = asyncio.ensure_future(queue.gather(7))
        for _ in range(4):
            queue.put(call())
            await asyncio.sleep(0)
        assert not gathering.done(), "5 of 8"
        queue.put(call())
        await asyncio.wait_for(gathering, 5)
        gathering = asyncio.ensure_future(queue.gather(9))
        await asyncio.sleep(0)
        for _ in range(5):
            queue.put_here(call())
        await asyncio.wait_for(gathering, 5)

    asyncio.run(main())


def test_those_who_do_not_come_again_are_not_waited_for() -> None:
    async def main() -> float:
        queue = SendQueue(asyncio.get_running_loop())
        queue.put(call())
        began = time.monotonic()
        await asyncio.wait_for(queue.gather(63), 5)
        await asyncio.wait_for(queue.work(), 5)
        return time.monotonic() - began

    assert asyncio.run(main()) >= module.GATHER_SECONDS / 2
