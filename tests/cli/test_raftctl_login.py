"""Where raftctl takes user and password from."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from raftd.cli import raftctl_arguments
from raftd.cli.raftctl_login import login_of
from raftd.client import Invalid


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAFTCTL_USER", "RAFTCTL_PASSWORD", "RAFTCTL_PASSWORD_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)


def given(user: str | None = None, file: str | None = None) -> argparse.Namespace:
    return argparse.Namespace(user=user, password_file=file)


def secret(path: Path, text: bytes = b"from file\nand more\n", mode: int = 0o600) -> str:
    path.write_bytes(text)
    path.chmod(mode)
    return str(path)


def test_nobody_is_named() -> None:
    assert login_of(given()) == ("", "")


def test_the_command_line_comes_first_then_a_file_then_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = secret(tmp_path / "password")
    monkeypatch.setenv("RAFTCTL_PASSWORD", "from environment")
    assert login_of(given("ann:a:b", file)) == ("ann", "a:b")
    assert login_of(given("ann", file)) == ("ann", "from file")
    assert login_of(given("ann")) == ("ann", "from environment")
    monkeypatch.setenv("RAFTCTL_USER", "bob")
    assert login_of(given()) == ("bob", "from environment")
    monkeypatch.setenv("RAFTCTL_PASSWORD_FILE", file)
    assert login_of(given()) == ("bob", "from file")


def test_a_terminal_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("getpass.getpass", lambda prompt: f"typed at {prompt}")
    assert login_of(given("ann")) == ("ann", "typed at password of ann: ")


def test_what_cannot_be_is_one_line(tmp_path: Path) -> None:
    for args, why in (
        (given(":x"), "expected NAME"),
        (given("ann"), "no password"),
        (given("ann", str(tmp_path / "none")), "No such file"),
        (given("ann", secret(tmp_path / "open", mode=0o644)), "mode 0644"),
        (given("ann", secret(tmp_path / "empty", b"")), "expected a line"),
        (given("ann", secret(tmp_path / "bytes", b"\xff\xfe")), "UTF-8"),
        (given("ann", secret(tmp_path / "long", b"a" * 5000)), "expected a line"),
    ):
        with pytest.raises(Invalid, match=why) as caught:
            login_of(args)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "option", ["--endpoints", "--cacert", "--cert", "--key", "--user", "--password-file"]
)
@pytest.mark.parametrize("words", ["{option}= status", "status {option}="])
def test_an_empty_option_is_refused_and_the_environment_does_not_take_its_place(
    option: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        raftctl_arguments.parse(words.format(option=option).split())
    assert ended.value.code == 2
    assert f"{option}: expected a value" in capsys.readouterr().err
