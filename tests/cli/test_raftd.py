"""The command `raftd`, in this process: what it prints and how it ends without starting a node."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from raftd import __version__
from raftd.cli import raftd_main
from raftd.cli.raftd_main import main
from tests.signals import born_with
from tests.tls.made import authority, node_files

GOOD = "id: a\ndata_dir: data\npeers:\n  a: {peer: 127.0.0.1:7001, client: 127.0.0.1:7002}\n"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("RAFTD_CONFIG", "RAFTD_SOAK"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "node.yaml"
    path.write_text(GOOD)
    return path


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"raftd {__version__}\n"


def test_no_command_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 2
    assert "COMMAND" in capsys.readouterr().err


def test_check_says_ok(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "check", "--config", str(file)]) == 0
    assert capsys.readouterr().out == f"ok: node a, 1 voters, data in {file.parent / 'data'}\n"


def test_check_says_what_is_wrong(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(GOOD + "prevot: true\nstop_grace: long\n")
    assert main(["config", "check", "--config", str(file)]) == 2
    lines = capsys.readouterr().err.replace(str(file), "node.yaml").splitlines()
    assert lines == [
        "raftd: node.yaml:5: prevot: is no setting; did you mean prevote?",
        "raftd: node.yaml:6: stop_grace: 'long': "
        "expected a duration with its unit, such as 150ms, 10s or 2m",
    ]


def test_serve_with_a_wrong_file_does_not_start(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", "--config", str(file.with_name("other.yaml"))]) == 2
    assert "other.yaml: cannot be read: No such file or directory" in capsys.readouterr().err


def test_show_tells_origins(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAFTD_KEEP_ENTRIES", "7")
    assert main(["config", "show", "--config", str(file), "--set", "stop_grace=9s"]) == 0
    out = capsys.readouterr().out
    assert "\nkeep_entries: 7" in out
    assert "# RAFTD_KEEP_ENTRIES\n" in out
    assert "# --stop-grace\n" in out
    assert f"# {file}:1\n" in out


def test_config_from_the_environment(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAFTD_CONFIG", str(file))
    assert main(["config", "check"]) == 0
    assert capsys.readouterr().out.startswith("ok: node a")


def test_set_without_value(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "check", "--config", str(file), "--set", "prevote"]) == 2
    assert capsys.readouterr().err == "raftd: --set: 'prevote': expected KEY=VALUE\n"


def test_sample_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "sample"]) == 0
    assert "heartbeat_interval: 100ms" in capsys.readouterr().out


EARLY = """
import os, signal, sys, time, types
from raftd.cli import raftd_main

def serve(loaded, read_again):
    os.kill(os.getpid(), signal.{name})
    time.sleep(30)

raftd_main.settings_flags.read = lambda arguments: None
sys.modules["raftd.daemon"] = types.SimpleNamespace(serve=serve)
sys.exit(raftd_main.main(["serve"]))
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_stop_before_anything_is_open_is_an_orderly_one(name: str) -> None:
    """As process 1 of a container, the default action would be to ignore it."""
    words = [sys.executable, "-c", EARLY.format(name=name)]
    with born_with(signal.SIGINT, signal.default_int_handler):
        done = subprocess.run(words, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_an_interrupted_command_says_nothing_of_its_stack(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted() -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(raftd_main, "sample", interrupted)
    assert main(["config", "sample"]) == 130
    assert capsys.readouterr().err == ""


def test_check_reads_keys_and_certificates_as_a_start_does(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It said ok of files that `serve` ended with: of another node, readable for all, absent."""
    tls = file.parent / "tls"
    authority(tls)
    node_files(tls, "a")
    node_files(tls, "b")
    secret = file.parent / "cluster.secret"
    secret.write_text("s" * 44)
    secret.chmod(0o600)
    secured = GOOD + (
        "cluster_secret_file: cluster.secret\n"
        "peer_cert: tls/a.crt\npeer_key: tls/a.key\npeer_ca: tls/ca.crt\n"
    )
    check = ["config", "check", "--config", str(file)]
    file.write_text(secured)
    assert main(check) == 0
    capsys.readouterr()
    for right, wrong, told in (
        ("a.key", "b.key", "certificate and key do not belong together"),
        ("tls/a", "tls/b", "not the certificate of node a"),
        ("a.key", "a.kye", "a.kye: No such file"),
        ("cluster.secret\n", "secret\n", "secret: No such file"),
    ):
        file.write_text(secured.replace(right, wrong))
        assert main(check) == 2
        said = capsys.readouterr()
        assert told in said.err
        assert said.err.count("\n") == 1
        assert said.out == ""
    file.write_text(secured)
    (tls / "a.key").chmod(0o644)
    assert main(check) == 2
    assert "chmod 600" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["confg"],
        ["config", "chekc"],
        ["config", "check", "node.yaml"],
        ["recover", "data"],
        ["certs"],
    ],
)
def test_a_mistyped_command_is_one_line(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """It began with a usage, of another command than the one typed."""
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("raftd: ")
    assert said.endswith(" --help`\n")
    assert said.count("\n") == 1


@pytest.mark.parametrize(("where", "code"), [(">/dev/full", 74), (">&-", 0), ("| head -1", 0)])
def test_who_reads_what_it_prints(where: str, code: int) -> None:
    shell = f"set -o pipefail; '{sys.executable}' -m raftd.cli.raftd_main config sample {where}"
    run = subprocess.run(["bash", "-c", shell], capture_output=True, timeout=20, check=False)
    assert run.returncode == code, run.stderr
    lost = b"raftd: the output cannot be written: No space left on device; what was asked may be"
    assert run.stderr == (lost + b" done\n" if code else b"")
