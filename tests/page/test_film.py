"""Films: the HTTP port's, gathered from several nodes, and the simulator's."""

from __future__ import annotations

import asyncio
import io
import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from raftd.admin.page import gather, routes
from raftd.admin.page.gather import Gathering
from raftd.admin.page.routes import Page
from raftd.admin.server import AdminServer
from raftd.admin.vitals import Vitals
from raftd.core.log import RaftLog
from raftd.core.types import Entry, EntryType
from raftd.node.film_records import Record
from raftd.node.ring import Ring
from tests.conftest import Count
from tests.sim.cluster import Cluster
from tests.sim.film import Filming, film
from tests.sim.swarm import run_seed

SECONDS = 10.0


class Node:
    """The HTTP port of a node that has only its film."""

    def __init__(self, name: str, nodes: dict[str, str], port: int = 0) -> None:
        self.ring: Ring[Record] = Ring(100)
        vitals = Vitals(time.monotonic, beat=time.monotonic(), read_film=self.ring.read)
        self.admin = AdminServer("127.0.0.1", port, vitals, list, None, Page(name, nodes))
        self.port = self.admin.port
        nodes[name] = f"127.0.0.1:{self.port}"
        self.vitals = vitals

    def put(self, term: int) -> None:
        self.ring.put(time.monotonic(), {"kind": "state", "term": term})


@pytest.fixture
def two() -> Iterator[tuple[Node, Node]]:
    """Each knows the other's port, which is known only once both are open."""
    nodes: dict[str, str] = {}
    first = Node("n1", {})
    port = first.port
    first.admin.stop()
    nodes["n1"] = f"127.0.0.1:{port}"
    second = Node("n2", nodes)
    first = Node("n1", nodes, port)
    for one in (first, second):
        one.admin.start()
    yield first, second
    first.admin.stop()
    second.admin.stop()


