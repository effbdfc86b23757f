"""The alert rules and the dashboard speak of figures that a node has, and Prometheus takes them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from raftd.admin.collector import NodeCollector
from raftd.admin.vitals import Vitals
from raftd.embed.clock import MonotonicClock
from raftd.node.measures import Histogram, Measures
from tests.rpc.fakes import FakeNode

MONITORING = Path(__file__).resolve().parents[1] / "config" / "monitoring"
NAME = re.compile(r"\b(?:raftd|etcd)_[a-z0-9_]+")
GAUGES = (
    "alarms",
    "calls_waiting",
    "disk_trouble",
    "disk_free_bytes",
    "peer_certificate_days_left",
    "queries_pending",
    "machine_jobs_waiting",
    "log_writes_waiting",
)
COUNTERS = ("peer_messages_refused", "connections_cut", "calls_refused")


def figures() -> set[str]:
    """The names that /metrics of a leader shows."""
    vitals = Vitals(time.monotonic)
    leader = FakeNode("n1")
    leader.leads = True
    vitals.state, vitals.measures = leader.state(), Measures(MonotonicClock())
    vitals.measures.round_trips["n2"] = Histogram()
    vitals.store_bytes = 1, 2
    vitals.gauges.update(dict.fromkeys(GAUGES, 0.0))
    vitals.counters.update(dict.fromkeys(COUNTERS, 0))
    registry = CollectorRegistry()
    registry.register(NodeCollector(vitals, list))
    text = generate_latest(registry).decode()
    return {line.split("{")[0].split(" ")[0] for line in text.splitlines() if line[0] != "#"}


def expressions() -> Iterator[tuple[str, str]]:
    rules = yaml.safe_load((MONITORING / "alerts.yml").read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]
            assert rule["annotations"].keys() == {"summary", "next"}, rule["alert"]
    board = json.loads((MONITORING / "grafana.json").read_text())
    for panel in board["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


def test_each_expression_names_figures_that_exist() -> None:
    known = figures()
    asked = {
        (where, name) for where, expression in expressions() for name in NAME.findall(expression)
    }
    assert len(asked) > 15
    assert not {
        (where, name) for where, name in asked if name not in known and not name.endswith("_")
    }


def test_promtool_takes_the_rules() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian: prometheus)")
    run = subprocess.run(
        [promtool, "check", "rules", MONITORING / "alerts.yml"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_examples_for_supervisors_can_be_read() -> None:
    kubernetes = MONITORING.parent / "kubernetes" / "raftd.yaml"
    kinds = [one["kind"] for one in yaml.safe_load_all(kubernetes.read_text())]
    assert kinds == ["Service", "PodDisruptionBudget", "StatefulSet"]
    unit = (MONITORING.parent / "systemd" / "raftd@.service").read_text()
    assert re.search(r"^Type=notify$", unit, re.M)
    # 70 and 75 are started again, however often.
    assert re.search(r"^Restart=always$", unit, re.M)
    assert re.search(r"^RestartPreventExitStatus=2 3$", unit, re.M)
    assert re.search(r"^TimeoutStartSec=10min$", unit, re.M)
    assert re.search(r"^StartLimitIntervalSec=0$", unit.partition("[Service]")[0], re.M)
