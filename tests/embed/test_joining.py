"""A node that joins asks until it is in for good: a leader that is lost may not have added it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from examples.counter import Counter
from raftd.client import Client, Unavailable
from raftd.config import Config
from raftd.core.configuration_format import encode_configuration
from raftd.core.types import Configuration, Entry, EntryType, HardState, Identity, Member, Write
from raftd.embed import CannotStart, RaftNode, joining
from raftd.storage.fs import OsFileSystem
from raftd.storage.identity import Founding, IdentityFile
from raftd.storage.making import make_directory
from raftd.storage.snapshots import SnapshotFiles
from raftd.storage.wal import Wal
from tests.embed.test_embed import config

SEGMENT_BYTES = 1 << 20
ME = Identity("0" * 16, "n4", "4444")
VOTERS = ("n1", "n2", "n3")
WITH_IT = Configuration(VOTERS, ("n4",), about=(Member("n4", "a:1", "a:2", "4444"),))


class Asking:
    """In the place of `Joining`: what a node has asked of it."""

    made: list[Asking]

    def __init__(self, config: Config, is_in: Callable[[], bool]) -> None:
        self.is_in = is_in
        self.made.append(self)

    def start(self) -> None: ...

    def stop(self) -> None: ...


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Asking]:
    monkeypatch.setattr(Asking, "made", [], raising=False)
    monkeypatch.setattr(joining, "Joining", Asking)
    return Asking.made


def directory(root: Path, founding: Founding, *, admitted: bool) -> None:
    """Of n4, whose log ends with the entry that adds it, which may never be committed."""

    def fill(wal: Wal, snapshots: SnapshotFiles) -> None:
        entry = Entry(1, 1, EntryType.CONFIGURATION, encode_configuration(WITH_IT))
        write = Write(1, hard_state=HardState(1, None), entries=(entry,), admitted=admitted)
        wal.commit([write])

    make_directory(OsFileSystem(), str(root), IdentityFile(ME, founding), fill, SEGMENT_BYTES)


def started(root: Path) -> RaftNode:
    peers = {"n4": config(root).peers["n1"]}
    return RaftNode(config(root, id="n4", peers=peers, join="127.0.0.1:1"), Counter())


def test_an_entry_that_is_not_committed_takes_nobody_in(made: list[Asking], tmp_path: Path) -> None:
    """That leader was lost, the next one had no such entry, and nobody ever asked it."""
    directory(tmp_path / "n4", Founding(), admitted=False)
    with started(tmp_path / "n4") as node:
        assert node.state().configuration.is_member("n4")
        [asking] = made
        assert not asking.is_in()


def test_who_was_taken_in_does_not_ask_again(made: list[Asking], tmp_path: Path) -> None:
    directory(tmp_path / "n4", Founding(), admitted=True)
    with started(tmp_path / "n4"):
        assert made == []


def test_a_first_voter_does_not_ask(made: list[Asking], tmp_path: Path) -> None:
    """It waits for the other first voters, and no leader has to add it."""
    directory(tmp_path / "n4", Founding((*VOTERS, "n4")), admitted=False)
    with started(tmp_path / "n4"):
        assert made == []


def test_a_stop_does_not_wait_for_a_member_that_does_not_answer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It waited for the question that was under way, and for as long again."""
    monkeypatch.setattr(joining, "ASK_SECONDS", 60.0)
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        silent.settimeout(20)
        port = silent.getsockname()[1]
        directory(tmp_path / "n4", Founding(), admitted=False)
        peers = {"n4": config(tmp_path).peers["n1"]}
        settings = config(tmp_path / "n4", id="n4", peers=peers, join=f"127.0.0.1:{port}")
        node = RaftNode(settings, Counter())
        node.start()
        with silent.accept()[0]:
            began = time.monotonic()
            node.stop()
            assert time.monotonic() - began < 10
    assert not [one for one in threading.enumerate() if one.name == "raft-join"]


def test_when_nobody_answers_a_later_start_may_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(joining, "FIND_SECONDS", 0.0)
    peers = {"n4": config(tmp_path).peers["n1"]}
    settings = config(tmp_path / "n4", id="n4", peers=peers, join="127.0.0.1:1")
    with pytest.raises(CannotStart, match="join: nobody answers at") as told:
        RaftNode(settings, Counter()).start()
    assert told.value.later


def test_why_it_is_not_let_in_is_told_once_a_minute(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """The members answered in turn, each with other words, and each answer was a line of the log:
    forty thousand a night.
    """
    monkeypatch.setattr(joining, "AGAIN_SECONDS", 0.0)
    asked = list[int]()

    def refuses(*_: object) -> None:
        asked.append(1)
        member, seconds = len(asked) % 3, len(asked) / 7
        raise Unavailable(f"10.0.0.{member}:7002: no connection within {seconds:f} s")

    monkeypatch.setattr(Client, "change_member", refuses)
    one = joining.Joining(config(tmp_path, join="127.0.0.1:1"), lambda: len(asked) >= 60)
    one.start()
    one._thread.join(20)
    one.stop()
    assert len(asked) == 60
    assert len([each for each in caplog.messages if "not let in yet" in each]) == 1
