"""Clients and servers of other gRPC libraries: grpc-go (Debian's source) and grpc-js (npm).

`python -m tests.h2.others` builds and installs both under .run/others; the tests skip what is not
there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from harness.nodes import ROOT

HERE = Path(__file__).parent
HOME = ROOT / ".run" / "others"
GO_PATH = Path("/usr/share/gocode")
"""Where Debian's golang-google-grpc-dev puts its source."""
GRPC_JS = "1.14.7"


def command_of(library: str) -> list[str]:
    """Empty: it is not there."""
    if library == "grpc-go":
        binary = HOME / "interop-go"
        return [str(binary)] if binary.exists() else []
    program = HOME / "interop.js"
    node = shutil.which("node")
    return [node, str(program)] if node and program.exists() else []


def build_go() -> str:
    """Why not; empty when it is built."""
    if shutil.which("go") is None:
        return "no `go` in PATH (Debian: golang-go)"
    if not (GO_PATH / "src/google.golang.org/grpc").is_dir():
        return "no source of grpc-go (Debian: golang-google-grpc-dev)"
    places = {"GOPATH": str(GO_PATH), "GOCACHE": str(HOME / "gocache"), "GO111MODULE": "off"}
    return _run(["go", "build", "-o", str(HOME / "interop-go"), str(HERE / "interop.go")], places)


def install_js() -> str:
    """Why not; empty when it is there."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        return "no `npm` in PATH"
    package = f"@grpc/grpc-js@{GRPC_JS}"
    why = _run(["npm", "install", "--silent", "--prefix", str(HOME), package], {})
    if not why:
        shutil.copy(HERE / "interop.js", HOME)
    return why


def _run(words: list[str], environment: dict[str, str]) -> str:
    run = subprocess.run(
        words, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    return run.stderr.strip()[-300:] or "it failed" if run.returncode else ""
