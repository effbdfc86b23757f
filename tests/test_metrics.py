"""The admin port: live, ready and metrics, from the last picture that the network thread left."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace

import pytest

from raftd.admin.server import AdminServer
from raftd.admin.vitals import DEAD_SECONDS, UNREADY_SECONDS, Vitals
from raftd.core.messages import AppendRequest
from raftd.core.types import Configuration, Entry, EntryType, PeerState, RaftState, Role
from raftd.node.film_latencies import Latencies
from raftd.node.measures import Measures

STATE = RaftState(
    node="a",
    role=Role.LEADER,
    term=3,
    vote="a",
    leader="a",
    first_index=1,
    last_index=20,
    last_term=3,
    durable_index=20,
    commit_index=19,
    applied_index=18,
    snapshot_index=0,
    snapshot_term=0,
    log_bytes=640,
    admitted=True,
    waiting_for=(),
    refused_by=(),
    configuration=Configuration(("a", "b")),
    peers=(PeerState("b", 15, 21, "replicate", 2, 0.05),),
)


class Clock:
    time = 100.0

    def now(self) -> float:
        return self.time

    def epoch_ms(self) -> int:
        return int(self.time * 1000)


class Admin:
    def __init__(self) -> None:
        self.clock = Clock()
        self.vitals = Vitals(now=self.clock.now, beat=100.0, state=STATE)
        self.server = AdminServer("127.0.0.1", 0, self.vitals, lambda: [("log_lines_dropped", 4)])
        self.server.start()

    def get(self, path: str) -> tuple[int, str]:
        url = f"http://127.0.0.1:{self.server.port}{path}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()


@pytest.fixture
def admin() -> Iterator[Admin]:
    made = Admin()
    yield made
    made.server.stop()


def test_ipv6_address() -> None:
    vitals = Vitals(now=Clock().now, beat=100.0, state=STATE)
    try:
        server = AdminServer("::1", 0, vitals, list)
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    server.start()
    with urllib.request.urlopen(f"http://[::1]:{server.port}/livez", timeout=10) as answer:
        assert answer.status == 200
    server.stop()


def test_well(admin: Admin) -> None:
    assert admin.get("/livez") == (200, "ok\n")
    assert admin.get("/readyz") == (200, "ok\n")
    assert admin.get("/")[0] == 404


def test_no_leader_is_live_but_not_ready(admin: Admin) -> None:
    values = {name: getattr(STATE, name) for name in RaftState.__slots__}
    admin.vitals.state = RaftState(**values | {"leader": None})
    assert admin.get("/livez")[0] == 200
    assert admin.get("/readyz") == (503, "no leader known\n")
    admin.vitals.state = RaftState(**values | {"admitted": False, "waiting_for": ("b",)})
    assert admin.get("/readyz") == (503, "not admitted yet, waiting for b\n")


def test_silent_network_thread(admin: Admin) -> None:
    admin.clock.time += UNREADY_SECONDS + 0.1
    assert admin.get("/livez")[0] == 200
    assert admin.get("/readyz")[0] == 503
    admin.clock.time += DEAD_SECONDS
    assert admin.get("/livez")[0] == 503


def test_fatal_error_is_told(admin: Admin) -> None:
    admin.vitals.fatal = "the log could not be synced"
    assert admin.get("/livez") == (503, "the log could not be synced\n")


def test_metrics(admin: Admin) -> None:
    admin.vitals.count("leader_changes", 2)
    status, text = admin.get("/metrics")
    assert status == 200
    lines = text.splitlines()
    assert "raftd_term 3.0" in lines
    assert "raftd_is_leader 1.0" in lines
    assert 'raftd_peer_lag{peer="b"} 5.0' in lines
    assert "raftd_leader_changes_total 2.0" in lines
    assert "raftd_log_lines_dropped 4.0" in lines


def test_a_member_that_was_removed_is_in_no_answer_any_more(admin: Admin) -> None:
    """Its histogram stayed as long as the process, and a late answer began another one."""
    measures = admin.vitals.measures = Measures(admin.clock)
    heartbeat = AppendRequest(3, "a", 0, 0, (), 0, pulled_at=admin.clock.time)
    measures.seen("a", Configuration(("a", "b"), ("c",)))
    latencies = Latencies(SimpleNamespace(role=Role.LEADER), measures)  # type: ignore[arg-type]
    for peer in ("b", "c"):
        measures.replied(peer, heartbeat)
    assert set(latencies.take(0.0)["trips"]) == {"b", "c"}
    measures.seen("a", Configuration(("a", "b")))
    measures.replied("c", heartbeat)
    text = admin.get("/metrics")[1]
    assert 'To="b"' in text
    assert 'To="c"' not in text
    latencies.take(1.0)
    assert set(latencies._trips) == {"b"}


def test_under_the_names_that_etcd_has_for_the_same(admin: Admin) -> None:
    measures = admin.vitals.measures = Measures(admin.clock)
    admin.vitals.proposals = (7, 3)
    admin.vitals.store_bytes = 700, 1000
    measures.requests["read"].observe(0.0003, 5)
    for seconds in (0.00005, 0.0001, 0.0003, 100.0):
        measures.syncs.observe(seconds)
    heartbeat = AppendRequest(3, "a", 0, 0, (), 0, pulled_at=admin.clock.time)
    admin.clock.time += 0.01
    measures.replied("b", heartbeat)
    measures.replied("b", replace(heartbeat, entries=(Entry(1, 1, EntryType.NOOP, b""),)))
    for leader in (None, "b", None, "b", "a"):
        measures.leader_seen(leader)
    lines = set(admin.get("/metrics")[1].splitlines())
    assert {
        "etcd_server_has_leader 1.0",
        "etcd_server_is_leader 1.0",
        "etcd_server_leader_changes_seen_total 2.0",
        "etcd_server_proposals_committed_total 19.0",
        "etcd_server_proposals_applied_total 18.0",
        "etcd_server_proposals_pending 7.0",
        "etcd_server_proposals_failed_total 3.0",
        "etcd_mvcc_db_total_size_in_bytes 700.0",
        "etcd_mvcc_db_total_size_in_use_in_bytes 700.0",
        "etcd_server_quota_backend_bytes 1000.0",
        'raftd_request_duration_seconds_bucket{kind="read",le="0.0002"} 0.0',
        'raftd_request_duration_seconds_bucket{kind="read",le="0.0004"} 5.0',
        'raftd_request_duration_seconds_count{kind="command"} 0.0',
        'etcd_disk_wal_fsync_duration_seconds_bucket{le="0.0001"} 2.0',
        'etcd_disk_wal_fsync_duration_seconds_bucket{le="0.0004"} 3.0',
        'etcd_disk_wal_fsync_duration_seconds_bucket{le="+Inf"} 4.0',
        "etcd_disk_wal_fsync_duration_seconds_count 4.0",
        'etcd_network_peer_round_trip_time_seconds_count{To="b"} 1.0',
        'etcd_network_peer_round_trip_time_seconds_bucket{To="b",le="0.0128"} 1.0',
        'etcd_network_peer_round_trip_time_seconds_bucket{To="b",le="0.0064"} 0.0',
    } <= lines


def test_a_store_without_a_quota_shows_none(admin: Admin) -> None:
    """A share of 0 would be infinite, and etcd's alert on it would ring for ever."""
    admin.vitals.store_bytes = 700, 0
    text = admin.get("/metrics")[1]
    assert "etcd_mvcc_db_total_size_in_bytes 700.0" in text
    assert "etcd_server_quota_backend_bytes" not in text
