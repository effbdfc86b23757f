"""Lines to whom the configuration does not name."""

from __future__ import annotations

import asyncio

import pytest

from raftd.core import messages as m
from raftd.core.types import Configuration
from raftd.rpc.peers import peers
from tests.rpc.fakes import two_sides, until
from tests.rpc.test_peers import APPEND, CONTROL, send


def test_the_lines_to_who_was_removed_close_also_if_they_open_late(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """n4 learned in one message that it votes and that n1 is gone, and called n1 for ever."""
    monkeypatch.setattr(peers, "STRANGER_SECONDS", 0.05)

    async def main() -> None:
        async with two_sides() as (one, _):
            one.peers.members(Configuration(("n1", "n3")))
            send(
                one, "n2", CONTROL, m.VoteRequest(4, "n1", 9, 3, pre=True, transfer=False, number=1)
            )
            await until(lambda: one.node.settled == 1, "an answer of a node that is no member")
            await until(lambda: "n2" not in one.peers._outlets, "its lines to close")
            one.node.leader = "n2"
            one.peers.wake("n2", APPEND)
            await asyncio.sleep(0.2)
            assert "n2" in one.peers._outlets, "it leads, so it may be asked"
            one.node.leader = "n3"
            await until(lambda: "n2" not in one.peers._outlets, "its lines to close")
            one.peers.members(Configuration(("n1", "n2", "n3")))
            one.peers.wake("n2", APPEND)
            await asyncio.sleep(0.2)
            assert "n2" in one.peers._outlets, "a member's stay"

    asyncio.run(main())
