"""The rules of the house, checked: they hold for every file, also for those written later."""

from __future__ import annotations

import argparse
import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

LINES_MAX = 320
LONGER: dict[str, int] = {
    "raftd/core/core.py": 350,
    "tests/machine/test_sessions.py": 402,
    "tests/rpc/test_client_port.py": 373,
}
"""Files over the limit; their numbers may only fall, and no file may join them."""

DISK_CALLS = {"fsync", "fdatasync", "rename", "replace", "unlink", "remove", "ftruncate", "link"}

FOREIGN_WORDS = [
    # Assembled here, so that this file does not hold them: hosts of registries, paths of a machine.
    "pypi" + ".org",
    "python" + "hosted",
    "npm" + "js",
    "/wo" + "rk/",
    "/ho" + "me/",
    "/ro" + "ot/",
    "site" + "-packages",
]


def tracked() -> list[Path]:
    """Every file that is, or is about to be, under version control."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listing.returncode:
        pytest.skip("not a git checkout")
    paths = [ROOT / line for line in listing.stdout.splitlines()]
    return [path for path in paths if path.is_file()]


def python_files(*tops: str) -> Iterator[Path]:
    for top in tops:
        for path in sorted((ROOT / top).rglob("*.py")):
            if "_pb" not in path.parts:
                yield path


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_rooms_import_only_what_they_may() -> None:
    run = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-2000:]


def test_no_file_is_too_long() -> None:
    long = {}
    for path in python_files("raftd", "harness", "bench", "scripts", "tests"):
        lines = len(path.read_text().splitlines())
        if lines > LONGER.get(name_of(path), LINES_MAX):
            long[name_of(path)] = lines
    assert not long


def test_every_module_says_what_it_is() -> None:
    silent = [
        name_of(path)
        for path in python_files("raftd", "harness", "bench", "scripts")
        if path.read_text().strip() and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert not silent


def test_only_the_file_system_seam_touches_the_disk() -> None:
    """What bypasses raftd/storage/fs.py cannot lose its unsynced bytes in a simulated crash."""
    found = []
    for path in python_files("raftd"):
        if name_of(path) == "raftd/storage/fs.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and node.value.id == "os"
                and node.attr in DISK_CALLS
            ):
                found.append(f"{name_of(path)}:{node.lineno}: os.{node.attr}")
    assert not found


@pytest.mark.parametrize("room", ["core", "wire", "machine", "storage"])
def test_rooms_that_are_told_the_time_do_not_ask_for_it(room: str) -> None:
    asking = [
        name_of(path)
        for path in python_files(f"raftd/{room}")
        if re.search(
            r"^\s*(import time|from time import|from datetime import)", path.read_text(), re.M
        )
    ]
    assert not asking


def test_no_traces_of_a_machine_or_registry() -> None:
    found = []
    for path in tracked():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        found += [f"{name_of(path)}: {word}" for word in FOREIGN_WORDS if word in text]
    assert not found


def test_nothing_is_left_to_do_in_a_comment() -> None:
    marks = re.compile(r"#.*\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")
    found = [
        f"{name_of(path)}: {line.strip()}"
        for path in python_files("raftd", "harness", "bench", "scripts", "tests")
        for line in path.read_text().splitlines()
        if marks.search(line)
    ]
    assert not found


def test_every_dependency_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = project["project"]["dependencies"] + project["dependency-groups"]["dev"]
    names = {re.split(r"[<>=;\s]", item)[0].lower().replace("_", "-") for item in wanted}
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9a-z.]+", line) for line in pins), pins
    assert names <= {line.partition("==")[0] for line in pins}


def make_verbs() -> dict[str, str]:
    text = (ROOT / "Makefile").read_text()
    return dict(re.findall(r"^([a-z-]+):.*?(?:## (.*))?$", text, re.M))


def test_every_make_verb_is_explained() -> None:
    verbs = make_verbs()
    assert {"demo", "test", "check", "sim", "mutants", "up", "down", "fmt", "clean"} <= set(verbs)
    docs = (ROOT / "README.md").read_text() + (ROOT / "CONTRIBUTING.md").read_text()
    for verb, explanation in verbs.items():
        assert explanation, f"make {verb} has no ## text"
        assert f"make {verb}" in docs or verb == "help", f"make {verb} is in no document"


def commands(parser: argparse.ArgumentParser, prefix: str) -> Iterator[str]:
    """`raftd config show` and so on."""
    subparsers = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    for action in subparsers:
        for name, inner in action.choices.items():
            yield f"{prefix} {name}"
            yield from commands(inner, f"{prefix} {name}")


def test_every_raftd_command_is_in_the_readme() -> None:
    from raftd.cli.raftd_main import build_parser

    readme = (ROOT / "README.md").read_text()
    missing = [command for command in commands(build_parser(), "raftd") if command not in readme]
    assert not missing


def test_every_raftctl_command_is_in_the_readme() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "raftd.cli.raftctl", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    names = re.findall(r"^    ([a-z]+) ", run.stdout, re.M)
    assert {"put", "get", "status"} <= set(names)
    readme = (ROOT / "README.md").read_text()
    assert not [name for name in names if f"raftctl {name}" not in readme]


def test_commands_in_the_documents_exist() -> None:
    """A reader types what stands there."""
    from raftd.cli.raftd_main import build_parser

    known = set(commands(build_parser(), "raftd")) | {"raftd --version"}
    for name in ("README.md", "CONTRIBUTING.md", "ARCHITECTURE.md"):
        text = (ROOT / name).read_text()
        for block in re.findall(r"```(?:sh|console)\n(.*?)```", text, re.S):
            for verb in re.findall(r"\bmake ([a-z-]+)", block):
                assert verb in make_verbs(), f"{name}: make {verb}"
            for words in re.findall(r"\braftd ((?:--)?[a-z]+)", block):
                assert any(f"raftd {words}" in command for command in known), (
                    f"{name}: raftd {words}"
                )
