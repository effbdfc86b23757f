"""A node of an application's objects whose start is broken off."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from raftd.config import Config
from raftd.embed import node as node_module
from raftd.embed import opening
from raftd.objects import Objects
from raftd.storage.directory import DataDirectory
from tests.embed.test_embed import SECONDS, config
from tests.objects.shop import Shop


@pytest.mark.parametrize("moment", ["under way", "just done"])
def test_who_is_cancelled_while_the_node_starts_has_no_node(
    tmp_path: Path, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`async with` is left without its end then: the node ran on, and nobody could stop it."""
    begun, go_on = threading.Event(), threading.Event()
    real = opening.open_data

    def open_data(given: Config) -> DataDirectory:
        begun.set()
        assert go_on.wait(SECONDS)
        return real(given)

    monkeypatch.setattr(node_module, "open_data", open_data)
    shop: Objects = Shop.open(config(tmp_path))

    async def enter() -> None:
        async with shop:
            raise AssertionError("it was cancelled")

    async def whole() -> None:
        entering: asyncio.Task[Any] = asyncio.create_task(enter())
        await asyncio.to_thread(begun.wait, SECONDS)
        if moment == "just done":
            go_on.set()
            while not any(each.name == "raft-net" for each in threading.enumerate()):
                await asyncio.sleep(0.001)
        entering.cancel()
        await asyncio.sleep(0)
        go_on.set()
        await asyncio.wait((entering,), timeout=SECONDS)
        assert entering.cancelled()

    asyncio.run(whole())
    left = [each.name for each in threading.enumerate() if each.name.startswith("raft-")]
    shop.stop()
    assert not left
