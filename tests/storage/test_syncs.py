"""No promise before its sync, and no sync too many: leave out any one, and data are lost.

Every sync that storage makes is found by running it, and the list is compared with the source.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress

import pytest

from raftd.storage.errors import CorruptLog, StorageError
from tests.conftest import Count
from tests.storage import test_making
from tests.storage.memory_fs import CHANGING, MemoryFileSystem, Operation, PowerCut
from tests.storage.model import ROOT, Session, Violation, entry, run_until_cut, still_works, story
from tests.storage.recording_fs import (
    SYNCS,
    Recorder,
    Site,
    unsynced_promises,
    written_syncs,
)
from tests.storage.test_crash import operations_of_story


class CutAfter:
    """Recorder and power cut in one hook."""

    def __init__(self, fs: MemoryFileSystem, recorder: Recorder, number: int) -> None:
        self._fs = fs
        self._recorder = recorder
        self._left = number

    def __call__(self, operation: Operation) -> None:
        if operation.name in CHANGING:
            if self._left == 0:
                self._fs.cut_power()
            self._left -= 1
        self._recorder(operation)


def reopen(session: Session, mute: Site | None) -> Recorder:
    """Open with the same sync missing."""
    recorder = Recorder(mute)
    session.fs.before = recorder
    session.open()
    session.fs.before = None
    return recorder


def torn_then_twice(mute: Site | None, seed: int, sites: dict[Site, int]) -> None:
    """A torn tail whose second batch survives: repaired once, it must not come back.

    Batch 2 (idle) lies across a sector's end: it is lost, batch 3 is not. The recovery that finds
    this writes the same idle batch again; without the repair's sync, batch 3 may then follow it.
    """
    rng = random.Random(seed)
    session = Session(MemoryFileSystem(sector_bytes=128), 4000)
    session.open()
    session.append(entry(1, 1, 20 + seed % 128))
    session.live.wal.idle()
    session.fs.before = CutAfter(session.fs, Recorder(), 1)
    assert run_until_cut(session, [lambda s: s.append(entry(2, 1, 10))])
    for _ in range(2):
        session.power_cut(rng, 0.5, garbage=False)
        sites.update(reopen(session, mute).sites)
    session.power_cut(rng, 0.5, garbage=False)
    session.open()


def half_made(mute: Site | None, seed: int, sites: dict[Site, int]) -> None:
    """The power goes while the directory is made: it can always be made, or opened, again."""
    fs = MemoryFileSystem()
    recorder = Recorder(mute)
    fs.before = CutAfter(fs, recorder, seed % 16)
    session = Session(fs)
    run_until_cut(session, [])
    sites.update(recorder.sites)
    session.power_cut(random.Random(seed))
    still_works(session)


def restore_cut(mute: Site | None, seed: int, sites: dict[Site, int]) -> None:
    """The power goes while a directory is restored: no node begins an empty cluster in it.

    Only the syncs of making.py itself are of this case; how each file is synced is of others.
    """
    fs = MemoryFileSystem()
    recorder = Recorder(mute)
    fs.before = CutAfter(fs, recorder, seed % 32)
    with suppress(PowerCut):
        test_making.made(fs)
    sites.update({site: n for site, n in recorder.sites.items() if site.line.startswith("making:")})
    begun = f"{test_making.ROOT}/0000000000000001.wal" in fs.files()
    fs.crash(random.Random(seed), keep=(0.0, 0.5, 0.8)[seed % 3])
    try:
        cluster, _ = test_making.started(fs)
    except StorageError:
        return
    if begun and cluster != "restored":
        raise Violation("a node began empty where a restore was cut off")


def closed_then_flipped(mute: Site | None, seed: int, sites: dict[Site, int]) -> None:
    """After an orderly stop, damage to the acknowledged tail is never taken for a torn write."""
    session = Session(MemoryFileSystem(), 4000)
    session.open()
    session.append(entry(1, 1, 50))
    path = f"{ROOT}/0000000000000001.wal"
    at = session.fs.files()[path].index(b"1/1/0:")
    recorder = Recorder(mute)
    session.fs.before = recorder
    session.close()
    sites.update(recorder.sites)
    session.power_cut(random.Random(seed), keep=0.0)
    session.fs.poke(path, at, b"X")
    try:
        session.open()
    except CorruptLog:
        return
    raise Violation("a damaged acknowledged entry was dropped after an orderly stop")


def story_cut(mute: Site | None, seed: int, sites: dict[Site, int]) -> None:
    """The whole story, cut off after `seed` operations, in several ways."""
    fs = MemoryFileSystem(sector_bytes=(512, 16)[seed % 2])
    recorder = Recorder(mute)
    fs.before = CutAfter(fs, recorder, seed)
    session = Session(fs)
    run_until_cut(session, story())
    sites.update(recorder.sites)
    for keep in (0.0, 0.5, 0.8):
        other = session.fork()
        other.power_cut(random.Random(seed), keep)
        reopen(other, mute)
        other.power_cut(random.Random(seed))
        still_works(other)


def story_killed(mute: Site | None, seed: int, sites: dict[Site, int]) -> None:
    """The process is killed after `seed` operations; the power goes in its next life."""
    fs = MemoryFileSystem()
    recorder = Recorder(mute)
    fs.before = CutAfter(fs, recorder, seed)
    session = Session(fs)
    run_until_cut(session, story())
    sites.update(recorder.sites)
    for appends in (0, 1):
        other = session.fork()
        other.kill()
        sites.update(reopen(other, mute).sites)
        for _ in range(appends):
            other.append(entry(other.acked.last + 1, max(1, other.acked.hard_state.term)))
        other.power_cut(random.Random(seed), keep=0.0)
        still_works(other)


Case = Callable[["Site | None", dict[Site, int]], None]


def all_cases() -> list[Case]:
    ends = range(operations_of_story())
    families = (
        (closed_then_flipped, range(1)),
        (half_made, range(200)),
        (restore_cut, range(192)),
        (story_cut, ends),
        (story_killed, ends),
        (torn_then_twice, range(512)),
    )
    return [
        lambda mute, sites, play=play, seed=seed: play(mute, seed, sites)  # type: ignore[misc]
        for play, seeds in families
        for seed in seeds
    ]


def shows(case: Case, mute: Site | None) -> bool:
    """Whether something breaks without this sync."""
    try:
        case(mute, {})
    except (Violation, StorageError):
        return True
    return False


@pytest.mark.long
def test_every_sync_is_needed(count: Count) -> None:
    reached: dict[Site, list[Case]] = {}
    cases = all_cases()
    for case in cases:
        sites: dict[Site, int] = {}
        case(None, sites)
        for site in sites:
            reached.setdefault(site, []).append(case)
    assert {site.line for site in reached} == written_syncs(), "a sync that no case reaches"
    unnoticed = [
        str(site) for site, its in reached.items() if not any(shows(case, site) for case in its)
    ]
    assert unnoticed == [], "these could be left out without any test failing"
    count("syncs: places, each needed", len(reached))
    count("syncs: cases", len(cases))


def test_commit_returns_after_its_syncs() -> None:
    fs = MemoryFileSystem()
    session = Session(fs)
    session.open()
    checked = 0
    for step in story():
        before = session.seq
        step(session)
        if session.seq != before:
            assert unsynced_promises(fs) == []
            checked += 1
    assert checked > 10


def test_a_snapshot_is_durable_when_commit_returns() -> None:
    for received in (False, True):
        session = Session(MemoryFileSystem())
        session.open()
        session.append(entry(1, 1))
        session.snapshot(1, 1, received=received)
        assert [path for path in session.fs.unsynced() if "snapshots" in path] == []


def test_a_commit_costs_one_write_and_one_sync() -> None:
    session = Session(MemoryFileSystem(), 1 << 20)
    session.open()
    names: list[str] = []
    session.fs.before = lambda operation: names.append(operation.name)
    session.commit(
        session.write(entries=tuple(entry(i, 1, 300) for i in range(1, 40))),
        session.write(entries=(entry(40, 1),)),
    )
    assert names == ["write", "datasync"]


def test_idle_and_release_sync_nothing_that_a_commit_waits_for() -> None:
    session = Session(MemoryFileSystem(), 1 << 20)
    session.open()
    session.append(entry(1, 1))
    names: list[str] = []
    session.fs.before = lambda operation: names.append(operation.name)
    session.live.wal.idle()
    session.live.wal.idle()
    session.live.wal.release(1)
    assert names == ["write", "write"], "a mark in two places"
    assert not SYNCS & set(names)
