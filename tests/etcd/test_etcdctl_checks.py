"""Commands of etcdctl whose output is figures, so that no transcript can hold them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.etcd.servers import Raftd, needs_etcdctl

pytestmark = [pytest.mark.cluster, pytest.mark.long, pytest.mark.timeout(240), needs_etcdctl]

SECONDS = 200.0


def etcdctl(raftd: Raftd, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["etcdctl", f"--endpoints={','.join(raftd.addresses)}", *words],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        env={**os.environ, "ETCDCTL_API": "3"},
        check=False,
    )


def test_check_perf_comes_to_its_verdict(three: Raftd) -> None:
    """It puts 150 keys a second for a minute. Which verdict is a matter of the machine."""
    three.all_serve()
    run = etcdctl(three, "check", "perf", "--load=s")
    verdict = run.stdout + run.stderr
    assert "Throughput" in verdict, verdict
    assert "Stddev" in verdict, verdict
    assert etcdctl(three, "get", "--prefix", "/etcdctl-check-perf/").stdout == ""  # tidied up


def test_check_datascale_finds_the_memory_of_each_member(three: Raftd) -> None:
    """It asks the client ports for /metrics by HTTP/1.1, before and after 10,000 puts."""
    three.all_serve()
    run = etcdctl(three, "check", "datascale", "--load=s", "--auto-compact")
    assert "PASS: Approximate system memory used" in run.stdout, run.stdout + run.stderr
    assert run.returncode == 0


def test_a_snapshot_is_raftds_own_and_no_database_of_etcds(three: Raftd, tmp_path: Path) -> None:
    three.all_serve()
    path = str(tmp_path / "snapshot.db")
    one = Raftd(three.nodes[:1], three.gateways[:1])
    assert etcdctl(one, "snapshot", "save", path).returncode == 0
    status = etcdctl(one, "snapshot", "status", path)
    # By how much there is: of a cluster that no other test has filled it is shorter than two pages.
    refused = any(said in status.stderr for said in ("invalid database", "file size too small"))
    assert (status.returncode, refused) == (1, True), status
