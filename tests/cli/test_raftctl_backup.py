"""raftctl backup and its mistakes, against a cluster that is made up."""

from __future__ import annotations

import os
from pathlib import Path

from raftd.cli.progress import Progress
from tests.backup.snapshots import head_of
from tests.cli.raftctl_shell import Shell
from tests.client.fake_server import FakeCluster


def test_a_backup_of_the_leader(shell: Shell, cluster: FakeCluster, tmp_path: Path) -> None:
    cluster.lead("n2")
    file = tmp_path / "a.bak"
    assert shell("backup", str(file)) == 0
    assert f"ok: {file}: cluster c1 at index 7 of term 2, from n2, 23 bytes" in shell.out.decode()
    assert os.listdir(tmp_path) == ["a.bak"]
    assert head_of(file).node == "n2"
    assert shell("backup", "verify", str(file)) == 0
    assert shell.out.decode().startswith(f"whole: {file}: cluster c1 at index 7")


def test_a_backup_of_a_node_by_name(shell: Shell, cluster: FakeCluster, tmp_path: Path) -> None:
    found = shell.json("backup", "--from", cluster.endpoints[2], str(tmp_path / "a.bak"))
    assert found["node_id"] == "n3"
    assert found["snapshot_bytes"] == 23
    verified = shell.json("backup", "verify", str(tmp_path / "a.bak"))
    assert verified == found


def test_a_backup_on_standard_output(shell: Shell, tmp_path: Path) -> None:
    assert shell("backup", "-") == 0
    (tmp_path / "a.bak").write_bytes(shell.out)
    assert shell.err.startswith("ok: -: cluster c1")
    assert shell("backup", "verify", str(tmp_path / "a.bak")) == 0


def test_a_file_that_exists_is_not_written_over(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "a.bak"
    file.write_bytes(b"dear")
    assert shell("backup", str(file)) == 2
    assert "exists: name another file" in shell.err
    assert file.read_bytes() == b"dear"


def test_a_backup_that_lacks_bytes_leaves_no_file(
    shell: Shell, cluster: FakeCluster, tmp_path: Path
) -> None:
    cluster.lead("n1")
    cluster.nodes["n1"].backup_lacks = 5
    assert shell("backup", str(tmp_path / "a.bak")) == 3
    assert "n1 sent 23 bytes" in shell.err
    assert os.listdir(tmp_path) == []


def test_a_directory_that_is_not_there(shell: Shell, tmp_path: Path) -> None:
    assert shell("backup", str(tmp_path / "no" / "a.bak")) == 2
    assert "No such file or directory" in shell.err


def test_nobody_answers(shell: Shell, cluster: FakeCluster, tmp_path: Path) -> None:
    for node in cluster.nodes.values():
        node.stop()
    assert shell("--timeout", "300ms", "backup", str(tmp_path / "a.bak")) == 3
    assert os.listdir(tmp_path) == []


def test_verify_a_damaged_file_a_missing_one_and_none(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "a.bak"
    assert shell("backup", str(file)) == 0
    data = bytearray(file.read_bytes())
    data[-40] ^= 1
    file.write_bytes(data)
    assert shell("backup", "verify", str(file)) == 1
    assert "backup is damaged" in shell.err
    assert shell("backup", "verify", str(tmp_path / "b.bak")) == 2
    assert "No such file" in shell.err
    assert shell("backup", "one", "two") == 2
    assert "name one FILE" in shell.err


class Terminal:
    """A stream that says that it is one."""

    def __init__(self) -> None:
        self.text = ""

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        """As streams have it."""


def test_the_bar_is_for_terminals() -> None:
    terminal = Terminal()
    with Progress(terminal, 200 << 20) as progress:
        progress.show(100 << 20)
    assert "[###############               ]  50% 100/200 MiB" in terminal.text
    assert terminal.text.endswith("\r\x1b[K")
