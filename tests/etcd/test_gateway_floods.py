"""At the client port, where what a connection sends beside its messages has a budget."""

from __future__ import annotations

import http.client
from pathlib import Path

import pytest

from raftd.rpc.plumbing.guard import SCAN_SECONDS, FloodLimits
from tests.etcd.servers import raftd_cluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(60)]

BODY = b'{"key": "YQ=="}' + b" " * (2_000_000)
REQUESTS = 2 * FloodLimits().at_once_bytes // len(BODY)


def test_requests_on_one_connection_are_no_flood(tmp_path: Path) -> None:
    """The story without it: a program that had written 32 MiB by JSON was cut, as if it had sent
    frames that belong to no call.
    """
    with raftd_cluster(tmp_path) as raftd:
        host, _, port = raftd.addresses[0].rpartition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=20)
        connection.connect()
        first = connection.sock
        for _ in range(REQUESTS):
            connection.request("POST", "/v3/kv/range", BODY)
            with connection.getresponse() as answer:
                assert answer.status == 200
                answer.read()
            assert connection.sock is first
        first.settimeout(3 * SCAN_SECONDS)
        with pytest.raises(TimeoutError):
            first.recv(1)  # an end would be read here
        connection.close()
