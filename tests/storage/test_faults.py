"""The disk refuses: every operation once, with every error. Then retry, or start again and look."""

from __future__ import annotations

import errno
import random
from collections.abc import Callable

import pytest

from raftd.storage.errors import LogFailed, NoSpace
from tests.conftest import Count
from tests.storage.memory_fs import CHANGING, MemoryFileSystem, Operation, ShortWrite
from tests.storage.model import Session, Step, entry, still_works, story

Hook = Callable[[Operation], None]


def fail_at(number: int, error: int, only: frozenset[str] | None = None) -> Hook:
    """A hook: operation `number` (of the kinds `only`) fails, once."""
    left = number

    def hook(operation: Operation) -> None:
        nonlocal left
        if only is not None and operation.name not in only:
            return
        left -= 1
        if left == -1:
            raise OSError(error, "injected", operation.path)

    return hook


def short_at(number: int, keep: Callable[[int], int], error: int) -> Hook:
    """A hook: write `number` stops on the way, once."""
    left = number

    def hook(operation: Operation) -> None:
        nonlocal left
        if operation.name != "write":
            return
        left -= 1
        if left == -1:
            raise ShortWrite(keep(operation.size), OSError(error, "injected", operation.path))

    return hook


def operations(only: frozenset[str] | None) -> int:
    """How many there are to fail."""
    fs = MemoryFileSystem()
    seen = 0

    def hook(operation: Operation) -> None:
        nonlocal seen
        seen += only is None or operation.name in only

    fs.before = hook
    session = Session(fs)
    session.open()
    for step in story():
        step(session)
    return seen


def start(session: Session) -> None:
    session.open()


def live_on(hook: Hook, number: int) -> str:
    """The story with one fault in it. Returns how the fault came out."""
    fs = MemoryFileSystem(sector_bytes=(16, 512)[number % 2])
    session = Session(fs)
    fs.before = hook
    came_out = "nothing"
    steps: list[Step] = [start, *story()]
    for step in steps:
        try:
            step(session)
        except NoSpace:
            came_out = "retried"
            step(session)  # there is room again: the same call works, in the same life
        except OSError:
            came_out = "fatal"
            break
    if came_out == "fatal":
        check_latched(session)
        if number % 3:
            session.kill()
        else:
            session.power_cut(random.Random(number))
        session.open()
        session.power_cut(random.Random(number), keep=0.0)
        session.open()
    still_works(session)
    return came_out


def check_latched(session: Session) -> None:
    """A log that failed takes nothing any more. (The fault may have hit a snapshot instead.)"""
    if session.directory is None or session.live.wal._failed is None:
        return
    before = session.fs.files()
    wal = session.live.wal
    attempts: list[Callable[[], None]] = [
        lambda: wal.commit([session.write(entries=(entry(session.acked.last + 1, 9),))]),
        wal.idle,
        lambda: wal.release(1),
    ]
    for attempt in attempts:
        with pytest.raises(LogFailed, match="restart the node"):
            attempt()
    wal.close()
    assert session.fs.files() == before


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC])
def test_every_operation_fails_once(error: int, count: Count) -> None:
    total = operations(None)
    counts: dict[str, int] = {}
    for number in range(total):
        came_out = live_on(fail_at(number, error), number)
        counts[came_out] = counts.get(came_out, 0) + 1
    if error == errno.EIO:
        assert "retried" not in counts, "an input/output error is never retried"
    else:
        assert counts["retried"] > 20
    for came_out, number in counts.items():
        count(f"{errno.errorcode[error]} at every operation: {came_out}", number)


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC])
def test_every_write_stops_short(error: int, count: Count) -> None:
    total = operations(frozenset({"write"}))
    counts: dict[str, int] = {}
    for number in range(total):
        for keep in (lambda size: 1, lambda size: size // 2, lambda size: size - 1):
            came_out = live_on(short_at(number, keep, error), number)
            counts[came_out] = counts.get(came_out, 0) + 1
    assert counts["fatal"] > 20
    for came_out, number in counts.items():
        count(f"short writes, then {errno.errorcode[error]}: {came_out}", number)


@pytest.mark.parametrize("name", ["write", "datasync"])
@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC])
def test_a_commit_that_fails_is_fatal_whatever_the_error(name: str, error: int) -> None:
    session = Session(MemoryFileSystem(), 1 << 16)
    session.open()
    session.append(entry(1, 1))
    session.fs.before = fail_at(0, error, frozenset({name}))
    with pytest.raises(OSError) as caught:
        session.append(entry(2, 1))
    assert caught.value.errno == error
    assert not isinstance(caught.value, NoSpace)
    assert session.live.wal._failed is caught.value
    check_latched(session)


