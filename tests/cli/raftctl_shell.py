"""Runs raftctl for its tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from raftd.cli import raftctl
from tests.client.fake_server import FakeCluster

Done = subprocess.CompletedProcess[bytes]


class Shell:
    """Runs raftctl in this process, as `main` would be run."""

    def __init__(self, cluster: FakeCluster, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
        self.endpoints = ",".join(cluster.endpoints)
        self._captured = capfdbinary
        self.out = b""
        self.err = ""

    def __call__(self, *words: str) -> int:
        code = raftctl.main(["--endpoints", self.endpoints, *words])
        self.out, err = self._captured.readouterr()
        self.err = err.decode()
        assert "Traceback" not in self.err
        assert self.err.count("\n") <= 1, self.err
        return code

    def json(self, *words: str) -> dict[str, object]:
        self.code = self("-w", "json", *words)
        value: dict[str, object] = json.loads(self.out)
        return value


def process(
    *words: str, stdin: bytes = b"", **environment: str
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "raftd.cli.raftctl", *words],
        input=stdin,
        capture_output=True,
        timeout=20,
        env={**os.environ, **environment},
        check=False,
    )
