"""raftctl watch, txn, compact, lease, lock, elect."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from raftd.client import Client
from raftd.client import operations as ops
from tests.cli.raftctl_shell import Shell
from tests.client.conftest import wait_until
from tests.client.fake_server import FakeCluster


@pytest.fixture
def client(cluster: FakeCluster) -> Iterator[Client]:
    with Client(cluster.endpoints) as client:
        yield client


# -- watch, txn, compact ----------------------------------------------------------------------


def test_watch(shell: Shell, client: Client) -> None:
    client.put("k/a", "1")
    client.put("k/b", b"\xff")
    client.delete("k/a")
    assert shell("watch", "k/", "--prefix", "--rev", "2", "--prev", "--count", "3") == 0
    assert shell.out == b"2 put k/a 1\n3 put k/b \\xff\n4 delete k/a (before: 1)\n"
    assert shell("-w", "json", "watch", "k/a", "--rev", "2", "--count", "2") == 0
    lines = [json.loads(line) for line in shell.out.splitlines()]
    assert [(line["type"], line["revision"]) for line in lines] == [("put", 2), ("delete", 4)]
    assert lines[0]["value_base64"] == "MQ=="
    client.compact(4)
    assert shell("watch", "k/a", "--rev", "2") == 5
    assert "revision 2 is compacted, 4 is the oldest" in shell.err


def test_txn(shell: Shell, client: Client) -> None:
    assert shell("txn", "--when", "absent a", "--then", "put a 'one two'", "--then", "get a") == 0
    assert shell.out == b"ok: revision 2\nput\na one two\n"
    words = ["txn", "--when", "version a > 1", "--then", "put a x", "--else", "delete a"]
    assert shell(*words, "--else", "get a") == 1
    assert shell.out == b"compare failed: revision 3\ndeleted 1\n(absent)\n"
    answer = shell.json("txn", "--when", "value a = x", "--else", "get a")
    assert answer == {"revision": 3, "succeeded": False, "responses": [{"kvs": [], "more": False}]}
    client.put("a", "b")
    for yes in ("value a != c", "exists a", "create a = 4", "mod a < 5", "lease a = 0"):
        assert shell("txn", "--when", yes) == 0, yes
    for wrong in ("value a", "version a = x", "color a = 1", "value a ~ b", "'"):
        assert shell("txn", "--when", wrong) == 2, wrong
    assert shell("txn", "--then", "push a b") == 2
    assert "expected 'put KEY VALUE'" in shell.err


def test_compact(shell: Shell, client: Client) -> None:
    client.put("a", "1")
    client.put("a", "2")
    assert shell("get", "a", "--rev", "2") == 0
    assert shell.out == b"1"
    assert shell("compact", "3") == 0
    assert shell.out == b"ok: the history begins with revision 3\n"
    assert shell("compact", "99") == 5
    assert "future revision" in shell.err


# -- leases -----------------------------------------------------------------------------------


def test_leases(shell: Shell, client: Client) -> None:
    granted = shell.json("lease", "grant", "60")
    lease = str(granted["lease"])
    assert granted["ttl_s"] == 60
    assert shell("put", "a", "b", "--lease", lease) == 0
    assert shell("lease", "ttl", lease, "--keys") == 0
    assert shell.out.splitlines()[1] == b"a"
    assert shell("lease", "list") == 0
    assert shell.out.decode() == f"{lease}\n"
    assert shell("lease", "revoke", lease) == 0
    assert shell.out == b"ok: 1 keys deleted\n"
    assert not client.get("a")
    for action in (("revoke", lease), ("ttl", lease), ("keep-alive", lease)):
        assert shell("lease", *action) == 1
        assert shell.out == b"no such lease\n"
    wrong: tuple[tuple[str, ...], ...]
    wrong = (("grant",), ("list", "7"), ("revoke", "xyz"), ("grant", "1.5"), ("ttl", "0"))
    for words in wrong:
        assert shell("lease", *words) == 2, words


# -- lock -------------------------------------------------------------------------------------


def endpoints(cluster: FakeCluster) -> str:
    return ",".join(cluster.endpoints)


def test_a_program_under_a_lock(shell: Shell, client: Client) -> None:
    code = (
        "import os, sys; "
        "print(os.environ['RAFTCTL_LOCK_KEY'][:2], os.environ['RAFTCTL_LOCK_TOKEN'], sys.argv[1]);"
        "sys.exit(7)"
    )
    assert shell("lock", "l", "--", sys.executable, "-c", code, "--x") == 7
    assert (shell.out, shell.err) == (b"l/ 2 --x\n", "")
    assert not client.range("l/"), "it is released"
    assert shell("lock", "l", "--", "/no/such/program") == 127
    assert shell("lock", "l", "--", "sh", "-c", "kill -9 $$") == 137


def test_a_lock_that_others_hold_is_waited_for(shell: Shell, client: Client) -> None:
    with client.lock("l"):
        assert shell("lock", "l", "--wait", "50ms", "--", "true") == 1
    assert "others held it for 0.05 s" in shell.err
    assert shell("lock", "l", "--", "true") == 0


def test_a_program_that_lost_its_lock_is_stopped(cluster: FakeCluster, client: Client) -> None:
    words = [sys.executable, "-m", "raftd.cli.raftctl", "lock", "l", "--ttl", "1s", "--"]
    running = subprocess.Popen(
        [*words, "sh", "-c", "echo it runs; exec sleep 30"],
        env={**os.environ, "RAFTCTL_ENDPOINTS": endpoints(cluster)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert running.stdout is not None
    assert running.stdout.readline() == b"it runs\n"
    key = client.range("l/").kvs[0].key
    client.execute(ops.lease_revoke(int(key[2:], 16)))
    _, err = running.communicate(timeout=30)
    assert running.returncode == 4
    assert b"it was lost, and the program was stopped" in err


def test_a_lock_is_held_until_an_interrupt(cluster: FakeCluster, client: Client) -> None:
    # A shell's background job is born with SIGINT ignored, and this suite may be one.
    code = (
        "import signal, sys; from raftd.cli.raftctl import main; "
        "signal.signal(signal.SIGINT, signal.default_int_handler); sys.exit(main(sys.argv[1:]))"
    )
    running = subprocess.Popen(
        [sys.executable, "-c", code, "lock", "l", "-w", "json"],
        env={**os.environ, "RAFTCTL_ENDPOINTS": endpoints(cluster)},
        stdout=subprocess.PIPE,
    )
    assert running.stdout is not None
    assert json.loads(running.stdout.readline())["token"] == 2
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=30)
    assert running.returncode == 130
    assert not client.range("l/")


# -- elect ------------------------------------------------------------------------------------


def test_elect(shell: Shell, cluster: FakeCluster, client: Client) -> None:
    assert shell("elect", "e") == 1
    assert shell.out == b"nobody leads\n"
    me = client.election("e").campaign("me")
    assert shell("elect", "e") == 0
    assert shell.out.startswith(b"me leads: key e/")
    leader = shell.json("elect", "e")["leader"]
    assert isinstance(leader, dict)
    assert leader["token"] == me.token
    words = [sys.executable, "-m", "raftd.cli.raftctl", "elect", "e", "you"]
    running = subprocess.Popen(
        words, env={**os.environ, "RAFTCTL_ENDPOINTS": endpoints(cluster)}, stdout=subprocess.PIPE
    )
    wait_until(lambda: len(client.range("e/").kvs) == 2, "the other one in the queue")
    me.resign()
    assert running.stdout is not None
    assert running.stdout.readline().startswith(b"held: key e/")
    running.terminate()
    running.communicate(timeout=30)
