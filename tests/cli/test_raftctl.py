"""raftctl as a shell sees it: exit codes, stdout, stderr. In real processes where that matters."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from raftd.cli import raftctl
from raftd.wire import batch
from tests.cli.raftctl_shell import Shell, process
from tests.client.fake_server import FakeCluster, Tally
from tests.client.faults import Fault

DEAD = "127.0.0.1:1"


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


# -- the store --------------------------------------------------------------------------------


def test_put_get_delete(shell: Shell) -> None:
    assert shell("put", "a", "hello") == 0
    assert shell.out == b"ok: revision 2, version 1\n"
    assert shell("get", "a") == 0
    assert shell.out == b"hello", "exactly the value, as a pipe needs it"
    assert shell("get", "a", "--stale") == 0
    assert shell("delete", "a") == 0
    assert shell("delete", "a") == 1
    assert shell("get", "a") == 1
    assert shell.out == b""


def test_json(shell: Shell) -> None:
    assert shell.json("put", "a", "x") == {"revision": 2, "version": 1}
    found = shell.json("get", "a")
    assert found["kv"] == {
        "key_base64": b64(b"a"),
        "value_base64": b64(b"x"),
        "create_revision": 2,
        "mod_revision": 2,
        "version": 1,
    }
    assert shell.json("get", "none")["kv"] is None
    assert shell.code == 1
    assert shell.json("delete", "a") == {"revision": 3, "deleted": True}
    assert shell.json("delete", "a")["deleted"] is False
    assert shell.code == 1


def test_prefix(shell: Shell) -> None:
    for name in ("k1", "k2", "k3", "other"):
        shell("put", name, f"value of {name}\x00")
    assert shell("get", "k", "--prefix", "--limit", "2") == 0
    lines = shell.out.decode().splitlines()
    assert lines[0].split() == ["KEY", "VERSION", "MOD_REVISION", "VALUE"]
    assert [line.split()[0] for line in lines[1:]] == ["k1", "k2"]
    assert "value of k1\\x00" in lines[1]
    answer = shell.json("get", "", "--prefix")
    assert isinstance(answer["kvs"], list)
    assert len(answer["kvs"]) == 4
    assert shell("get", "nothing", "--prefix") == 1


def test_compare_and_set(shell: Shell) -> None:
    assert shell("cas", "a", "1", "--expect-absent") == 0
    assert shell("cas", "a", "2", "--expect-absent") == 1
    assert shell.out == b"compare failed: the key has version 1, mod_revision 2, value 1\n"
    assert shell("cas", "a", "2", "--expect-value", "1") == 0
    assert shell("cas", "a", "3", "--expect-version", "2") == 0
    assert shell("cas", "a", "4", "--expect-mod-revision", "4") == 0
    assert shell.json("cas", "a", "--delete", "--expect-version", "4")["succeeded"] is True
    assert shell("cas", "a", "5", "--expect-version", "9") == 1
    assert shell.out == b"compare failed: the key is absent\n"


def test_bytes_in_and_out(cluster: FakeCluster, tmp_path: Path) -> None:
    every = bytes(range(256))
    endpoints = ",".join(cluster.endpoints)
    assert process("put", "bin", "-", stdin=every, RAFTCTL_ENDPOINTS=endpoints).returncode == 0
    assert process("get", "bin", RAFTCTL_ENDPOINTS=endpoints).stdout == every
    path = tmp_path / "value"
    path.write_bytes(every * 2)
    assert process("put", "bin", "--file", str(path), "--endpoints", endpoints).returncode == 0
    found = process("get", "bin", "-w", "json", "--endpoints", endpoints)
    assert json.loads(found.stdout)["kv"]["value_base64"] == b64(every * 2)
    raw = os.fsdecode(b"k\xff")
    assert process("put", raw, "v", "--endpoints", endpoints).returncode == 0
    found = process("get", raw, "-w", "json", "--endpoints", endpoints)
    assert json.loads(found.stdout)["kv"]["key_base64"] == b64(b"k\xff")


def test_bytes_that_are_no_text_are_escaped(cluster: FakeCluster) -> None:
    """The story without it: such keys and values were shown as "-", as if there were none; and a
    terminal that knows ASCII only got a traceback and the exit code that says "absent".
    """

    def ascii_only(*words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        endpoints = ",".join(cluster.endpoints)
        return process(*words, stdin=stdin, PYTHONIOENCODING="ascii", RAFTCTL_ENDPOINTS=endpoints)

    assert ascii_only("put", os.fsdecode(b"k\xff"), "-", stdin=b"\xfe\x00").returncode == 0
    assert ascii_only("put", "k", "ä").returncode == 0
    assert ascii_only("put", "kempty", "").returncode == 0
    listed = ascii_only("get", "k", "--prefix")
    assert (listed.returncode, listed.stderr) == (0, b"")
    rows = [line.split() for line in listed.stdout.decode("ascii").splitlines()[1:]]
    assert [(row[0], row[3]) for row in rows] == [
        ("k", "\\xe4"),
        ("kempty", '""'),
        ("k\\xff", "\\xfe\\x00"),
    ]
    failed = ascii_only("cas", "k", "v", "--expect-absent")
    assert (failed.returncode, failed.stderr) == (1, b"")
    assert failed.stdout.endswith(b"value \\xe4\n")


# -- anybody's machine ------------------------------------------------------------------------


def test_submit_and_query(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    with FakeCluster(machine=Tally()) as cluster:
        shell = Shell(cluster, capfdbinary)
        assert shell("submit", "hello") == 0
        assert shell.out == b"1:hello"
        assert shell("query", "x") == 0
        assert shell.out == b"1"
        answer = shell.json("submit", "again")
        assert answer["result_base64"] == b64(b"2:again")
        assert shell("submit", "bad") == 5
        assert shell.err == "raftctl: refused: bad commands are refused\n"
        assert shell("query", "bad") == 5
        assert shell("put", "a", "b") == 4
        assert "built-in store" in shell.err
        assert [entry.kind for entry in cluster.entries] == [batch.PLAIN] * 4, "an entry for each"
        assert shell("submit", "long") == 6
        assert shell.err.startswith("raftctl: done, answer lost: ")
        assert shell("query", "long") == 5
        assert "the limit is" in shell.err
        assert cluster.executed()[-1:] == [b"long"]


# -- when it fails ----------------------------------------------------------------------------


def test_certainly_not_done(shell: Shell, cluster: FakeCluster) -> None:
    cluster.lead("nobody")
    assert shell("--timeout", "300ms", "put", "a", "b") == 3
    assert shell.err.startswith("raftctl: not done: ")
    assert "raftctl why" in shell.err
    assert shell("--timeout", "300ms", "get", "a") == 3
    shell.endpoints = DEAD
    assert shell("--timeout", "300ms", "put", "a", "b") == 3
    assert shell("--timeout", "300ms", "status") == 3
    assert shell("--timeout", "300ms", "health") == 3
    assert shell("--timeout", "300ms", "events") == 3


def test_overloaded_is_not_done(shell: Shell, cluster: FakeCluster) -> None:
    for node in cluster.nodes.values():
        node.faults.extend([Fault.OVERLOADED] * 100)
    assert shell("--timeout", "300ms", "put", "a", "b") == 3


@pytest.mark.parametrize("fault", [Fault.DROP_AFTER, Fault.UNKNOWN_AFTER, Fault.UNKNOWN_BEFORE])
def test_what_may_be_done_is_never_sent_again(
    shell: Shell, cluster: FakeCluster, fault: Fault
) -> None:
    """No session protects it: a second attempt could be a second put."""
    cluster.nodes["n1"].faults.append(fault)
    assert shell("--timeout", "700ms", "put", "a", "b") == 4
    assert shell.err.startswith("raftctl: outcome unknown: ")
    assert len(cluster.entries) == (fault is not Fault.UNKNOWN_BEFORE)


def test_what_may_be_done_at_the_deadline_is_unknown(shell: Shell, cluster: FakeCluster) -> None:
    cluster.nodes["n1"].faults.extend([Fault.HANG_AFTER] * 9)
    assert shell("--timeout", "700ms", "put", "a", "b") == 4
    assert shell.err.startswith("raftctl: outcome unknown: ")


def test_what_was_certainly_not_done_is_sent_again(shell: Shell, cluster: FakeCluster) -> None:
    """A node that is down, one that does not lead, one that is busy: then the leader."""
    cluster.nodes["n1"].faults.extend([Fault.OVERLOADED, Fault.UNAVAILABLE])
    shell.endpoints = f"{DEAD},{cluster.nodes['n2'].address},{cluster.nodes['n1'].address}"
    assert shell("put", "a", "b") == 0
    assert shell.out == b"ok: revision 2, version 1\n"
    assert [entry.kind for entry in cluster.entries] == [batch.PLAIN]


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("bogus",),
        ("put",),
        ("put", "a"),
        ("put", "a", "b", "--file", "x"),
        ("put", "a", "--file", "/nonexistent/file"),
        ("put", "", "b"),
        ("get", "a", "--limit", "-1"),
        ("cas", "a", "b"),
        ("cas", "a", "b", "--expect-absent", "--expect-version", "1"),
        ("cas", "a", "b", "--delete", "--expect-absent"),
        ("--timeout", "5", "get", "a"),
        ("--timeout", "0s", "get", "a"),
        ("--endpoints", "nonsense", "get", "a"),
        ("-w", "xml", "get", "a"),
        ("put", "k" * 40_000, "v"),
    ],
)
def test_usage(shell: Shell, words: tuple[str, ...]) -> None:
    assert shell(*words) == 2
    assert shell.err.startswith("raftctl: ")


def test_no_endpoints(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("RAFTCTL_ENDPOINTS", raising=False)
    assert raftctl.main(["get", "a"]) == 2
    assert "RAFTCTL_ENDPOINTS" in capfd.readouterr().err


def test_help_and_version(capfd: pytest.CaptureFixture[str]) -> None:
    assert raftctl.main(["--help"]) == 0
    assert "exit codes" in capfd.readouterr().out
    assert raftctl.main(["--version"]) == 0
    assert raftctl.main(["cas", "--help"]) == 0


def test_a_broken_pipe_is_no_error(cluster: FakeCluster) -> None:
    raftctl.main(["--endpoints", ",".join(cluster.endpoints), "put", "big", "x" * 100_000])
    running = subprocess.Popen(
        [sys.executable, "-m", "raftd.cli.raftctl", "get", "big"],
        env={**os.environ, "RAFTCTL_ENDPOINTS": ",".join(cluster.endpoints)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert running.stdout is not None
    assert running.stderr is not None
    running.stdout.close()
    err = running.stderr.read()
    running.stderr.close()
    assert (running.wait(20), err) == (0, b"")


def test_an_output_that_cannot_be_written_is_no_answer(cluster: FakeCluster) -> None:
    """On a full disk `get` ended with a traceback and 1, which means that there is no such key."""
    where = ["--endpoints", ",".join(cluster.endpoints)]
    json_get = ["-w", "json", "get", "a"]
    for words in (["put", "a", "1"], ["get", "a"], ["get", "--prefix", ""], json_get):
        with Path("/dev/full").open("wb") as full:
            run = subprocess.run(
                [sys.executable, "-m", "raftd.cli.raftctl", *where, *words],
                stdout=full,
                stderr=subprocess.PIPE,
                timeout=20,
                check=False,
            )
        assert run.returncode == 74, words
        line = b"raftctl: the output cannot be written: No space left on device; what was asked"
        assert run.stderr == line + b" may be done\n"