def test_a_failed_sync_is_believed_only_after_reading_back() -> None:
    """The write is in the cache, the sync failed, the process starts again: the entry is gone."""
    session = Session(MemoryFileSystem(), 1 << 16)
    session.open()
    session.append(entry(1, 1))
    session.fs.before = fail_at(0, errno.EIO, frozenset({"datasync"}))
    with pytest.raises(OSError, match="injected"):
        session.append(entry(2, 1))
    session.kill()
    session.open()
    assert session.acked.last == 1
    session.append(entry(2, 2))
    session.power_cut(random.Random(0), keep=0.0)
    session.open()
    assert session.acked.entries[2].term == 2


def test_full_disk_refuses_the_roll_and_heals() -> None:
    """No room for the next segment: nothing is written; room comes; it goes on."""
    fs = MemoryFileSystem()
    session = Session(fs, 2000)
    session.open()
    fs.capacity_bytes = fs.used_bytes() + 500
    refused = 0
    for index in range(1, 40):
        try:
            session.append(entry(index, 1, 200))
        except NoSpace:
            refused += 1
            before = fs.files()
            with pytest.raises(NoSpace, match="make room"):
                session.append(entry(index, 1, 200))
            assert fs.files() == before
            fs.capacity_bytes = fs.used_bytes() + 2500
            session.append(entry(index, 1, 200))
    assert refused >= 2
    session.power_cut(random.Random(0), keep=0.0)
    session.open()
    assert session.acked.last == 39


def test_full_disk_lets_a_small_write_through_while_the_segment_has_room() -> None:
    fs = MemoryFileSystem()
    session = Session(fs, 2000)
    session.open()
    fs.capacity_bytes = fs.used_bytes()
    session.append(entry(1, 1, 100))
    with pytest.raises(NoSpace):
        session.append(entry(2, 1, 5000))
    session.append(entry(2, 1, 100))


def test_full_disk_while_a_snapshot_is_made_or_received() -> None:
    fs = MemoryFileSystem()
    session = Session(fs, 2000)
    session.open()
    session.append(entry(1, 1))
    fs.capacity_bytes = fs.used_bytes() + 50
    for received in (False, True):
        with pytest.raises(NoSpace):
            session.snapshot(1, 1, received=received)
    assert not [path for path in fs.files() if path.endswith(".tmp")]
    fs.capacity_bytes = None
    session.mark(session.snapshot(1, 1))
    session.kill()
    session.open()


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EACCES])
def test_a_snapshot_that_finds_no_room_for_its_name_leaves_nothing(error: int) -> None:
    """Some file systems need room to rename. The story without it: one that was received ended the
    process, and each attempt at one of our own left a whole one behind on the full disk.
    """
    fs = MemoryFileSystem()
    session = Session(fs, 2000)
    session.open()
    session.append(entry(1, 1))
    for received in (False, True):
        fs.before = fail_at(0, error, frozenset({"rename"}))
        with pytest.raises(NoSpace if error == errno.ENOSPC else PermissionError):
            session.snapshot(1, 1, received=received)
        assert not [path for path in fs.files() if path.endswith((".tmp", ".snap"))]
    session.mark(session.snapshot(1, 1))
    session.kill()
    session.open()


def test_there_are_faults_to_inject() -> None:
    assert operations(CHANGING) > 150
