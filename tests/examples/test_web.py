"""The web applications: three machines, one is killed, every answered order counts once.

Each is shorter than its twin on PySyncObj, which promises less.
"""

from __future__ import annotations

import ast
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.nodes import Node, make_nodes, write_configs
from harness.ports import free_ports
from raftd.client import Client, RaftdError

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 60.0
ORDERS = 12


def code_lines(path: Path) -> int:
    """Lines with code on them: neither blank, nor comment, nor docstring."""
    text = path.read_text()
    strings: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            strings.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines = enumerate(map(str.strip, text.splitlines()), 1)
    return sum(bool(line) and line[0] != "#" and at not in strings for at, line in lines)


@pytest.mark.parametrize("name", ["fastapi", "gunicorn"])
def test_each_is_shorter_than_its_twin(name: str) -> None:
    ours = code_lines(ROOT / "examples" / f"web_{name}.py")
    twin = code_lines(ROOT / "examples" / "twins" / f"{name}_pysyncobj.py")
    assert ours * 4 < twin * 3, f"{ours} lines of code, the twin has {twin}"


class Machine:
    """A web server with what it starts, in a process group of its own, and the port it serves."""

    def __init__(self, node: Node, words: list[str], environment: dict[str, str]) -> None:
        (self.port,) = free_ports(1)
        self.log = node.directory / "web.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *(word.replace("PORT", str(self.port)) for word in words)],
                cwd=ROOT,
                env={**os.environ, "NODE": str(node.config_path), **environment},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill(self) -> None:
        """Everything on this machine, at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(SECONDS)

    def ask(self, method: str, path: str) -> tuple[int, object]:
        """(status, answer); (0, what happened) if nobody answers."""
        url = f"http://127.0.0.1:{self.port}{path}"
        try:
            request = urllib.request.Request(url, method=method)
            with urllib.request.urlopen(request, timeout=SECONDS) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())
        except OSError as error:
            return 0, str(error)

    def end(self) -> int:
        self.process.terminate()
        return self.process.wait(SECONDS)


def until(condition: Callable[[], object], machines: list[Machine]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        if time.monotonic() > deadline:
            said = "\n".join(each.log.read_text()[-2000:] for each in machines)
            raise AssertionError(f"it never came true; the logs end with\n{said}")
        time.sleep(0.02)


@pytest.fixture
def nodes(tmp_path: Path) -> list[Node]:
    made = make_nodes(tmp_path, ["n1", "n2", "n3"])
    small = {"segment_bytes": "1MiB", "disk_reserve": "1MiB"}
    write_configs(made, {**small, "machine": "examples.web_gunicorn:Machine"})
    return made


FASTAPI = ["uvicorn", "examples.web_fastapi:app", "--port", "PORT"]
GUNICORN = ["gunicorn", "-c", "examples/web_gunicorn.py", "--preload", "--workers", "2"]
GUNICORN += ["--bind", "127.0.0.1:PORT", "--worker-class", "gthread", "--threads", "4"]
GUNICORN += ["--no-control-socket", "examples.web_gunicorn:app"]


@pytest.fixture(params=[FASTAPI, GUNICORN], ids=["fastapi", "gunicorn"])
def machines(request: pytest.FixtureRequest, nodes: list[Node]) -> Iterator[dict[str, Machine]]:
    environment = {
        "NODES": ",".join(node.client_address for node in nodes),
        "PYTHONPATH": str(ROOT),
    }
    made = {node.id: Machine(node, request.param, environment) for node in nodes}
    yield made
    for machine in made.values():
        machine.kill()


def leader(nodes: list[Node]) -> str:
    with Client([node.client_address for node in nodes], timeout=SECONDS) as client:
        found = ""
        while not found:
            try:
                found = client.status().leader_id
            except RaftdError:
                time.sleep(0.05)
        return found


@pytest.mark.cluster
@pytest.mark.long
def test_every_answered_order_counts_once_though_the_leaders_machine_is_killed(
    machines: dict[str, Machine], nodes: list[Node]
) -> None:
    every = list(machines.values())
    until(lambda: every[0].ask("GET", "/stock/tea") == (200, 0), every)
    assert every[0].ask("POST", "/deliver/tea/1000") == (200, 1000)
    assert every[1].ask("POST", "/order/cake")[0] == 409
    killed = leader(nodes)
    rest = [machine for id, machine in machines.items() if id != killed]
    answers: list[tuple[int, object]] = []

    def customer(machine: Machine) -> None:
        for _ in range(ORDERS):
            answers.append(machine.ask("POST", "/order/tea"))

    customers = [threading.Thread(target=customer, args=(machine,)) for machine in rest]
    for each in customers:
        each.start()
    until(lambda: len(answers) >= 4, every)
    machines[killed].kill()
    for each in customers:
        each.join(SECONDS)
    assert {status for status, _ in answers} == {200}, answers
    numbers = [number for _, number in answers]
    assert len(numbers) == len(set(map(str, numbers))) == 2 * ORDERS
    assert rest[0].ask("GET", "/stock/tea") == (200, 1000 - 2 * ORDERS)
    assert rest[0].end() in (0, -signal.SIGTERM)  # uvicorn ends by the signal that it was sent
    (ended,) = [node for node in nodes if machines[node.id] is rest[0]]
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", ended.ports.peer)), "its node has ended with it"
