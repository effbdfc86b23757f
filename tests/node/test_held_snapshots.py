"""A snapshot that is being copied stays on the disk, whatever newer ones there are."""

from __future__ import annotations

import asyncio
import zlib

from tests.node.alone import Bench, Diary, plain, running
from tests.storage.memory_fs import MemoryFileSystem


def names(fs: MemoryFileSystem) -> list[str]:
    return sorted(name for name in fs.files() if name.endswith(".snap"))


async def newer(bench: Bench) -> None:
    """Something is applied, and a snapshot taken after it."""
    await bench.submit(plain(b"x"))
    done: list[object] = []
    bench.node.snapshot_now(done.append)
    await bench.until(lambda: done)


def test_a_held_snapshot_stays_until_it_is_released() -> None:
    async def go() -> None:
        fs = MemoryFileSystem()
        async with running(Diary(quick=True), fs) as bench:
            node = bench.node
            assert node.hold_snapshot() is None
            await newer(bench)
            held = node.hold_snapshot()
            assert held is not None
            first = names(fs)
            for _ in range(3):
                await newer(bench)
            await bench.until(lambda: len(names(fs)) < 4)
            assert first[0] in names(fs)
            data = await node.read_snapshot(held, 0)
            assert (len(data), zlib.crc32(data)) == (held.size_bytes, held.crc)
            assert await node.read_snapshot(held, len(data)) == b""
            node.release_snapshot(held)
            await bench.until(lambda: first[0] not in names(fs))

    asyncio.run(go())
