"""Nodes in the test's own process: they answer from any thread, fail alone, and end nothing."""

from __future__ import annotations

import asyncio
import gc
import logging
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from examples import embedded
from examples.counter import Counter
from raftd.config import Config, ConfigError, Peer
from raftd.core.effects import Event
from raftd.core.types import Recovered, Role
from raftd.embed import (
    CannotStart,
    MachineRefused,
    NotDone,
    NotLeader,
    OutcomeUnknown,
    RaftNode,
    calls,
)
from raftd.embed.thread import Look

SECONDS = 20.0
QUICK = {"election_timeout_min": 0.1, "election_timeout_max": 0.2, "heartbeat_interval": 0.02}


def config(home: Path, **changed: object) -> Config:
    alone = {"n1": Peer("127.0.0.1:1", "127.0.0.1:2")}
    ports = {"listen_peer": "127.0.0.1:0", "listen_client": "127.0.0.1:0"}
    given = {"id": "n1", "data_dir": str(home), "peers": alone, "stop_grace": 0.1}
    small = {"segment_bytes": 1 << 20, "disk_reserve": 1 << 20}
    return Config(**{**given, **ports, **small, **QUICK, **changed})  # type: ignore[arg-type]


class Watch:
    """Sees what a node shows and says."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.looks: list[Look] = []
        self.fatals: list[str] = []
        self.threads: set[str] = set()

    def event(self, event: Event) -> None:
        self.threads.add(threading.current_thread().name)
        self.events.append(event)

    def look(self, look: Look) -> None:
        self.looks.append(look)

    def fatal(self, what: str, error: BaseException | None) -> None:
        self.fatals.append(f"{what}: {error!r}")


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.005)


def led(node: RaftNode) -> RaftNode:
    assert node.wait_for_leader(SECONDS) == "n1"
    return node


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RaftNode]:
    with RaftNode(config(tmp_path_factory.mktemp("embed")), Counter()) as made:
        yield led(made)


@pytest.fixture
def node(shared: RaftNode) -> RaftNode:
    """A node whose counter is at zero."""
    total = shared.query(b"").result(SECONDS)
    shared.submit(b"%d" % -int(total)).result(SECONDS)
    assert not shared.failure
    return shared


def test_submit_and_query_from_many_threads_and_from_a_coroutine(node: RaftNode) -> None:
    with ThreadPoolExecutor(8) as pool:
        sums = list(pool.map(lambda _: int(node.submit(b"1").result(SECONDS)), range(64)))
    assert sorted(sums) == list(range(1, 65)), "each once, each its own"

    async def waits() -> bytes:
        assert await asyncio.wait_for(node.submit(b"6"), SECONDS) == b"70"
        return await node.query(b"", stale=True)

    assert asyncio.run(waits()) == b"70"
    assert node.query(b"").result(SECONDS) == b"70"
    assert node.snapshot().result(SECONDS) > 64


def test_what_the_machine_refuses_and_what_no_node_takes(node: RaftNode) -> None:
    with pytest.raises(MachineRefused, match="not a number"):
        node.submit(b"one").result(SECONDS)
    with pytest.raises(ValueError, match="bytes"):
        node.submit(b"1" * (4 << 20))
    assert node.query(b"").result(SECONDS) == b"0"
    assert not node.failure


def test_waiting_on_the_nodes_own_thread_is_refused(node: RaftNode) -> None:
    said: list[BaseException] = []

    def answered(call: calls.Call[bytes]) -> None:
        try:
            node.query(b"").result(1)
        except BaseException as error:  # noqa: BLE001 - looked at below
            said.append(error)

    node.submit(b"1").add_done_callback(answered)  # type: ignore[arg-type]
    until(lambda: said)
    assert isinstance(said[0], RuntimeError)
    assert node.query(b"").result(SECONDS) == b"1", "it goes on"


def test_a_call_that_is_given_up_harms_nobody(node: RaftNode) -> None:
    given_up = [node.submit(b"1") for _ in range(50)]
    for call in given_up:
        call.cancel()
    assert int(node.submit(b"1").result(SECONDS)) == 51
    with pytest.raises(CancelledError):
        given_up[0].result(0)
    assert not node.failure


def test_calls_have_a_limit(node: RaftNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "CALLS_MAX", 2)
    hold, held = threading.Event(), threading.Event()

    def holds() -> None:
        held.set()
        hold.wait(SECONDS)

    thread = node._thread
    assert thread is not None
    thread.call(holds)
    assert held.wait(SECONDS)
    waiting = [node.submit(b"1"), node.submit(b"1")]
    with pytest.raises(NotDone, match="2 calls are waiting"):
        node.submit(b"1").result(0)
    hold.set()
    assert [int(call.result(SECONDS)) for call in waiting] == [1, 2]


def test_events_reach_any_thread(tmp_path: Path) -> None:
    watch = Watch()
    with RaftNode(config(tmp_path), Counter(), observer=watch) as node:
        led(node)
        with node.events(from_start=True) as events:
            number, _, first = events.next(SECONDS) or pytest.fail("no event")
            assert (number, first.kind) == (1, watch.events[0].kind)
            while (found := events.next(0.05)) is not None:
                number = found[0]
            node.snapshot().result(SECONDS)
            later = events.next(SECONDS)
            assert later is not None
            assert (later[0], later[2].kind) == (number + 1, "snapshot_taken")
        until(lambda: watch.looks and watch.looks[-1].state.leader == "n1")
    assert watch.threads == {"raft-net"}


def test_it_starts_again_where_it_was_and_leaves_the_process_as_it_found_it(tmp_path: Path) -> None:
    def found() -> tuple[object, ...]:
        root = logging.getLogger()
        signals = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)]
        return signals, list(root.handlers), root.level, gc.get_threshold()

    before, threads = found(), set(threading.enumerate())
    with RaftNode(config(tmp_path), Counter()) as node:
        assert led(node).submit(b"5").result(SECONDS) == b"5"
    with RaftNode(config(tmp_path), Counter()) as again:
        assert led(again).submit(b"5").result(SECONDS) == b"10"
    with pytest.raises(NotDone, match="stopped"):
        node.submit(b"1").result(0)
    node.stop()
    left = set(threading.enumerate()) - threads
    assert not [thread.name for thread in left if thread.name.startswith("raft-")]
    assert found() == before


def test_what_the_log_held_at_the_start_is_the_cores_alone(tmp_path: Path) -> None:
    """The core drops entries as it compacts: the whole log of the start stayed beside it."""
    with RaftNode(config(tmp_path), Counter()) as node:
        led(node).submit(b"5").result(SECONDS)
    with RaftNode(config(tmp_path), Counter()) as again:
        led(again)
        gc.collect()
        kept = [each for each in gc.get_objects() if type(each) is Recovered and each.entries]
        assert not kept


def test_what_keeps_it_from_starting_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="peers: "):
        RaftNode(Config(id="n1", data_dir=str(tmp_path)), Counter())
    with RaftNode(config(tmp_path), Counter()):
        second = RaftNode(config(tmp_path), Counter())
        with pytest.raises(CannotStart, match="lock") as told:
            second.start()
        assert told.value.later
        assert not told.value.of_data
        assert "\n" not in str(told.value)
        with pytest.raises(RuntimeError, match="not been started"):
            second.state()
        taken = config(tmp_path / "other", listen_peer="no-such-host.invalid:1")
        with pytest.raises(CannotStart, match="listen_peer: cannot listen on no-such") as named:
            RaftNode(taken, Counter()).start()
        assert named.value.later
    with RaftNode(config(tmp_path / "other"), Counter()) as node:
        led(node)  # the directory was let go


def test_a_leader_is_waited_for_in_vain_without_the_others(tmp_path: Path) -> None:
    peers = {f"n{n}": Peer(f"127.0.0.1:{n}", f"127.0.0.1:{n + 10}") for n in (1, 2, 3)}
    with RaftNode(config(tmp_path, peers=peers), Counter()) as node:
        with pytest.raises(TimeoutError, match=r"after 0\.3 s: .*n2, n3"):
            node.wait_for_leader(0.3)
        with pytest.raises(NotLeader):
            node.submit(b"1").result(SECONDS)


@pytest.mark.cluster
def test_what_the_readme_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (Path(__file__).resolve().parents[2] / "README.md").read_text()
    section = text.split("## Take it home\n", 1)[1]
    code = section.split("```python\n", 1)[1].split("```", 1)[0]
    machine = re.search(r"```python\n(# counter\.py\n.*?)```", text, re.DOTALL)
    assert machine
    monkeypatch.chdir(tmp_path)
    peer, client = embedded.free_addresses(2)
    names: dict[str, object] = {"PEERS": {"n1": Peer(peer, client)}}
    exec(machine[1] + code, names)
    shown: Any = names["Counter"]
    with RaftNode(config(tmp_path / "n1-data"), shown()) as again:
        assert led(again).query(b"").result(SECONDS) == b"1"


class Unwilling(Counter):
    def attach(self, node: object) -> None:
        raise ZeroDivisionError("not here")


def test_a_machine_that_will_not_be_attached_keeps_the_node_from_starting(tmp_path: Path) -> None:
    watch = Watch()
    node = RaftNode(config(tmp_path), Unwilling(), fatal=watch)
    with pytest.raises(CannotStart, match="not here"):
        node.start()
    assert "ZeroDivisionError" in watch.fatals[0]
    with RaftNode(config(tmp_path), Counter()) as again:
        led(again)  # the directory was let go


class Bad(Counter):
    def apply(self, command: bytes) -> bytes:
        if command == b"0":
            raise ZeroDivisionError("a bug of the host's")
        return super().apply(command)


@pytest.mark.parametrize("quick", [True, False])
def test_a_node_that_cannot_go_on_stops_alone_and_tells_its_host(
    tmp_path: Path, quick: bool
) -> None:
    watch = Watch()
    machine = Bad()
    machine.quick = quick
    with RaftNode(config(tmp_path), machine, fatal=watch, observer=watch) as node:
        led(node).submit(b"1").result(SECONDS)
        with pytest.raises(OutcomeUnknown):
            node.submit(b"0").result(SECONDS)
        until(lambda: watch.fatals)
        assert "ZeroDivisionError" in watch.fatals[0]
        assert "a bug of the host's" in node.failure
        thread = node._thread
        assert thread is not None
        until(lambda: not thread._thread.is_alive())
        with pytest.raises(NotDone):
            node.submit(b"1").result(SECONDS)


@pytest.mark.cluster
def test_three_nodes_in_one_process(tmp_path: Path) -> None:
    nodes = embedded.make_nodes(tmp_path)
    try:
        for node in nodes:
            node.start()
        assert embedded.add(nodes, 5) == 5
        until(lambda: all(node.state().leader for node in nodes))
        leader = next(node for node in nodes if node.state().role is Role.LEADER)
        others = [node for node in nodes if node is not leader]
        with pytest.raises(NotLeader) as told:
            others[0].submit(b"1").result(SECONDS)
        assert told.value.leader in embedded.NAMES
        assert others[0].query(b"").result(SECONDS) == b"5"
        leader.stop()  # it hands over first
        assert embedded.add(others, 2) == 7
    finally:
        for node in nodes:
            node.stop()
