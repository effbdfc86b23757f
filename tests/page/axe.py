"""axe-core, which finds what keeps people out of a page: from npm, for the test alone."""

from __future__ import annotations

import fcntl
import shutil
import subprocess

import pytest

from harness.nodes import ROOT

VERSION = "4.10.3"
HOME = ROOT / ".run" / "npm"
SECONDS = 60.0


def script() -> str:
    """Its text, installed first if need be. Skips the test where it cannot be had: says why."""
    npm = shutil.which("npm")
    path = HOME / "node_modules" / "axe-core" / "axe.min.js"
    HOME.mkdir(parents=True, exist_ok=True)
    with (HOME / "lock").open("w") as lock:  # tests run side by side
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.is_file():
            if npm is None:
                pytest.skip("no axe-core: npm is not installed (Debian: npm)")
            _install(npm)
    return path.read_text()


def _install(npm: str) -> None:
    words = [npm, "install", "--prefix", str(HOME), "--no-save", "--no-audit", "--no-fund"]
    try:
        done = subprocess.run(
            [*words, "--ignore-scripts", f"axe-core@{VERSION}"],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"no axe-core: npm install took longer than {SECONDS:g} s")
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["?"])[-1]
        pytest.skip(f"no axe-core: npm install: {last[:200]}")
