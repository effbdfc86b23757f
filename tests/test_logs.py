"""Logging: one line per event, with node, term and role; a stuck stderr holds nobody up."""

from __future__ import annotations

import json
import logging
import os
import threading

import pytest

from raftd.logs import ConsoleFormatter, Context, JsonFormatter, QueueingHandler


class Pipe:
    """A handler that writes into a pipe which this test reads."""

    def __init__(self, formatter: logging.Formatter, lines: int) -> None:
        self.context = Context(node="a")
        self.reader, self.writer = os.pipe()
        self.handler = QueueingHandler(self.writer, self.context, formatter, lines)
        self.log = logging.Logger("raftd.test", logging.DEBUG)
        self.log.addHandler(self.handler)

    def read_all(self) -> list[str]:
        """Everything written, once the handler has stopped."""
        parts: list[bytes] = []

        def drain() -> None:
            while part := os.read(self.reader, 65536):
                parts.append(part)

        thread = threading.Thread(target=drain)
        thread.start()
        self.handler.stop(10)
        os.close(self.writer)
        thread.join(10)
        os.close(self.reader)
        return b"".join(parts).decode().splitlines()


@pytest.fixture(params=[JsonFormatter, ConsoleFormatter])
def formatter(request: pytest.FixtureRequest) -> logging.Formatter:
    made: logging.Formatter = request.param()
    return made


def test_json_line_says_who_and_when() -> None:
    pipe = Pipe(JsonFormatter(), 100)
    pipe.context.term, pipe.context.role = 7, "leader"
    pipe.log.info("became leader: %s votes", 2, extra={"peer": "b"})
    pipe.context.term, pipe.context.role = 8, "follower"
    pipe.log.warning("two\nlines")
    first, second = (json.loads(line) for line in pipe.read_all())
    assert (first["node"], first["term"], first["role"]) == ("a", 7, "leader")
    assert first["msg"] == "became leader: 2 votes"
    assert first["peer"] == "b"
    assert second["msg"] == "two\nlines"
    assert second["term"] == 8


def test_console_line_is_one_line() -> None:
    pipe = Pipe(ConsoleFormatter(), 100)
    pipe.log.info("a\nb", extra={"reason": "no quorum"})
    (line,) = pipe.read_all()
    assert line.endswith('node=a term=0 role=starting  a\\nb reason="no quorum"')


def test_traceback_is_kept(formatter: logging.Formatter) -> None:
    pipe = Pipe(formatter, 100)
    try:
        raise ValueError("the cause")
    except ValueError:
        pipe.log.exception("it broke")
    text = "\n".join(pipe.read_all())
    assert "it broke" in text
    assert "ValueError: the cause" in text


@pytest.mark.timeout(20)
def test_blocked_stderr_drops_and_counts(formatter: logging.Formatter) -> None:
    pipe = Pipe(formatter, 50)
    for number in range(5_000):  # nobody reads: the pipe holds a few hundred lines at most
        pipe.log.info("line %d with some padding %s", number, "x" * 200)
    lines = pipe.read_all()
    assert pipe.handler.dropped > 1_000
    assert any("log lines: stderr did not keep up" in line for line in lines)
    told = sum(int(line.split("dropped ")[1].split()[0]) for line in lines if "dropped " in line)
    assert told == pipe.handler.dropped
    assert told + sum("with some padding" in line for line in lines) == 5_000


def test_closed_stderr_is_survived(formatter: logging.Formatter) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    handler = QueueingHandler(writer, Context(), formatter, 10)
    log = logging.Logger("raftd.test", logging.DEBUG)
    log.addHandler(handler)
    log.info("nobody hears this")
    handler.stop(10)
    os.close(writer)
    assert handler.dropped >= 1
