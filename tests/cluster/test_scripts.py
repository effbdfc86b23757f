"""`make demo` and `make up`, as a newcomer runs them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.nodes import ROOT, free_ports, wait_until

pytestmark = pytest.mark.cluster


def left_behind(directory: Path) -> list[str]:
    """Processes that run in `directory`, and the directory itself."""
    found = [str(directory)] if directory.exists() else []
    for link in Path("/proc").glob("[0-9]*/cwd"):
        try:
            where = os.readlink(link)
        except OSError:
            continue
        if where.startswith(str(directory)):
            found.append(str(link))
    return found


def _heed_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def demo() -> Iterator[subprocess.Popen[str]]:
    """The demo, started; interrupted at the end if it still runs."""
    process = subprocess.Popen(
        [sys.executable, "-m", "scripts.demo"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        # A suite that runs as a shell's background job has SIGINT ignored, and so would the demo.
        preexec_fn=_heed_interrupts,
    )
    with process:
        yield process
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait(30)


def test_demo_shows_what_it_promises_and_leaves_nothing(demo: subprocess.Popen[str]) -> None:
    out, _ = demo.communicate(timeout=90)
    assert demo.returncode == 0, out
    acknowledged = re.search(r"acknowledged +(\d+) writes, at least (\d+) of them after", out)
    assert acknowledged is not None, out
    total = int(acknowledged[1])
    assert total >= 1_100
    assert int(acknowledged[2]) >= 100
    assert out.count(f"{total} of {total}") == 3
    assert re.search(r"silent +\d+ ms", out)
    assert left_behind(ROOT / ".run" / f"demo-{demo.pid}") == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "terminated"])
def test_interrupted_demo_leaves_nothing(
    demo: subprocess.Popen[str], number: signal.Signals
) -> None:
    seen: list[str] = []

    def read() -> None:
        assert demo.stdout is not None
        while part := demo.stdout.read(1):
            seen.append(part)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    wait_until(lambda: "threads write" in "".join(seen), 60, "the demo to write")
    demo.send_signal(number)
    assert demo.wait(30) == 130, "".join(seen)
    reader.join(10)
    assert left_behind(ROOT / ".run" / f"demo-{demo.pid}") == []


def test_up_kill_start_down_wipe(tmp_path: Path) -> None:
    base = tmp_path / "nodes"
    first = free_ports(1)[0]

    def cluster(*words: str) -> tuple[int, str]:
        run = subprocess.run(
            [
                *(sys.executable, "-m", "scripts.cluster", "--directory", str(base)),
                *("--first-port", str(first), *words),
            ],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return run.returncode, run.stdout + run.stderr

    try:
        code, out = cluster("up", "--nodes", "3")
        assert code == 0, out
        assert f"export RAFTCTL_ENDPOINTS=127.0.0.1:{first + 1}," in out
        assert cluster("up", "--nodes", "5")[0] == 1
        code, out = cluster("kill", "n4")
        assert (code, "there are: n1, n2, n3" in out) == (1, True), out
        assert cluster("kill", "n1")[0] == 0
        code, out = cluster("status")
        assert "n1: not running" in out
        assert cluster("start", "n1") == (0, "")
        code, out = cluster("status")
        assert code == 0, out
        assert out.count("leader") >= 1
        assert cluster("down") == (0, "3 nodes stopped\n")
    finally:
        code, out = cluster("wipe")
    assert code == 0, out
    assert left_behind(base) == []
