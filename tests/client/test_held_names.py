"""A lock's or an election's name is shared with keys that stand for nobody."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from raftd.client import Client, NotAcquired
from tests.client.fake_server import FakeCluster

Connect = Callable[..., Client]
SECONDS = 30.0


def test_keys_under_a_locks_name_that_are_no_owners(cluster: FakeCluster, connect: Connect) -> None:
    """docs/recipes.md put backup/last under the lock `backup`, and hung at the second time."""
    client = connect(cluster)
    session = client.lease(60)
    client.put("backup/last", "now")
    client.put("backup/f00", "hexadecimal, but not its lease's")
    client.put("backup/7f/7f", "another lock's", lease=session.id)
    for number in range(100):
        client.put(f"backup/{number:04d}", "many")
    with client.lock("backup", timeout=0) as owner:
        assert client.lock("backup").acquire(0) is None
        with client.lock("backup/weekly", timeout=0) as weekly, pytest.raises(NotAcquired):
            client.election("backup").campaign("me", timeout=0)
        assert weekly.token > owner.token


def test_keys_under_an_elections_name_that_do_not_lead(
    cluster: FakeCluster, connect: Connect
) -> None:
    client = connect(cluster)
    client.put("pool/members/7", "a key of the program's")
    election = client.election("pool")
    assert election.leader() is None
    with election.observe() as leaders, election.campaign("me", timeout=0) as me:
        client.put("pool/limit", "3")
        assert [leader and leader.value for leader in leaders.take(SECONDS)] == [b"me"]
        found = election.leader()
        assert found is not None
        assert found.token == me.token
    for number in range(100):
        client.put(f"pool/{number:04d}", "many")
    assert election.leader() is None
    with election.campaign("me", timeout=0) as me:
        found = election.leader()
        assert found is not None
        assert found.token == me.token
