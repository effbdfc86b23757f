"""The blocking client against a cluster that behaves."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from raftd.client import (
    BulkError,
    Client,
    Invalid,
    MachineError,
    NotDone,
    OutcomeUnknown,
    ProtocolError,
)
from raftd.wire import batch, kv
from tests.client.conftest import wait_until
from tests.client.fake_server import FakeCluster
from tests.client.faults import Fault

Connect = Callable[..., Client]


def test_the_store(cluster: FakeCluster, connect: Connect) -> None:
    client = connect(cluster)
    assert client.put(b"a", b"1") == kv.PutResult(2, 1)
    assert client.get(b"a").kv == kv.KeyValue(b"a", b"1", 2, 2, 1)
    assert client.get(b"none").kv is None
    assert client.cas(b"a", b"2", kv.expect_value(b"1")).succeeded
    failed = client.cas(b"a", b"3", kv.expect_absent())
    assert not failed.succeeded
    assert failed.current is not None
    assert failed.current.value == b"2"
    assert client.batch([(b"b", b"x"), (b"a", None)]).versions == [1, 0]
    assert [item.key for item in client.range().kvs] == [b"b"]
    assert client.delete(b"b").deleted
    assert not client.delete(b"b").deleted


def test_pages(cluster: FakeCluster, connect: Connect) -> None:
    client = connect(cluster)
    client.put_many([(b"k%03d" % number, b"v") for number in range(10)])
    page = client.range(b"k", limit=4)
    assert page.more
    rest = client.range(b"k", after=page.kvs[-1].key)
    assert [item.key for item in page.kvs + rest.kvs] == [b"k%03d" % n for n in range(10)]


def test_anybodys_machine(tally: FakeCluster, connect: Connect) -> None:
    client = connect(tally)
    assert client.submit(b"\x00\xff") == b"1:\x00\xff"
    assert client.query(b"") == b"1"
    with pytest.raises(MachineError, match="bad commands are refused"):
        client.submit(b"bad")
    with pytest.raises(MachineError, match="bad queries are refused"):
        client.query(b"bad")
    with pytest.raises(ProtocolError, match="built-in store"):
        client.put(b"a", b"b")


def test_stale_reads_come_from_any_node(cluster: FakeCluster, connect: Connect) -> None:
    client = connect([cluster.nodes["n2"].address])
    assert client.get(b"a", consistency="stale").kv is None
    with pytest.raises(Invalid, match="consistency 'strong'"):
        client.get(b"a", consistency="strong")  # type: ignore[arg-type]


def test_reports(cluster: FakeCluster, connect: Connect) -> None:
    client = connect(cluster)
    client.put(b"a", b"1")
    status = client.status()
    assert (status.node_id, status.role) == ("n1", "leader")
    second = cluster.nodes["n2"].address
    assert client.status(second).node_id == "n2"
    assert client.health(second)
    cluster.nodes["n2"].healthy = False
    assert not client.health(second)
    assert client.digest().digest == b"\x01\x02"
    cluster.nodes["n2"].stop()
    with pytest.raises(NotDone, match=second):
        client.status(second)


def test_limits_are_refused_before_anything_is_sent(cluster: FakeCluster, connect: Connect) -> None:
    client = connect(cluster)
    for attempt in (
        lambda: client.put(b"", b"v"),
        lambda: client.put(b"k", b"v" * (kv.VALUE_BYTES_MAX + 1)),
        lambda: client.submit(b"x" * (batch.COMMAND_BYTES_MAX + 1)),
        lambda: client.submit(7),  # type: ignore[arg-type]
        lambda: client.submit_many([b"fine", 7]),  # type: ignore[list-item]
        lambda: client.batch([(b"k", b"1"), (b"k", b"2")]),
        lambda: client.status("nonsense"),
    ):
        with pytest.raises(Invalid):
            attempt()
    assert cluster.index == 0


def test_text_stands_for_its_utf_8_bytes(cluster: FakeCluster, connect: Connect) -> None:
    client = connect(cluster)
    assert client.put("lämp", "on").revision == 2
    assert client.get("lämp").kv == client.get("lämp".encode()).kv
    assert client.cas("lämp", "off", kv.expect_value("on"))
    assert client.batch([("a", "1"), (b"b", bytearray(b"2")), ("lämp", None)]).versions == [1, 1, 0]  # type: ignore[list-item]
    assert [item.key for item in client.range("", after="a").kvs] == [b"b"]
    assert client.put_many([("c", "3")])
    assert client.delete("c")


def test_an_answer_is_as_true_as_it_says(cluster: FakeCluster, connect: Connect) -> None:
    """The story without it: `if client.cas(...)` was always true, and two workers held one lock."""
    client = connect(cluster)
    assert client.cas(b"lock", b"me", kv.expect_absent())
    assert not client.cas(b"lock", b"you", kv.expect_absent())
    assert client.get(b"lock")
    assert client.range(b"lock")
    assert client.delete(b"lock")
    assert not client.delete(b"lock")
    assert not client.get(b"lock")
    assert not client.range(b"lock")


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda client: client.put(1, b"v"), "key: int, expected bytes or str"),
        (lambda client: client.put(b"k", None), "value: NoneType, expected bytes or str"),
        (lambda client: client.put("\ud800", b"v"), "key .*UTF-8"),
        (lambda client: client.range(prefix=3), "prefix: int"),
        (lambda client: client.batch([b"kv"]), r"operations\[0\]: expected \(key, value\)"),
        (lambda client: client.batch([(b"k", 5)]), r"operations\[0\]: int"),
        (lambda client: client.put_many([(b"k", None)]), "put_many: key b'k': value: NoneType"),
        (lambda client: client.get(b"k", timeout=float("inf")), "timeout inf: expected seconds"),
        (lambda client: client.get(b"k", timeout=float("nan")), "timeout nan: expected seconds"),
        (lambda client: client.get(b"k", timeout="5s"), "timeout '5s': expected seconds"),
        (
            lambda client: client.lock("l", ttl_s=1.5).acquire(),
            "required argument is not an integer",
        ),
        (lambda client: client.cas("k", "v", "w"), "expect: str, expected what expect_value"),
        (lambda client: client.cas("k", "v", kv.expect_value(None)), "None; that .* expect_absent"),  # type: ignore[arg-type]
        (lambda client: client.cas("k", "v", kv.expect_value(5)), "expect_value: int"),  # type: ignore[arg-type]
        (lambda client: Client([("127.0.0.1", 7001)]), r"endpoint \(.127.0.0.1., 7001\): exp"),  # type: ignore[list-item]
        (lambda client: Client("a:1", timeout=float("inf")), "timeout inf: expected a number"),
    ],
)
def test_wrong_arguments_are_named(
    cluster: FakeCluster, connect: Connect, call: Callable[[Any], object], named: str
) -> None:
    with pytest.raises(Invalid, match=named):
        call(connect(cluster))
    assert cluster.index == 0


@pytest.mark.parametrize("setting", ["timeout", "attempt_timeout", "queue_commands_max"])
def test_wrong_settings_are_named(setting: str) -> None:
    with pytest.raises(Invalid, match=setting):
        Client("a:1", **{setting: 0})  # type: ignore[arg-type]


def test_the_largest_value_and_command(cluster: FakeCluster, connect: Connect) -> None:
    client = connect(cluster)
    value = bytes(kv.VALUE_BYTES_MAX)
    client.put(b"big", value)
    found = client.get(b"big").kv
    assert found is not None
    assert found.value == value


def test_64_threads_share_batches_and_each_gets_its_own_answer(
    tally: FakeCluster, connect: Connect
) -> None:
    client = connect(tally)
    wrong: list[bytes] = []

    def work(number: int) -> None:
        for round in range(20):
            command = b"%d-%d" % (number, round)
            if not client.submit(command).endswith(b":" + command):
                wrong.append(command)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert wrong == []
    assert len(tally.executed()) == len(set(tally.executed())) == 64 * 20
    assert tally.nodes["n1"].frames < 64 * 20 / 4, "callers share frames"


def test_at_most_one_small_batch_is_in_flight(tally: FakeCluster, connect: Connect) -> None:
    """While the node holds the first answer back nothing is sent; then all go in one frame."""
    client = connect(tally, attempt_timeout=5.0)
    client.submit(b"warm")
    node = tally.nodes["n1"]
    gate, entered = threading.Event(), threading.Event()

    def hold() -> None:
        entered.set()
        gate.wait(10)

    node.delay = hold
    before = node.frames
    threads = [threading.Thread(target=client.submit, args=(b"c%d" % n,)) for n in range(20)]
    threads[0].start()
    assert entered.wait(10)
    for thread in threads[1:]:
        thread.start()
    wait_until(lambda: len(client._callers.ready().small.queue) == 19, "19 callers wait")
    assert node.frames == before + 1
    gate.set()
    for thread in threads:
        thread.join(10)
    assert node.frames == before + 2


def test_bulk_answers_come_in_order(tally: FakeCluster, connect: Connect) -> None:
    client = connect(tally)
    commands = [b"%d" % number for number in range(5000)]
    answers = client.submit_many(commands)
    assert answers == [b"%d:%d" % (number + 1, number) for number in range(5000)]
    assert tally.executed() == commands
    assert client.submit_many([]) == []


def test_bulk_with_refusals_tells_each(tally: FakeCluster, connect: Connect) -> None:
    client = connect(tally)
    with pytest.raises(BulkError, match="1 of 3 failed, 0 of them unknown") as caught:
        client.submit_many([b"a", b"bad", b"b"])
    results = caught.value.results
    assert results[0] == b"1:a"
    assert isinstance(results[1], MachineError)
    assert results[2] == b"2:b"
    assert (caught.value.failed, caught.value.unknown) == (1, 0)


def test_back_pressure_lets_bulk_through_bit_by_bit(tally: FakeCluster, connect: Connect) -> None:
    client = connect(tally, queue_commands_max=600)
    assert len(client.submit_many([b"%d" % number for number in range(4000)])) == 4000


def test_a_queue_that_stays_full_is_certainly_not_done(
    tally: FakeCluster, connect: Connect
) -> None:
    client = connect(tally, queue_commands_max=1, attempt_timeout=5.0)
    node = tally.nodes["n1"]
    node.faults.append(Fault.HANG_BEFORE)

    def occupy() -> None:
        with pytest.raises(OutcomeUnknown):
            client.submit(b"first", timeout=0.8)

    first = threading.Thread(target=occupy)
    first.start()
    wait_until(lambda: node.frames == 1, "the first command is in flight")
    with pytest.raises(NotDone, match="own queue stayed full"):
        client.submit(b"second", timeout=0.1)
    with pytest.raises(BulkError) as caught:
        client.submit_many([b"third"], timeout=0.1)
    assert caught.value.unknown == 0
    first.join(5)
    assert b"second" not in tally.executed()


def test_close_ends_those_who_wait(tally: FakeCluster, connect: Connect) -> None:
    client = connect(tally, attempt_timeout=5.0)
    tally.nodes["n1"].faults.append(Fault.HANG_BEFORE)
    errors: list[BaseException] = []

    def work() -> None:
        try:
            client.submit(b"x", timeout=30.0)
        except Exception as error:  # noqa: BLE001 - shown below
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    wait_until(lambda: tally.nodes["n1"].frames == 1, "the command is in flight")
    client.close()
    thread.join(5)
    assert [type(error).__name__ for error in errors] == ["OutcomeUnknown"]
    assert "the client was closed" in str(errors[0])
    with pytest.raises(NotDone, match="closed"):
        client.submit(b"y")
    client.close()


def test_close_closes_the_session(tally: FakeCluster, connect: Connect) -> None:
    client = connect(tally)
    client.submit(b"x")
    assert tally.sessions.session_count() == 1
    client.close()
    assert tally.sessions.session_count() == 0


def test_floors_rise_with_the_answers(tally: FakeCluster, connect: Connect) -> None:
    client = connect(tally)
    for number in range(5):
        client.submit(b"%d" % number)
    assert tally.floors() == [0, 1, 2, 3, 4]
