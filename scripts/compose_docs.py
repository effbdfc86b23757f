"""Types docs/compose.md: every shell line of it, in order, as a reader would.

Under names and ports of its own, so that a cluster of yours is left alone. Leaves nothing behind.
Exit codes: 0 every line succeeded, or docker cannot be had here (said in one line); 1 one did not.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from harness.containers import ROOT, Containers, compose_command, missing

DOCUMENT = ROOT / "docs" / "compose.md"
LINE_SECONDS = 300.0
PATIENCE_SECONDS = 30.0
"""A reader who types looks at the answer first, and repeats what says that it may be repeated."""

NOT_YET = (1, 3)
TO_REPEAT = {
    "raftctl health": NOT_YET,
    "raftctl why": NOT_YET,
    "raftctl member": (3, 5),
    "raftctl": (3,),
}
"""Exit codes: not well (a node that was started last has heard no leader yet), not reached; not yet
a member, or behind; certainly not done.
"""


def main() -> int:
    if why := missing():
        print(f"compose-docs: skipped: {why}")
        return 0
    three = Containers(
        "docker-compose.yml",
        ["n1", "n2", "n3"],
        f"raftd-docs-{os.getpid()}",
        "docker-compose.join.yml",
        ["n4"],
    )
    services = [f"m{number}" for number in range(1, 6)]
    five = Containers("docker-compose.5.yml", services, f"raftd-docs-{os.getpid()}-five")
    begun = time.monotonic()
    first, _, second = DOCUMENT.read_text().partition("\n## Five nodes")
    with _removed(three):
        failed = _type(first, three)
    if not failed:
        with _removed(five):
            failed = _type(second, five)
    if failed:
        print(f"compose-docs: FAILED: {failed}", file=sys.stderr)
        return 1
    print(
        f"compose-docs: every line of {DOCUMENT.name} works; took {time.monotonic() - begun:.0f} s"
    )
    return 0


@contextlib.contextmanager
def _removed(cluster: Containers) -> Iterator[None]:
    try:
        yield
    finally:
        cluster.remove()
        shutil.rmtree(ROOT / ".run" / cluster.name, ignore_errors=True)


def shell_lines(text: str) -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", text, re.S)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


def _type(text: str, cluster: Containers) -> str:
    """The line that failed, and what it said; empty if none did."""
    environment = dict(cluster.environment())
    for line in shell_lines(text):
        mine = _renamed(line, cluster)
        print(f"  $ {line}", flush=True)
        if mine.startswith("export "):
            name = mine.removeprefix("export ").partition("=")[0]
            environment[name] = _exported(mine, name, environment)
        elif complaint := _run(mine, environment):
            return f"`{line}`: {complaint}"
    return ""


def _exported(line: str, name: str, environment: dict[str, str]) -> str:
    """What the variable holds after the line."""
    command = ["bash", "-c", f'{line}; printf %s "${name}"']
    done = subprocess.run(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    return done.stdout


def _run(line: str, environment: dict[str, str]) -> str:
    deadline = time.monotonic() + PATIENCE_SECONDS
    again = next((codes for words, codes in TO_REPEAT.items() if words in line), ())
    while True:
        done = subprocess.run(
            ["bash", "-c", line], cwd=ROOT, env=environment, capture_output=True, text=True,
            timeout=LINE_SECONDS, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        if done.returncode == 0:
            return ""
        if done.returncode not in again or time.monotonic() > deadline:
            return f"exit code {done.returncode}: {(done.stderr or done.stdout)[-1000:]}"
        time.sleep(0.5)


def _renamed(line: str, cluster: Containers) -> str:
    """The document's names and ports are the defaults; ours are drawn."""
    compose = " ".join([*compose_command(), "-p", cluster.name])
    line = line.replace("-p raftd-five ", "").replace("docker-compose ", f"{compose} ")
    line = re.sub(r"\braftd(-five)?-([nm]\d)\b", rf"{cluster.name}-\2", line)
    line = re.sub(r"(network (?:dis)?connect) raftd\b", rf"\1 {cluster.name}", line)
    for number, port in enumerate(cluster.ports.values(), 1):
        first = 17000 if len(cluster.services) == 3 else 17010
        line = line.replace(f"127.0.0.1:{first + number}", f"127.0.0.1:{port}")
    line = line.replace(".run/compose-tls", f".run/{cluster.name}")
    return line.replace(".venv/bin/raftctl", str(Path(sys.executable).with_name("raftctl")))


if __name__ == "__main__":
    sys.exit(main())
