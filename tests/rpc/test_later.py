"""Modules that a start goes without: loaded soon after it, and what is said of broken ones."""

from __future__ import annotations

import ast
import asyncio
import logging
from pathlib import Path

import pytest

from raftd.rpc.etcd.gateway import server
from raftd.rpc.etcd.gateway.held import Held
from raftd.rpc.etcd.gateway.http import GatewayLimits, HttpReply, HttpRequest
from raftd.rpc.plumbing import later
from raftd.rpc.plumbing.later import Later, NotLoaded, load_all

PACKAGE = Path(later.__file__).parents[2]
ROOMS = ("admin", "core", "daemon", "embed", "h2", "machine", "node", "rpc", "storage", "wire")
"""Of a node. The others: commands, clients, an application's objects."""
ELSEWHERE = {
    "daemon/process.py": "grpc and protobuf, which are loaded by then",
    "embed/node.py": "at the start of a node that joins",
    "embed/opening.py": "at the start of a node that joins",
    "embed/thread.py": "at the start",
    "h2/ngh2_engine.py": "at the start",
}


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> list[Later[object]]:
    """What is made in the test, and nothing else."""
    found: list[Later[object]] = []
    monkeypatch.setattr(later, "_ALL", found)
    return found


class Broken:
    def __init__(self) -> None:
        self.mended = False

    def __call__(self) -> str:
        if not self.mended:
            raise ImportError("cannot import name 'x'\nfrom 'y'")
        return "made"


def test_what_cannot_be_loaded_is_told_in_a_line_and_tried_again(
    alone: list[Later[object]], caplog: pytest.LogCaptureFixture
) -> None:
    broken = Broken()
    one, other = Later("the one", broken), Later("the other", lambda: "good")
    with caplog.at_level(logging.ERROR, logger=later.LOG.name):
        load_all()
        load_all()
        with pytest.raises(NotLoaded) as told:
            asyncio.run(one.get())
    assert str(told.value) == (
        "the one cannot be loaded (ImportError: cannot import name 'x' from 'y'): if raftd or one "
        "of its packages was installed anew under this node, restart it"
    )
    assert [record.message for record in caplog.records] == [str(told.value)]
    assert other._made == "good", "what comes after it is loaded all the same"
    broken.mended = True
    assert asyncio.run(one.get()) == "made"


def test_a_caller_by_http_is_told_and_the_port_goes_on(
    monkeypatch: pytest.MonkeyPatch, alone: list[Later[object]]
) -> None:
    broken = Later("the JSON gateway", Broken())
    good = server._CONNECTION

    async def handle(request: HttpRequest) -> HttpReply:
        return HttpReply(200, b"{}")

    async def go() -> list[bytes]:
        http = server.HttpServer(handle, GatewayLimits(), Held(1 << 20))
        port = await http.start("127.0.0.1", 0)
        answers = []
        for made in (broken, good):
            monkeypatch.setattr(server, "_CONNECTION", made)
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            answers.append(await reader.read())
            writer.close()
        await http.stop()
        return answers

    refused, served = asyncio.run(go())
    assert refused.startswith(b"HTTP/1.1 503 ")
    assert b"the JSON gateway cannot be loaded (ImportError" in refused
    assert served.startswith(b"HTTP/1.1 200 ")


def test_no_module_of_a_node_is_loaded_late_in_another_way() -> None:
    """An import within a function is one that fails in the midst of a caller's request."""
    found = set()
    for room in ROOMS:
        for path in (PACKAGE / room).rglob("*.py"):
            for function in ast.walk(ast.parse(path.read_text())):
                if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                    continue
                inside = (ast.walk(each) for each in function.body)
                imports = any(
                    isinstance(node, ast.Import | ast.ImportFrom)
                    for each in inside
                    for node in each
                )
                if imports and function.name != "_load":
                    found.add(str(path.relative_to(PACKAGE)))
    assert found == ELSEWHERE.keys()
