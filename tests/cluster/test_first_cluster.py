"""docs/first-cluster.md, typed from top to bottom by a shell, as a new operator would.

Ports are moved away from those in the document. The shell stops at the first line that fails.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.nodes import ROOT
from harness.ports import free_ports

pytestmark = [pytest.mark.cluster, pytest.mark.long, pytest.mark.timeout(300)]

DOCUMENT = ROOT / "docs" / "first-cluster.md"
SECONDS = 240
PORT = re.compile(r"127\.0\.0\.1:(7\d{3})\b")


def typed() -> str:
    """All that the document has typed."""
    text = DOCUMENT.read_text()
    if shutil.which("etcdctl") is None:
        text = re.sub(r"^## Users$.*?(?=^## )", "", text, flags=re.M | re.S)
    blocks = re.findall(r"```sh\n(.*?)```", text, re.S)
    script = "".join(blocks)
    found = sorted(set(PORT.findall(script)))
    moved = dict(zip(found, free_ports(len(found)), strict=True))
    script = PORT.sub(lambda port: f"127.0.0.1:{moved[port[1]]}", script)
    if shutil.which("promtool") is None:
        script = re.sub(r"^promtool .*$", "", script, flags=re.M)
    # `!` alone does not end a shell with -e.
    return re.sub(r"^! (.*)$", r"if \1; then echo let in; exit 9; fi", script, flags=re.M)


def test_every_line_of_the_first_cluster_works(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "config", tmp_path / "config")
    clean = {key: value for key, value in os.environ.items() if not key.startswith("RAFT")}
    path = f"{Path(sys.executable).parent}:{clean['PATH']}"
    log, script = tmp_path / "typed.log", tmp_path / "typed.sh"
    script.write_text(typed())
    with log.open("wb") as out:
        shell = subprocess.Popen(
            ["bash", "-eux", str(script)],
            cwd=tmp_path, env={**clean, "PATH": path}, stdin=subprocess.DEVNULL, stdout=out,
            stderr=out, start_new_session=True,
        )  # fmt: skip
    try:
        code = shell.wait(SECONDS)
    except subprocess.TimeoutExpired:
        code = -1
    finally:
        os.killpg(shell.pid, signal.SIGKILL)  # the nodes run on
        shell.wait()
    said = log.read_text()
    assert code == 0, f"exit code {code}:\n{said[-4000:]}"
    assert said.count("+ raftd serve") == 5
    assert "All is well" in said
    everything = said + "".join(path.read_text() for path in tmp_path.glob("n*.log"))
    assert (tmp_path / "cluster.secret").read_text().strip() not in everything
