"""`make demo`, given up half way. To its end it runs in tests/test_readme.py."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.nodes import ROOT, wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.long]


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
