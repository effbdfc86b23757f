"""What a film tells beside roles and messages: how long things take, and the last changes."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import pytest

from raftd.core.messages import AppendRequest
from raftd.core.types import Entry, EntryType, Role
from raftd.machine.kv.auth import Auth
from raftd.machine.kv.last_changes import last_changes
from raftd.machine.kv.store import KvStore
from raftd.machine.protocol import MachineError
from raftd.node import film_records
from raftd.node.film_latencies import Latencies
from raftd.node.measures import Measures
from raftd.wire.auth import Kind, encode_auth
from raftd.wire.kv import encode_delete, encode_put
from tests.machine.models import random_commands


class Clock:
    def now(self) -> float:
        return 0.0

    def epoch_ms(self) -> int:
        return 0


@pytest.fixture
def core() -> Any:
    return SimpleNamespace(role=Role.LEADER, commit_index=4)


@pytest.fixture
def measures() -> Measures:
    return Measures(Clock())


def append(after: int, count: int) -> AppendRequest:
    entries = tuple(Entry(after + n, 2, EntryType.BATCH, b"x") for n in range(1, count + 1))
    return AppendRequest(2, "n1", after, 2, entries, 4)


def test_an_entry_is_timed_from_leaving_until_it_is_applied(core: Any, measures: Measures) -> None:
    latencies = Latencies(core, measures)
    latencies.sent(append(1, 3), 9.0)  # to one that catches up: applied long ago
    latencies.applied(4, 9.5)
    assert latencies.take(9.6)["entry"] is None
    latencies.sent(append(4, 2), 10.0)
    latencies.sent(append(6, 9), 10.001)  # one at a time
    latencies.applied(5, 10.002)
    assert latencies.take(10.0025)["entry"] is None, "entry 6 is not applied yet"
    latencies.applied(7, 10.003)
    latencies.sent(append(7, 1), 10.003)
    latencies.applied(8, 10.008)
    assert latencies.take(10.1)["entry"] == 4.0
    assert latencies.take(10.2)["entry"] is None


def test_what_never_comes_is_given_up(core: Any, measures: Measures) -> None:
    latencies = Latencies(core, measures)
    latencies.sent(append(4, 1), 10.0)
    latencies.take(21.0)
    latencies.sent(append(5, 1), 21.0)
    latencies.applied(6, 21.001)
    assert latencies.take(21.1)["entry"] == 1.0
    latencies.sent(append(6, 1), 22.0)
    core.role = Role.FOLLOWER
    latencies.take(22.1)
    latencies.applied(7, 23.0)
    assert latencies.take(23.1)["entry"] is None, "another leader's"


def test_syncs_and_round_trips_are_means_since_the_last_look(core: Any, measures: Measures) -> None:
    latencies = Latencies(core, measures)
    for seconds in (0.001, 0.003):
        measures.syncs.observe(seconds)
    measures.replied("n2", append(0, 0))
    measures.round_trips["n2"].observe(0.5)
    assert latencies.take(1.0) == {"entry": None, "sync": 2.0, "trips": {"n2": 250.0}}
    assert latencies.take(2.0) == {"entry": None, "sync": None, "trips": {}}


def test_the_newest_changes_are_those_of_the_history() -> None:
    store, draw = KvStore(chunk=5), random.Random(3)
    after, told = 0, list[tuple[int, str, bytes, int]]()
    for command in random_commands(11, 300):
        try:
            store.apply(command)
        except MachineError:
            continue
        store.on_applied(1)
        if draw.random() < 0.2:
            told += (found := store.last_changes(after, 1000))
            after = found[-1][0] if found else after
            newest = store.last_changes(0, 8)
            assert newest == told[-8:]
            assert len(store.last_changes(max(0, store.revision - 3), 2)) <= 2
    right = [
        (one.revision, "delete" if change.record is None else "put", change.key)
        for one in store.changes(store.history.first - 1)
        for change in one.changes
    ]
    assert [each[:3] for each in told] == right[: len(told)]
    assert len(told) > 50
    assert {what for _, what, _, _ in told} == {"put", "delete"}
    assert store.last_changes(store.revision + 9, 1) == store.last_changes(0, 1), "another state"


def test_the_cost_of_a_look_is_that_of_what_is_shown() -> None:
    store = KvStore()
    asked: list[int] = []

    def record_at(key: bytes, revision: int) -> bytes | None:
        asked.append(revision)
        return store.record_at(key, revision)

    for command in random_commands(5, 400):
        try:
            store.apply(command)
        except MachineError:
            continue
    last_changes(store.history, record_at, Auth(), 0, 4)
    assert len(set(asked)) <= 4


def test_no_key_is_shown_while_users_are_switched_on() -> None:
    """The page and the film ask nobody who they are."""
    store = KvStore()
    store.apply(encode_put(b"before", b"1"))
    for kind, fields in (
        (Kind.USER_ADD, (b"root", b"")),
        (Kind.USER_GRANT, (b"root", b"root")),
        (Kind.ENABLE, (bytes(32),)),
    ):
        store.apply(encode_auth(kind, *fields))
    store.apply(encode_put(b"secret", b"22"))
    store.apply(encode_delete(b"secret"))
    shown = [(2, "put", b"", 1), (3, "put", b"", 2), (4, "delete", b"", 0)]
    assert store.last_changes(0, 8) == shown
    store.apply(encode_auth(Kind.DISABLE))
    assert [key for _, _, key, _ in store.last_changes(0, 8)] == [b"before", b"secret", b"secret"]


def test_keys_are_shown_as_text_and_cut() -> None:
    record = film_records.of_changes([(7, "put", b"\xff" + b"k" * 200, 3)])
    assert record == {"kind": "changes", "changes": [[7, "put", "\\xff" + "k" * 63, 3]]}


def test_a_film_asks_the_machine_on_its_own_thread_and_only_for_news() -> None:
    from raftd.node.film import Film

    jobs: list[Any] = []
    listeners: list[Any] = []
    asked: list[tuple[int, int]] = []
    driver: Any = SimpleNamespace(on_event=lambda call: None, post=lambda call: call())
    applying: Any = SimpleNamespace(
        on_applied=listeners.append, put=jobs.append, resume=lambda: None
    )

    def newest(after: int, most: int) -> list[tuple[int, str, bytes, int]]:
        asked.append((after, most))
        return [(5, "put", b"k", 1)]

    class Looking(Film):
        def look(self) -> None:
            pass

    film = Looking(SimpleNamespace(role=Role.LEADER), Clock(), Measures(Clock()))  # type: ignore[arg-type]
    film.follow(driver, applying)
    film.show_changes(newest)
    reader = film.read(0, lambda: None)
    again: list[Any] = []

    def later(seconds: float, call: Any) -> None:
        again.append(call)

    film.start(later)
    assert not jobs, "nothing was applied"
    listeners[0](1, 10, False)
    again.pop()()
    listeners[0](2, 10, False)
    again.pop()()
    assert len(jobs) == 1, "one question at a time"
    jobs.pop().call()
    found = reader.take()
    assert found is not None
    assert found[2]["changes"] == [[5, "put", "k", 1]]
    again.pop()()
    jobs.pop().call()
    assert not jobs
    assert asked == [(0, 8), (5, 8)]
