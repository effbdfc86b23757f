"""The examples of what such a store is used for do what they say."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples import job_queue
from examples.live_config import LiveConfig
from examples.worker_pool import PARTITIONS, PARTS, Worker
from raftd.client import Client
from raftd.client import operations as ops
from raftd.wire import batch, kv
from raftd.wire.leases import encode_compact
from tests.client.conftest import wait_until
from tests.client.fake_server import FakeCluster

LINES_MAX = 110
PAGES = ("live_config", "job_queue", "worker_pool")


@pytest.fixture
def cluster() -> Iterator[FakeCluster]:
    with FakeCluster() as cluster:
        yield cluster


@pytest.fixture
def client(cluster: FakeCluster) -> Iterator[Client]:
    with Client(cluster.endpoints) as client:
        yield client


@pytest.mark.parametrize("name", PAGES)
def test_each_fits_on_a_page_or_two(name: str) -> None:
    path = Path(__file__).resolve().parents[2] / "examples" / f"{name}.py"
    assert len(path.read_text().splitlines()) <= LINES_MAX


def test_configuration_reloads_itself(client: Client) -> None:
    client.put("app/colour", "red")
    client.put("apple", "no setting of ours")
    seen: list[dict[str, str]] = []
    config = LiveConfig(client, "app/", seen.append)
    assert config.settings == {"colour": "red"}
    client.batch([("app/colour", "green"), ("app/size", "3")])
    wait_until(lambda: config.settings == {"colour": "green", "size": "3"}, "both, together")
    client.delete("app/colour")
    wait_until(lambda: config.settings == {"size": "3"}, "the deletion")
    assert {"colour": "green"} not in seen, "never one without the other"
    config.close()


def test_a_configuration_that_does_not_please_is_not_applied_and_the_next_one_is(
    client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    client.put("app/size", "3")
    config = LiveConfig(client, "app/", lambda settings: int(settings["size"]))
    client.put("app/size", "three")
    client.put("app/colour", "red")
    wait_until(lambda: capsys.readouterr().err.count("three") > 0, "what is wrong to be said")
    assert config.settings == {"size": "3"}
    client.put("app/size", "4")
    wait_until(lambda: config.settings == {"size": "4", "colour": "red"}, "the next one")
    config.close()


def test_configuration_is_read_again_when_its_changes_are_gone(
    cluster: FakeCluster, client: Client
) -> None:
    client.put("app/n", "first")
    config = LiveConfig(client, "app/", lambda settings: None)
    wait_until(lambda: any(node.watches for node in cluster.nodes.values()), "the watch")
    for node in cluster.nodes.values():
        node.stop()
    for command in (kv.encode_put(b"app/n", b"then"), kv.encode_put(b"app/n", b"last")):
        cluster.apply(batch.encode_batch(b"", 0, [(0, command)]))
    cluster.apply(batch.encode_batch(b"", 0, [(0, encode_compact(4))]))
    for node in cluster.nodes.values():
        node.start()
    wait_until(lambda: config.settings == {"n": "last"}, "the newest")
    config.close()


def test_each_job_is_finished_once(cluster: FakeCluster, client: Client) -> None:
    for number in range(12):
        job_queue.add(client, f"job {number}")
    done: list[str] = []

    def note(text: str) -> str:
        done.append(text)
        return text

    def work() -> None:
        with Client(cluster.endpoints) as mine:
            job_queue.work(mine, note, until_empty=True)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(done) == sorted(f"job {number}" for number in range(12))
    assert len(client.range(job_queue.DONE).kvs) == 12
    assert not client.range(job_queue.TODO)
    assert not client.range(job_queue.CLAIMS)


def test_a_worker_that_was_away_finishes_nothing(client: Client) -> None:
    job_queue.add(client, "once")
    with client.lease(5) as slow, client.lease(5) as quick:
        first = job_queue.claim(client, slow)
        assert first
        assert job_queue.claim(client, quick) is None
        client.execute(ops.lease_revoke(slow.id))
        second = job_queue.claim(client, quick)
        assert second
        assert second.token > first.token
        assert not job_queue.finish(client, first, "too late")
        assert job_queue.finish(client, second, "right")
    (result,) = client.range(job_queue.DONE).kvs
    assert result.value == b"right"


def test_a_worker_that_lost_its_place_has_no_partitions_and_comes_back(
    cluster: FakeCluster, client: Client
) -> None:
    """As after an outage that is longer than its lease: all of them were gone for ever."""
    heard: list[list[int]] = []
    worker = Worker(client, "ann", heard.append)
    everything = list(range(PARTITIONS))
    wait_until(lambda: heard[-1:] == [everything], "all partitions")
    before = worker.lease.id
    worker.lease.revoke()
    client.put(f"{PARTS}0", "ann")  # so that it looks at once
    wait_until(lambda: [] in heard[1:] or heard.count(everything) > 1, "its loss to be seen")
    wait_until(lambda: worker.lease.id != before and bool(worker.lease), "a new place")
    wait_until(lambda: heard[-1] == everything, "all of them again")
    worker.stop()


def test_a_pool_shares_its_partitions_out(cluster: FakeCluster) -> None:
    parts: dict[str, list[int]] = {}
    clients = {name: Client(cluster.endpoints) for name in ("ann", "bob")}
    workers = {
        name: Worker(client, name, lambda mine, name=name: parts.update({name: mine}))  # type: ignore[misc]
        for name, client in clients.items()
    }

    def shared() -> bool:
        given = sorted(part for mine in parts.values() for part in mine)
        both = len(parts) == len(workers) and all(parts.values())
        return both and given == list(range(PARTITIONS))

    wait_until(shared, "each has some")
    workers["ann"].stop()
    wait_until(lambda: parts["bob"] == list(range(PARTITIONS)), "the other one has them all")
    workers["bob"].stop()
    for client in clients.values():
        client.close()
