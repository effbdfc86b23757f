"""A node's figures in Prometheus' words."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from raftd.admin.vitals import Vitals
from raftd.core.types import RaftState, Role
from raftd.node.measures import BOUNDS, Histogram, Measures


class Exposition:
    """What /metrics answers. HTTP thread."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, vitals: Vitals, gauges: Callable[[], Iterable[tuple[str, float]]]) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(NodeCollector(vitals, gauges))
        ProcessCollector(registry=self._registry)

    def text(self) -> str:
        return generate_latest(self._registry).decode()


class NodeCollector:
    """RaftState and counters in Prometheus' words. Called on the HTTP thread."""

    def __init__(self, vitals: Vitals, gauges: Callable[[], Iterable[tuple[str, float]]]) -> None:
        self._vitals = vitals
        self._gauges = gauges

    def collect(self) -> Iterator[Metric]:
        yield _gauge("network_thread_silence_seconds", "0.25 at rest", self._vitals.silence())
        for name, count in sorted(self._vitals.counters.items()):
            counter = CounterMetricFamily(f"raftd_{name}", name.replace("_", " "))
            counter.add_metric([], count)
            yield counter
        for name, value in [*self._gauges(), *sorted(self._vitals.gauges.copy().items())]:
            yield _gauge(name, name.replace("_", " "), value)
        state, measures = self._vitals.state, self._vitals.measures
        if state is not None:
            yield from _state(state)
            yield from _as_etcd(state, self._vitals.proposals)
        if self._vitals.store_bytes is not None:
            yield from _store(*self._vitals.store_bytes)
        if measures is not None:
            yield from _histograms(measures)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"raftd_{name}", text, value=value)


def _state(state: RaftState) -> Iterator[Metric]:
    yield _gauge("term", "current term", state.term)
    yield _gauge("is_leader", "1 on the leader", state.role is Role.LEADER)
    yield _gauge("has_leader", "1 when a leader is known", state.leader is not None)
    yield _gauge("admitted", "1 once a majority has recorded this node", state.admitted)
    yield _gauge("log_first_index", "first entry held", state.first_index)
    yield _gauge("log_last_index", "last entry held", state.last_index)
    yield _gauge("log_durable_index", "last entry on disk", state.durable_index)
    yield _gauge("commit_index", "last entry known committed", state.commit_index)
    yield _gauge("applied_index", "last entry applied", state.applied_index)
    yield _gauge("snapshot_index", "last entry in the newest snapshot", state.snapshot_index)
    yield _gauge("log_bytes", "log held in memory", state.log_bytes)
    verdict = state.verdict
    yield _gauge("states_compared_index", "where all states were last compared", verdict.index)
    yield _gauge("states_differing", "members whose state differs", len(verdict.differing))
    yield _gauge("state_differs", "1 if this node's does", bool(verdict.about(state.node)))
    lag = GaugeMetricFamily("raftd_peer_lag", "entries a follower lacks", labels=["peer"])
    age = GaugeMetricFamily(
        "raftd_peer_contact_age_seconds", "since a follower answered", labels=["peer"]
    )
    for peer in state.peers:
        lag.add_metric([peer.peer], state.last_index - peer.match)
        age.add_metric([peer.peer], peer.contact_age)
    yield lag
    yield age


def _as_etcd(state: RaftState, proposals: tuple[int, int]) -> Iterator[Metric]:
    """What means the same in etcd under its names there, so that its dashboards and alerts work.

    A proposal is a log entry, which may hold many commands. As in etcd, "committed" and "applied"
    are the indexes, and gauges in spite of their names.
    """
    pending, failed = proposals
    for name, text, value in (
        ("has_leader", "1 when a leader is known", state.leader is not None),
        ("is_leader", "1 on the leader", state.role is Role.LEADER),
        ("proposals_committed_total", "last entry known committed", state.commit_index),
        ("proposals_applied_total", "last entry applied", state.applied_index),
        ("proposals_pending", "taken from clients, not answered yet", pending),
    ):
        yield GaugeMetricFamily(f"etcd_server_{name}", text, value=value)
    text = "taken from clients, then refused, or their outcome unknown to this node"
    yield CounterMetricFamily("etcd_server_proposals_failed", text, value=failed)


def _store(size_bytes: int, quota_bytes: int) -> Iterator[Metric]:
    """As etcd has it. Without a quota there is no such figure: a share of 0 would be an alarm."""
    text = "keys, values and history of the store, in memory"
    for name in ("total_size", "total_size_in_use"):
        yield GaugeMetricFamily(f"etcd_mvcc_db_{name}_in_bytes", text, value=size_bytes)
    if quota_bytes:
        text = "beyond it the store refuses what grows"
        yield GaugeMetricFamily("etcd_server_quota_backend_bytes", text, value=quota_bytes)


def _histograms(measures: Measures) -> Iterator[Metric]:
    yield CounterMetricFamily(
        "etcd_server_leader_changes_seen", "leaders seen", value=measures.leader_changes
    )
    for name, text, slow in (
        (
            "etcd_server_slow_apply",
            "slices of applying over slow_apply_warn",
            measures.slow_applies,
        ),
        ("raftd_slow_syncs", "writes to the log over slow_sync_warn", measures.slow_syncs),
        ("raftd_late_heartbeats", "silences of the leader", measures.late_heartbeats),
    ):
        yield CounterMetricFamily(name, text, value=slow.total)
    text = "whole readings of the newest snapshot's file"
    yield CounterMetricFamily("raftd_snapshot_scrubs", text, value=measures.scrubs)
    syncs = HistogramMetricFamily(
        "etcd_disk_wal_fsync_duration_seconds", "one write to the log and its sync"
    )
    syncs.add_metric([], *_buckets(measures.syncs))
    yield syncs
    requests = HistogramMetricFamily(
        "raftd_request_duration_seconds",
        "frames that were answered: from the wait for their round to the answer",
        labels=["kind"],
    )
    for kind, took in measures.requests.items():
        requests.add_metric([kind], *_buckets(took))
    yield requests
    trips = HistogramMetricFamily(
        "etcd_network_peer_round_trip_time_seconds",
        "a leader's heartbeats: from sending to the answer",
        labels=["To"],
    )
    for peer, histogram in sorted(measures.round_trips.copy().items()):
        trips.add_metric([peer], *_buckets(histogram))
    yield trips


def _buckets(histogram: Histogram) -> tuple[list[tuple[str, float]], float]:
    """As Prometheus wants them: cumulative, and the last one is +Inf."""
    sums = itertools.accumulate(histogram.counts)
    names = [*(f"{bound:g}" for bound in BOUNDS), "+Inf"]
    return list(zip(names, map(float, sums), strict=True)), histogram.sum
