"""The state machine that the README shows, copied from there, survives the death of a leader."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cluster.conftest import MakeCluster

pytestmark = [pytest.mark.cluster, pytest.mark.long]

README = Path(__file__).resolve().parents[2] / "README.md"


def readme_machine() -> str:
    """The text of counter.py in the README."""
    found = re.search(r"```python\n(# counter\.py\n.*?)```", README.read_text(), re.DOTALL)
    assert found, "the README shows no counter.py"
    return found[1]


def test_it_has_ten_lines() -> None:
    lines = [line for line in readme_machine().splitlines() if line.strip()]
    code = [line for line in lines if not line.lstrip().startswith(("#", "import", "from"))]
    assert len(code) <= 11, code  # the class line and ten more


def test_it_survives_a_leader_kill(make_cluster: MakeCluster, tmp_path: Path) -> None:
    (tmp_path / "counter.py").write_text(readme_machine())
    cluster = make_cluster(
        3,
        {
            "machine": "counter:Counter",
            "machine_path": str(tmp_path),
            "snapshot_entries": "20",
            "keep_entries": "5",
        },
    ).start()
    client = cluster.client()
    for expected in range(1, 61):
        assert client.submit(b"up") == b"%d" % expected
    leader = cluster.leader()
    leader.kill()
    for expected in range(61, 121):
        assert client.submit(b"up") == b"%d" % expected
    leader.start()
    cluster.wait_ready([leader])
    cluster.wait_level()
    assert client.query(b"") == b"120"
    for node in cluster.nodes:
        assert cluster.client([node]).query(b"", consistency="stale") == b"120"
    assert len(set(cluster.digests().values())) == 1
