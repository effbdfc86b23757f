"""Stubs that other programs generate from our .proto files work beside the installed package."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("include", "file", "module"),
    [
        ("protos", "raftd/v1/client.proto", "from raftd.v1 import client_pb2, client_pb2_grpc"),
        ("protos/raftd/v1", "client.proto", "import client_pb2, client_pb2_grpc"),
    ],
)
def test_own_stubs_beside_ours(tmp_path: Path, include: str, file: str, module: str) -> None:
    """The story without it: "duplicate symbol" at import, or no module named raftd.v1."""
    protoc = [sys.executable, "-m", "grpc_tools.protoc", f"-I{ROOT / include}", file]
    out = [f"--python_out={tmp_path}", f"--grpc_python_out={tmp_path}"]
    subprocess.run([*protoc, *out], check=True, cwd=ROOT, timeout=60)
    code = f"""import raftd._pb.client_pb2 as ours
{module}
sent = client_pb2.Failure(message="x").SerializeToString()
print(ours.Failure.FromString(sent).message, client_pb2_grpc.CommandsStub.__name__)"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.stdout, done.returncode) == ("x CommandsStub\n", 0), done.stderr


def test_the_package_runs_as_a_module() -> None:
    words = [sys.executable, "-m", "raftd", "--version"]
    assert (
        subprocess.run(words, capture_output=True, check=True, timeout=60).stdout[:6] == b"raftd "
    )
