"""What waits for its turn to enter the log, while its node comes to take nothing any more."""

from __future__ import annotations

import asyncio
import threading

import pytest

from raftd.node.outcomes import Applied, Outcome, Refused
from raftd.node.settings import NodeSettings
from raftd.wire.batch import encode_batch
from raftd.wire.session_id import INDEX, NONCE_BYTES
from tests.node.alone import Diary, plain, running
from tests.storage.memory_fs import MemoryFileSystem


@pytest.mark.parametrize("what", ["disk", "state"])
def test_what_waits_its_turn_is_refused_once_nothing_is_taken(what: str) -> None:
    """The story without it: the leader's disk was full, and it went on to write what had waited."""

    async def go() -> None:
        settings = NodeSettings(light_bytes=100, bulk_bytes_max=300)
        diary = Diary(quick=False)
        gate = threading.Event()
        async with running(diary, MemoryFileSystem(), settings) as bench:
            await bench.submit(plain(b"x"))
            diary.on = lambda told, detail: gate.wait(10) if told == "apply" else None  # type: ignore[assignment]
            node, ends = bench.node, {name: list[Outcome]() for name in "lab"}
            node.submit(plain(b"l"), ends["l"].append)
            for name in "ab":
                node.submit(in_session(name, bytes(200)), ends[name].append)
            await asyncio.sleep(0)
            if what == "disk":
                node._clients._room.lacking = "full"
            else:
                node._clients._wellbeing.refusal = lambda: "its state differs"  # type: ignore[method-assign]
            gate.set()
            await bench.until(lambda: all(ends.values()))
            assert isinstance(ends["l"][0], Applied)
            for name in "ab":
                (end,) = ends[name]
                assert isinstance(end, Refused), name
            node._clients._room.lacking = ""

    asyncio.run(go())


def in_session(name: str, command: bytes) -> bytes:
    session = name.encode().ljust(NONCE_BYTES, b"-") + INDEX.pack(1)
    return encode_batch(session, 0, [(1, command)])
