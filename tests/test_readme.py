"""README.md, typed from top to bottom in a fresh copy of this directory, as a newcomer would.

Every line of every sh block has an expectation here; a new line without one fails the test. Ports
are moved away from those that the README shows, for whoever plays with a cluster of their own.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from harness.nodes import ROOT, wait_until
from harness.ports import free_ports, room_for_nodes

pytestmark = [pytest.mark.cluster, pytest.mark.long]

LINE_SECONDS = 90
SERVE = ".venv/bin/raftd serve --config node.yaml"
EXPECTED = {
    "make demo": r"(?s)(\d{4,}) of \1\b.*\b\1 of \1\b.*\b\1 of \1\b.*acknowledged +\1 writes, "
    r"at least \d{3,} of them after.*silent +\d+ ms",
    "make up": r"3 nodes serve(?s:.*)RAFTCTL_ENDPOINTS=127",
    ".venv/bin/raftctl put greeting hello": r"ok|revision",
    ".venv/bin/raftctl get greeting": r"^hello$",
    ".venv/bin/raftctl status": r"(?s)n1 .*n2 .*n3 ",
    ".venv/bin/python -m scripts.cluster kill leader": r"^n\d leads$",
    ".venv/bin/raftctl why": r"^(All is well|n\d)",
    ".venv/bin/python hello.py": r"(?s)b'on'.*lamp.*on.*lamp.*off.*token \d+ done True",
    "make down": r"3 nodes stopped",
    ".venv/bin/raftd config check --config node.yaml": r"",
    SERVE: r"",
}
MAY_SAY_NO = {".venv/bin/raftctl why"}
"""Exit code 1 is an answer: a node that has just come back may still be behind."""
NOT_COPIED = shutil.ignore_patterns(
    ".git", ".venv", ".run", "build", "dist", "__pycache__", ".*_cache"
)


@dataclass
class Reader:
    """One who types. The environment is that of their shell."""

    home: Path
    first_port: int
    environment: dict[str, str] = field(default_factory=dict)

    def localised(self, text: str) -> str:
        """Loopback ports as `make up` has them here; the example's hosts are all this one."""

        def moved(found: re.Match[str]) -> str:
            return f"127.0.0.1:{self.first_port + int(found[1]) - 7001}"

        text = re.sub(r"10\.0\.0\.(\d):70", lambda m: f"127.0.0.1:7{int(m[1]) + 2}", text)
        return re.sub(r"127\.0\.0\.1:(7[0-9]{3})\b", moved, text)

    def reads(self, language: str, text: str) -> None:
        name = re.match(r"# (\S+\.(?:py|yaml))\n", text)
        if language == "sh":
            for line in text.splitlines():
                self.types(self.localised(line))
        elif name is not None:
            (self.home / name[1]).write_text(self.localised(text))

    def types(self, line: str) -> None:
        if line.startswith("export "):
            key, _, value = line.removeprefix("export ").partition("=")
            self.environment[key] = value
            return
        assert line in EXPECTED, f"the README has a new command, say here what it prints: {line}"
        if line == SERVE:
            self.serves(line)
            return
        run = subprocess.run(
            line,
            shell=True,
            cwd=self.home,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LINE_SECONDS,
            check=False,
        )
        assert run.returncode == 0 or (run.returncode == 1 and line in MAY_SAY_NO), (
            f"{line}: exit code {run.returncode}\n{run.stdout}"
        )
        assert re.search(EXPECTED[line], run.stdout.strip()), f"{line}:\n{run.stdout}"
        if line == "make demo":
            assert not list((self.home / ".run").glob("demo-*")), "the demo left its files behind"

    def serves(self, line: str) -> None:
        """A node alone: it opens its ports, says whom it waits for, and stops when told to."""
        log = self.home / "serve.log"
        with log.open("w") as out:
            node = subprocess.Popen(
                line.split(), cwd=self.home, env=self.environment, stdout=out, stderr=out
            )
        try:
            wait_until(lambda: "serving: peers on port" in log.read_text(), 30, log.read_text())
            node.send_signal(signal.SIGTERM)
            assert node.wait(30) == 0, log.read_text()
        finally:
            node.kill()
            node.wait()


def blocks() -> list[tuple[str, str]]:
    return re.findall(r"```(\w+)\n(.*?)```", (ROOT / "README.md").read_text(), re.S)


def pretend_set_up(venv: Path) -> None:
    """What `make setup` would leave, without its minutes: our own tools, told to run the copy.

    Nothing may be installed: these are the tools that run this very test.
    """
    (venv / "bin").mkdir(parents=True)
    for name, module in (("python", ""), ("raftd", "raftd_main"), ("raftctl", "raftctl")):
        words = f"-m raftd.cli.{module} " if module else ""
        tool = venv / "bin" / name
        tool.write_text(
            f'#!/bin/sh\ncase "$*" in *pip*) echo "no installing here"; exit 1;; esac\n'
            f'exec "{sys.executable}" {words}"$@"\n'
        )
        tool.chmod(0o755)
    (venv / ".raftd-ready").touch()


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    home = tmp_path / "raftd"
    shutil.copytree(ROOT, home, ignore=NOT_COPIED)
    pretend_set_up(home / ".venv")
    (home / ".run" / "tmp").mkdir(parents=True)
    made = Reader(home, room_for_nodes(6))  # n1 to n3, and three of the example
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("RAFT", "MAKE", "PYTEST"))}
    made.environment = {
        **kept,
        "PYTHONPATH": str(home),  # the copy, not where our own tools were set up
        "CLUSTER_FIRST_PORT": str(made.first_port),
        "RAFTD_LISTEN_ADMIN": f"127.0.0.1:{free_ports(1)[0]}",
    }
    yield made
    subprocess.run(
        [".venv/bin/python", "-m", "scripts.cluster", "wipe"],
        cwd=home,
        env=made.environment,
        check=False,
        timeout=60,
    )


def test_every_line_does_what_the_readme_says(reader: Reader) -> None:
    found = blocks()
    assert [language for language, _ in found].count("sh") >= 4
    for language, text in found:
        reader.reads(language, text)
    assert (reader.home / "hello.py").exists()
    assert (reader.home / "data").is_dir(), "the node of the example has kept its data here"
