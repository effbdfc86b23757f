"""When the network thread may wait for the disk."""

from __future__ import annotations

from raftd.node.disk_pace import PAUSE_SECONDS_MAX, PAUSE_SECONDS_MIN, SYNC_SECONDS_MAX, DiskPace

QUICK = SYNC_SECONDS_MAX / 20


class Disk:
    def __init__(self) -> None:
        self.pace = DiskPace()
        self.now = 1000.0

    def sync(self, seconds: float, times: int = 1) -> None:
        for _ in range(times):
            self.now += seconds
            self.pace.took(seconds, self.now)

    def quick(self) -> bool:
        return self.pace.quick(self.now)


def test_one_slow_sync_among_quick_ones_changes_nothing() -> None:
    disk = Disk()
    for _ in range(20):
        disk.sync(QUICK, times=30)
        disk.sync(SYNC_SECONDS_MAX * 4)
        assert disk.quick()


def test_a_long_stall_does() -> None:
    disk = Disk()
    disk.sync(QUICK, times=30)
    disk.sync(0.3)
    assert not disk.quick()
    disk.sync(QUICK, times=100)
    assert not disk.quick()
    disk.now += PAUSE_SECONDS_MIN
    assert disk.quick()


def test_a_disk_that_stays_slow_is_not_waited_for() -> None:
    disk = Disk()
    for _ in range(500):
        disk.sync(SYNC_SECONDS_MAX * 2)
        if disk.now > 1000.0 + 40 * SYNC_SECONDS_MAX:
            assert not disk.quick()
    disk.sync(QUICK, times=100)
    disk.now += PAUSE_SECONDS_MIN
    assert disk.quick()


def test_the_pause_grows_with_each_stall_that_follows_and_has_an_end() -> None:
    disk = Disk()
    pauses = []
    for _ in range(12):
        disk.sync(0.3)
        at = disk.now
        disk.sync(QUICK, times=60)
        while not disk.quick():
            disk.now += 0.5
        pauses.append(disk.now - at)
    assert pauses == sorted(pauses)
    assert PAUSE_SECONDS_MIN <= pauses[0] < 2 * PAUSE_SECONDS_MIN
    assert PAUSE_SECONDS_MAX <= pauses[-1] < PAUSE_SECONDS_MAX + 2
    disk.sync(QUICK, times=20)
    disk.sync(0.3)
    at = disk.now
    disk.sync(QUICK, times=60)
    while not disk.quick():
        disk.now += 0.5
    assert disk.now - at < 2 * PAUSE_SECONDS_MIN
