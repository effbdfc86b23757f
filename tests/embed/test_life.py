"""The life of a node in somebody's process where it is not as planned: broken off, tried again."""

from __future__ import annotations

import errno
import os
import signal
import socket
import threading
from pathlib import Path
from types import FrameType

import pytest

from examples.counter import Counter
from raftd.embed import CannotStart, RaftNode
from raftd.node import node as node_module
from raftd.storage.fs import OsFile
from tests.embed.test_embed import SECONDS, Watch, config, led, until


def test_a_node_that_could_not_start_is_not_started_again(tmp_path: Path) -> None:
    """It started, served its ports, and refused each call of its host as `the node has stopped`."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        node = RaftNode(config(tmp_path, listen_client=address), Counter())
        with pytest.raises(CannotStart, match="listen_client"):
            node.start()
    with pytest.raises(RuntimeError, match="make another one, and a new machine"):
        node.start()
    node.stop()
    with RaftNode(config(tmp_path), Counter()) as again:
        assert led(again).submit(b"1").result(SECONDS) == b"1"


def test_one_whose_directory_was_in_use_may_be_started_again(tmp_path: Path) -> None:
    second = RaftNode(config(tmp_path), Counter())
    with RaftNode(config(tmp_path), Counter()), pytest.raises(CannotStart, match="lock"):
        second.start()
    with second:
        assert led(second).submit(b"1").result(SECONDS) == b"1"


def test_a_port_that_is_forbidden_does_not_get_better(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who runs the tests may be root: so it is the system that is played."""

    def bind(_: socket.socket, __: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(socket.socket, "bind", bind)
    with pytest.raises(CannotStart, match=r"Permission denied; a port below 1024") as told:
        RaftNode(config(tmp_path), Counter()).start()
    assert not told.value.later
    assert not told.value.of_data


class Interrupting(Counter):
    """Somebody presses Ctrl-C while the node starts."""

    def __init__(self, interrupted: threading.Event) -> None:
        super().__init__()
        self.interrupted = interrupted

    def attach(self, node: object) -> None:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        assert self.interrupted.wait(SECONDS)


def test_a_start_that_is_broken_off_leaves_nothing_behind(tmp_path: Path) -> None:
    """It ran on, with its ports open and its directory locked, and nobody could stop it."""
    interrupted = threading.Event()

    def handler(_number: int, _frame: FrameType | None) -> None:
        interrupted.set()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, handler)
    threads = set(threading.enumerate())
    try:
        with pytest.raises(KeyboardInterrupt):
            RaftNode(config(tmp_path), Interrupting(interrupted)).start()
    finally:
        signal.signal(signal.SIGINT, before)
    left = set(threading.enumerate()) - threads
    assert not [thread.name for thread in left if thread.name.startswith("raft-")]
    with RaftNode(config(tmp_path), Counter()) as again:
        led(again)


def test_a_log_whose_thread_hangs_is_left_alone_by_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that takes nothing more: `stop` wrote beside the thread that was waiting for it."""
    hangs, go_on = threading.Event(), threading.Event()
    touched: list[str] = []
    real = {name: getattr(OsFile, name) for name in ("datasync", "close", "write")}

    def datasync(file: OsFile) -> None:
        if threading.current_thread().name == "raft-wal" and armed.is_set():
            hangs.set()
            assert go_on.wait(SECONDS)
        real["datasync"](file)

    def noted(name: str) -> object:
        def call(file: OsFile, *given: object) -> object:
            if hangs.is_set() and not go_on.is_set():
                touched.append(f"{name} by {threading.current_thread().name}")
            return real[name](file, *given)

        return call

    armed = threading.Event()
    monkeypatch.setattr(node_module, "STOP_SECONDS", 0.2)
    monkeypatch.setattr(OsFile, "datasync", datasync)
    for name in ("close", "write"):
        monkeypatch.setattr(OsFile, name, noted(name))
    watch = Watch()
    node = RaftNode(config(tmp_path), Counter(), fatal=watch)
    node.start()
    led(node)
    armed.set()
    node.submit(b"1")
    assert hangs.wait(SECONDS)
    node.stop()
    assert not touched
    assert "did not end in time" in watch.fatals[0]
    with pytest.raises(CannotStart, match="lock"):
        RaftNode(config(tmp_path), Counter()).start()
    go_on.set()
    until(lambda: not any(each.name == "raft-wal" for each in threading.enumerate()))
    node._directory.close()  # type: ignore[union-attr]