class Lines:
    """A film as its reader has it."""

    def __init__(self, node: Node, path: str, header: str = "") -> None:
        self.socket = socket.create_connection(("127.0.0.1", node.port), SECONDS)
        self.socket.sendall(f"GET {path} HTTP/1.1\r\n{header}\r\n".encode())
        self._file = self.socket.makefile("rb")
        self.head = b"".join(iter(self._file.readline, b"\r\n")).decode()

    def next(self) -> dict[str, Any]:
        line = self._file.readline()
        assert line, "the film has ended"
        found: dict[str, Any] = json.loads(line)
        return found

    def until(self, wanted: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        while not wanted(found := self.next()):
            pass
        return found

    def close(self) -> None:
        self._file.close()
        self.socket.close()


def head_of(node: Node, path: str, header: str = "") -> str:
    lines = Lines(node, path, header)
    lines.close()
    return lines.head


def test_a_node_tells_its_film_from_the_oldest_record_on(two: tuple[Node, Node]) -> None:
    first, _ = two
    first.put(1)
    lines = Lines(first, "/film")
    assert "application/x-ndjson" in lines.head
    head = lines.next()
    assert (head["kind"], head["version"], head["node"]) == ("film", 1, "n1")
    assert abs(head["now"] - time.monotonic()) < SECONDS
    assert lines.next()["term"] == 1
    first.put(2)
    assert lines.next()["term"] == 2
    lines.close()


def test_one_node_gathers_from_all_and_says_who_is_gone(
    two: tuple[Node, Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gather, "AGAIN_SECONDS", 0.02)
    first, second = two
    first.put(1)
    second.put(2)
    lines = Lines(first, "/film/all")
    where = {"n1": f"127.0.0.1:{first.port}", "n2": f"127.0.0.1:{second.port}"}
    assert lines.next()["nodes"] == where
    found = lines.until(lambda record: record["node"] == "n2")
    assert found["term"] == 2
    assert abs(found["t"] - time.monotonic()) < SECONDS
    second.admin.stop()
    assert lines.until(lambda record: record["kind"] == "gone")["node"] == "n2"
    again = Node("n2", {"n1": ""}, second.port)
    again.admin.start()
    again.put(3)
    assert lines.until(lambda record: record["node"] == "n2")["term"] == 3
    lines.close()
    again.admin.stop()


def test_a_silent_node_is_gone_and_nothing_is_told_twice(
    two: tuple[Node, Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gather, "SILENT_SECONDS", 0.2)
    first, second = two
    second.put(1)
    lines = Lines(first, "/film/all")
    assert "nothing" in lines.until(lambda record: record["kind"] == "gone")["why"]
    second.put(2)
    assert lines.until(lambda record: record.get("term"))["term"] == 2
    lines.close()
    later = Lines(first, "/film/all")
    second.put(3)
    terms: list[int] = []
    while terms[-1:] != [3]:
        record = later.next()
        terms += [record["term"]] if record["kind"] == "state" else []
    assert terms == [1, 2, 3]
    later.close()


def test_a_head_that_was_long_on_its_way_makes_nothing_late() -> None:
    """The clocks are one here; the page showed all of a node's film three seconds late, and later
    what had queued behind the head half a second, until a record came quickly.
    """

    async def go() -> list[float]:
        gathering = Gathering("n1", {}, Vitals(lambda: 103.0), asyncio.get_running_loop())
        reader = asyncio.StreamReader()
        for line in (
            {"now": 100.0},
            {"t": 99.0, "life": "a", "n": 1},
            {"t": 102.5, "life": "a", "n": 2},
            {"t": 103.0, "life": "a", "n": 3},
        ):
            reader.feed_data(json.dumps(line).encode() + b"\n")
        reader.feed_eof()
        await gathering._lines("n2", reader)
        return [at for _, at, _ in gathering.ring._ring]

    assert asyncio.run(go()) == [99.0, 102.5, 103.0]


def test_a_node_that_says_little_is_shown_without_waiting_for_its_next_word() -> None:
    async def go() -> list[float]:
        gathering = Gathering("n1", {}, Vitals(lambda: 100.0), asyncio.get_running_loop())
        reader = asyncio.StreamReader()
        reader.feed_data(b'{"now": 100.0}\n{"t": 99.0, "life": "a", "n": 1}\n')
        telling = asyncio.create_task(gathering._lines("n2", reader))
        deadline = time.monotonic() + SECONDS
        while not gathering.ring._ring and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        found = [at for _, at, _ in gathering.ring._ring]
        reader.feed_eof()
        await telling
        return found

    assert asyncio.run(go()) == [99.0]


def test_only_pages_of_these_nodes_may_read_it_from_another_port(two: tuple[Node, Node]) -> None:
    first, second = two
    where = f"http://localhost:{second.port}"
    for origin, allowed in ((where, True), ("http://elsewhere.example", False), ("null", False)):
        head = head_of(first, "/film/all", f"Origin: {origin}\r\n")
        assert (f"Access-Control-Allow-Origin: {origin}\r\n" in head) is allowed


def test_readers_have_a_limit_and_a_starting_node_has_no_film(
    two: tuple[Node, Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "STREAMS_MAX", 1)
    first, _ = two
    lines = Lines(first, "/film")
    assert " 503 " in head_of(first, "/film")
    lines.close()
    first.vitals.read_film = None
    assert " 503 " in head_of(first, "/film/all")


def test_the_page_and_its_parts_are_served_and_name_nothing_from_outside(
    two: tuple[Node, Node],
) -> None:
    first, _ = two
    assert "text/html" in head_of(first, "/")
    for path in sorted(routes.STATIC.iterdir()):
        where = "/" if path.name == "index.html" else f"/page/{path.name}"
        assert " 200 " in head_of(first, where)
        text = path.read_text().replace("http://www.w3.org/2000/svg", "").replace("`http://$", "")
        assert "http:" not in text
        assert "https:" not in text
        for part in re.findall(r'(?:from "\./|/page/)([a-z]+\.[a-z]+)', text):
            assert (routes.STATIC / part).is_file()


def test_without_the_setting_there_is_nothing() -> None:
    vitals = Vitals(time.monotonic, beat=time.monotonic())
    admin = AdminServer("127.0.0.1", 0, vitals, list)
    assert not {"/", "/film", "/film/all"} & set(admin._routes)
    admin.stop()


@pytest.mark.long
def test_a_seed_becomes_a_film_and_every_refusal_has_its_rule(count: Count) -> None:
    judged, films = 0, []
    for seed in range(1, 4):
        file = io.StringIO()
        filmings: list[Filming] = []

        def watch(cluster: Cluster, file: io.StringIO = file, to: Any = filmings) -> None:
            to.append(film(cluster, file))

        filmed = run_seed(seed, 1000, hashing=seed == 1, watch=watch)
        if seed == 1:
            assert filmed.trace_hash == run_seed(seed, 1000, hashing=True).trace_hash
        assert not filmings[0].misjudged
        films.append([json.loads(line) for line in file.getvalue().splitlines()])
        votes = [record for record in films[-1] if record["kind"] == "reply"]
        assert all(record["granted"] != bool(record["why"]) for record in votes)
        judged += len(votes)
    kinds = {record["kind"] for records in films for record in records}
    assert kinds == {"film", "state", "event", "send", "reply", "lost", "gone"}
    assert judged > 20
    count("votes explained", judged)


def test_the_terms_of_a_log_as_runs() -> None:
    terms = [1, 1, 2, 5, 5, 5, 7]
    entries = [Entry(i, term, EntryType.NOOP, b"") for i, term in enumerate(terms, 11)]
    log = RaftLog(10, 1, entries)
    assert log.last_terms(9) == [(11, 1), (13, 2), (14, 5), (17, 7)]
    assert log.last_terms(2) == [(14, 5), (17, 7)]
    assert RaftLog(10, 1, []).last_terms(9) == []
