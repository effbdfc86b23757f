"""One line per event on stderr, and never a wait for it.

Callers only queue a record; one thread formats and writes. A terminal that is stopped, a pipe that
nobody reads or a closed stderr holds up that thread alone: what does not fit into the queue is
dropped and counted, and the count is written as soon as lines flow again.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import threading
import time
import traceback
from dataclasses import dataclass
from typing import Any

FLUSH_SECONDS = 1.0
"""How long a stopping process waits for its last lines."""

STACK_CHARS_MAX = 16_384

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "context"}


@dataclass(slots=True)
class Context:
    """What every line says about this node. Written by one thread, read by any; no lock needed."""

    node: str = "-"
    term: int = 0
    role: str = "starting"


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ts, level, msg, node, term, role, logger, the line's own fields."""

    def format(self, record: logging.LogRecord) -> str:
        node, term, role = record.__dict__["context"]
        line: dict[str, Any] = {
            "ts": _timestamp(record.created),
            "level": record.levelname.lower(),
            "msg": record.getMessage(),
            "node": node,
            "term": term,
            "role": role,
            "logger": record.name,
            **_fields(record),
        }
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = _stack(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class ConsoleFormatter(logging.Formatter):
    """For people: time, level, node, term, role, message, key=value; a traceback indented below."""

    def format(self, record: logging.LogRecord) -> str:
        node, term, role = record.__dict__["context"]
        message = record.getMessage().replace("\n", "\\n")
        line = (
            f"{_timestamp(record.created)[11:]} {record.levelname.lower():<7} "
            f"node={node} term={term} role={role}  {message}"
        )
        for key, value in _fields(record).items():
            line += f" {key}={_word(value)}"
        if record.exc_info and record.exc_info[0] is not None:
            trace = _stack(record.exc_info).rstrip()
            line += "\n" + "\n".join(f"    | {part}" for part in trace.splitlines())
        return line


class QueueingHandler(logging.Handler):
    """Takes records from any thread without blocking; thread `raft-log` writes them to `fd`."""

    def __init__(self, fd: int, context: Context, formatter: logging.Formatter, lines: int) -> None:
        super().__init__()
        self.dropped = 0
        self._fd = fd
        self._context = context
        self._lines = lines
        self._queue: queue.SimpleQueue[logging.LogRecord | None] = queue.SimpleQueue()
        self._done = threading.Event()
        self.setFormatter(formatter)
        self._thread = threading.Thread(target=self._run, name="raft-log", daemon=True)
        self._thread.start()

    def createLock(self) -> None:
        """No lock: `emit` is a put on a thread-safe queue, and a lock here could be waited for."""
        self.lock = None

    def handle(self, record: logging.LogRecord) -> bool:
        """As the base class, which from Python 3.13 on insists on a lock."""
        kept = bool(self.filter(record))
        if kept:
            self.emit(record)
        return kept

    def emit(self, record: logging.LogRecord) -> None:
        if self._queue.qsize() >= self._lines:
            self.dropped += 1
            return
        context = self._context
        # Rendered now: arguments may change, and the term at the time of the event is what counts.
        record.msg, record.args = record.getMessage(), None
        record.__dict__["context"] = (context.node, context.term, context.role)
        self._queue.put(record)

    def stop(self, timeout: float = FLUSH_SECONDS) -> None:
        """Write what is queued, for at most `timeout` seconds. Later records are lost."""
        self._queue.put(None)
        self._done.wait(timeout)

    def _run(self) -> None:
        told = 0
        while (record := self._queue.get()) is not None:
            if self.dropped > told:
                told = self._tell(told)
            self._write(self.format(record))
        if self.dropped > told:
            self._tell(told)
        self._done.set()

    def _tell(self, told: int) -> int:
        now = self.dropped
        notice = logging.makeLogRecord({"name": __name__, "levelname": "WARNING"})
        notice.msg = f"dropped {now - told} log lines: stderr did not keep up"
        notice.__dict__["context"] = (self._context.node, self._context.term, self._context.role)
        self._write(self.format(notice))
        return now

    def _write(self, line: str) -> None:
        data = line.encode("utf-8", "backslashreplace") + b"\n"
        while data:
            try:
                data = data[os.write(self._fd, data) :]
            except BlockingIOError:
                time.sleep(0.05)  # somebody made the shared stderr non-blocking
            except OSError:
                self.dropped += 1  # closed: there is nobody left to tell
                return


def start(context: Context, *, level: str, style: str, lines: int, fd: int = 2) -> QueueingHandler:
    """Route all logging of this process through one queueing handler.

    style: auto, console or json. Called once, on the main thread; call `stop` on the result last.
    """
    console = style == "console" or (style == "auto" and os.isatty(fd))
    handler = QueueingHandler(
        fd, context, ConsoleFormatter() if console else JsonFormatter(), lines
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.raiseExceptions = False
    return handler


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


def _stack(exc_info: Any) -> str:
    """Its beginning and its end, where the error's own words are, which may be a caller's."""
    text = "".join(traceback.format_exception(*exc_info))
    if len(text) <= STACK_CHARS_MAX:
        return text
    half = STACK_CHARS_MAX // 2
    return f"{text[:half]}\n... {len(text) - 2 * half} characters ...\n{text[-half:]}"


def _word(value: Any) -> str:
    if isinstance(value, dict):
        return json.dumps(value, default=str)
    text = str(value)
    return text if text.isprintable() and text and " " not in text else json.dumps(text)


def _timestamp(created: float) -> str:
    whole = time.gmtime(created)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', whole)}.{int(created % 1 * 1000):03d}Z"
