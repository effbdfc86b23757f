"""systemd is told what it asks for, and only that."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from raftd.daemon.supervisor import Supervisor


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        bound.bind(str(tmp_path / "notify"))
        bound.settimeout(5)
        yield bound


def test_it_hears_of_start_life_and_stop(listener: socket.socket) -> None:
    told = Supervisor({"NOTIFY_SOCKET": listener.getsockname(), "WATCHDOG_USEC": "3000000"})
    assert told.beat_seconds == 1.5
    told.serving()
    told.alive(["the network thread has been silent for 11 s"])
    told.alive([])
    told.stopping()
    heard = [listener.recv(100) for _ in range(3)]
    assert heard == [b"READY=1", b"WATCHDOG=1", b"STOPPING=1"]


def test_an_abstract_name() -> None:
    name = f"raftd-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        bound.bind("\0" + name)
        bound.settimeout(5)
        Supervisor({"NOTIFY_SOCKET": "@" + name}).serving()
        assert bound.recv(100) == b"READY=1"


def test_the_watchdog_of_another_process_and_nonsense_are_not_ours() -> None:
    assert Supervisor({"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}).beat_seconds is None
    assert Supervisor({"WATCHDOG_USEC": "soon"}).beat_seconds is None
    assert Supervisor({"WATCHDOG_USEC": "0"}).beat_seconds is None
    ours = {"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": str(os.getpid())}
    assert Supervisor(ours).beat_seconds == 0.5


def test_nobody_there_is_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lonely = Supervisor({"NOTIFY_SOCKET": str(tmp_path / "nothing"), "WATCHDOG_USEC": "9"})
    lonely.serving()
    lonely.alive([])
    assert len(caplog.records) == 1
    Supervisor({}).serving()
    assert len(caplog.records) == 1
