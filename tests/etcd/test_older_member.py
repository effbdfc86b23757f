"""An upgrade half done: what the older member would not understand waits, the rest goes on."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from harness.nodes import ROOT, wait_until
from tests.etcd.servers import Raftd, raftd_cluster

pytestmark = [pytest.mark.cluster, pytest.mark.long, pytest.mark.timeout(120)]


def asked(raftd: Raftd, path: str, **fields: str) -> str:
    """The answer, or the refusal, as text."""
    url = f"http://{raftd.leader().client_address}/v3/{path}"
    try:
        with urllib.request.urlopen(url, json.dumps(fields).encode(), timeout=30) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            return error.read().decode()


def test_users_and_alarms_wait_for_the_last_member_to_be_upgraded(tmp_path: Path) -> None:
    with raftd_cluster(tmp_path, 3) as raftd:
        older = next(node for node in raftd.nodes if node is not raftd.leader())
        older.stop()
        older.program, older.environment["PYTHONPATH"] = "tests.etcd.older", str(ROOT)
        raftd.all_serve()
        # The leader has to hear it say so; until then it believes what was said before.
        wait_until(
            lambda: f"understood by {older.id}" in asked(raftd, "auth/role/add", name="r"),
            30,
            "a refusal that names the older member",
            raftd.nodes,
        )
        member = json.loads(asked(raftd, "cluster/member/list"))["members"][0]["ID"]
        alarm = asked(
            raftd, "maintenance/alarm", action="ACTIVATE", alarm="NOSPACE", memberID=member
        )
        assert "an alarm is not understood" in alarm
        assert "revision" in asked(raftd, "kv/put", key="YQ==", value="Yg==")
        older.stop()
        older.program = "raftd.cli.raftd_main"
        raftd.all_serve()
        wait_until(
            lambda: "revision" in asked(raftd, "auth/user/add", name="ann", password="secret"),
            30,
            "the change of users to be taken",
            raftd.nodes,
        )
        older.stop()
        older.program = "tests.etcd.older"
        older.start()
        wait_until(
            lambda: any("cannot take part" in node.log_tail(200) for node in raftd.nodes),
            30,
            "the older raftd to be turned away",
            raftd.nodes,
        )
