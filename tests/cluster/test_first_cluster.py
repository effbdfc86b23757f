"""docs/first-cluster.md, typed from top to bottom by a shell, as a new operator would; and then, at
the cluster that it leaves, the commands of docs/security.md and docs/operations.md.

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
SECURITY = ROOT / "docs" / "security.md"
OPERATIONS = ROOT / "docs" / "operations.md"
ELSEWHERE = ("head -c 32", "raftd forget")
"""The first is typed already. The second wants a node that nobody has admitted:
tests/harsh/test_bootstrap.py.
"""
INLINE = {
    "raftctl status": "",
    "raftctl why": "",
    "raftctl compact 2": "",
    "raftctl alarm": "",
    "raftctl alarm disarm": "",
    "raftd config check": "--config n4.yaml",
    "raftd inspect": "data/n4.before-recovery",
}
"""What is named within a sentence and can be typed as it stands, with what it still wants.
`events`, `top` and `record` go on for ever: tests/test_admin_events.py, tests/page.
"""
PYTHON = """
client = Client({endpoints!r}, user="root", password=open("root.password").read().strip(), {tls})
assert client.get("greeting").value == b"moved"
"""
SECONDS = 240
PORT = re.compile(r"127\.0\.0\.1:(7\d{3})\b")


def typed() -> str:
    """All that the document has typed."""
    text = DOCUMENT.read_text()
    if shutil.which("etcdctl") is None:
        text = re.sub(r"^## Users$.*?(?=^## )", "", text, flags=re.M | re.S)
    blocks = re.findall(r"```sh\n(.*?)```", text, re.S)
    script = "".join(blocks)
    if "## Users" in text:
        script += others()
    found = sorted(set(PORT.findall(script)))
    moved = dict(zip(found, free_ports(len(found)), strict=True))
    script = PORT.sub(lambda port: f"127.0.0.1:{moved[port[1]]}", script)
    if shutil.which("promtool") is None:
        script = re.sub(r"^promtool .*$", "", script, flags=re.M)
    # `!` alone does not end a shell with -e.
    return re.sub(r"^! (.*)$", r"if \1; then echo let in; exit 9; fi", script, flags=re.M)


def others() -> str:
    """The commands of the two other pages, for the cluster that the first one leaves: n4 alone."""
    security, operations = SECURITY.read_text(), OPERATIONS.read_text()
    fenced = re.findall(r"^```(\w*)\n(.*?)^```", security + operations, re.S | re.M)
    blocks = [text for language, text in fenced if language in ("", "sh")]
    indented = re.findall(r"^    (\w.*)$", security, re.M)
    lines = [line for block in blocks for line in block.splitlines()]
    script = ["mkdir elsewhere", "(cd elsewhere"]
    script += [line for line in indented if line.startswith("raftd certs")] + [")"]
    for line in [*lines, *(line for line in indented if line.startswith("raftctl"))]:
        command, _, remark = line.partition("  #")
        if "with admin_tls: " in remark:  # as here
            command = remark.partition("with admin_tls: ")[2]
        if not command.startswith(ELSEWHERE):
            script.append(command.strip())
    known = {"REVISION": "2"}
    inline = re.findall(r"`(raft(?:ctl|d) [^`]*)`", security + operations)
    for command in dict.fromkeys(inline):
        words = " ".join(known.get(word, word) for word in command.split())
        if words in INLINE:
            script.append(f"{words} {INLINE[words]}".strip())
    (tls,) = re.findall(r"Client\(endpoints, (ca=.*)\)", security)
    assert 'Client(endpoints, user="alice", password=password)' in security
    python = PYTHON.format(endpoints="127.0.0.1:7402", tls=tls)
    script.append(f"python - <<END\nfrom raftd.client import Client\n{python}END\n")
    # Port 7003 was n1's, which is gone by now.
    return "\n".join(script).replace("127.0.0.1:7003", "127.0.0.1:7403")


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
    assert said.count("+ raftd serve") == 7
    assert "All is well" in said
    everything = said + "".join(path.read_text() for path in tmp_path.glob("n*.log"))
    assert (tmp_path / "cluster.secret").read_text().strip() not in everything
