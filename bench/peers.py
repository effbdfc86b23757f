"""What to measure against, if it can be had here: etcd from PATH, PySyncObj from the index.

Each is left out with one line that says what is missing. Nothing is installed outside .run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from bench.clusters import BASE

DEBIAN_GO_PATH = Path("/usr/share/gocode")
"""Where golang-etcd-server-dev puts the client's source."""

PYSYNCOBJ = "0.3.17"

Say = Callable[[str], None]


def etcd_version() -> str:
    run = subprocess.run(["etcd", "--version"], capture_output=True, text=True, check=False)
    first = run.stdout.splitlines()[:1]
    return first[0].partition(":")[2].strip() if first else "unknown"


def etcd_generator(say: Say) -> Path | None:
    """The load generator, built if need be; None (and a line) without etcd, go or the source."""
    if shutil.which("etcd") is None:
        say("etcd is left out: no `etcd` in PATH (Debian: etcd-server)")
        return None
    if shutil.which("go") is None:
        say("etcd is left out: its load generator needs `go` (Debian: golang-go)")
        return None
    if not (DEBIAN_GO_PATH / "src/go.etcd.io/etcd/clientv3").is_dir():
        say("etcd is left out: no source of its Go client (Debian: golang-etcd-server-dev)")
        return None
    source = Path(__file__).with_name("etcdload")
    binary = BASE / "etcdload"
    if binary.exists() and binary.stat().st_mtime > (source / "main.go").stat().st_mtime:
        return binary
    say("building the load generator for etcd (once, about a minute) ...")
    environment = {
        **os.environ,
        "GO111MODULE": "off",
        "GOPATH": str(DEBIAN_GO_PATH),
        "GOCACHE": str(BASE / "gocache"),
    }
    run = subprocess.run(
        ["go", "build", "-o", binary, "."],
        cwd=source,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode:
        say(f"etcd is left out: go build: {run.stderr.strip()[-300:]}")
        return None
    return binary


def pysyncobj_python(say: Say) -> Path | None:
    """A Python with PySyncObj in an environment of its own; None (and a line) if that fails."""
    home = BASE / "pysyncobj"
    python = home / "bin" / "python"
    mark = home / f"ready-{PYSYNCOBJ}"
    if mark.exists():
        return python
    for words in (
        [sys.executable, "-m", "venv", str(home)],
        [str(python), "-m", "pip", "install", "--quiet", f"pysyncobj=={PYSYNCOBJ}"],
    ):
        run = subprocess.run(words, capture_output=True, text=True, check=False)
        if run.returncode:
            say(f"PySyncObj is left out: {(run.stderr.strip().splitlines() or ['?'])[-1][:200]}")
            return None
    mark.touch()
    return python
