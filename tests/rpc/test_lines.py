"""A peer that comes back at another address behind the same name is found again soon."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import grpc.aio
import pytest

from raftd.core import messages as m
from raftd.rpc import lines
from raftd.rpc.channels import LinkSettings, peer_channel
from raftd.rpc.directory import PeerAddress
from tests.rpc.fakes import PATIENT, append, one_side, until

NAME = "moving.peer:7001"
QUICK = replace(PATIENT, renew_after=0.2)


class Names:
    """What the name stands for now, asked once per channel, as a look-up that is not repeated."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = "127.0.0.1:1"
        monkeypatch.setattr(lines, "peer_channel", self._channel)

    def _channel(self, address: str, settings: LinkSettings) -> grpc.aio.Channel:
        return peer_channel(self.now if address == NAME else address, settings)


def test_a_peer_that_moved_is_found_on_every_channel(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        names = Names(monkeypatch)
        async with one_side("n1", QUICK) as one, one_side("n2", QUICK) as two:
            one.directory.advertise("n2", PeerAddress(NAME, ""))
            owed = one.node.owed
            owed["n2", m.Channel.APPEND].append(append(1))
            one.peers.wake("n2", m.Channel.APPEND)
            outlet = one.peers._outlets["n2"]
            await until(lambda: outlet.lines[m.Channel.APPEND].renewals, "a look at the name")
            assert not two.node.stepped
            names.now = two.peer_address
            await until(lambda: one.node.replies, "the append's answer from the new address")
            owed["n2", m.Channel.CONTROL].append(m.VoteRequest(4, "n1", 9, 3, number=2))
            one.peers.wake("n2", m.Channel.CONTROL)
            await until(lambda: len(one.node.replies) == 2, "the vote")
            seen = [line.renewals for line in outlet.lines.values()]
            settled = asyncio.get_running_loop().time() + 3 * QUICK.renew_after
            await until(lambda: asyncio.get_running_loop().time() > settled, "three more looks")
            assert [line.renewals for line in outlet.lines.values()] == seen, "connected: no more"

    asyncio.run(main())


def test_what_is_in_flight_when_a_line_is_renewed_is_settled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        Names(monkeypatch)
        async with one_side("n1", QUICK) as one:  # asserts in the end that nothing got lost
            one.directory.advertise("n2", PeerAddress(NAME, ""))
            for number in range(1, 200):
                request = m.VoteRequest(4, "n1", 9, 3, number=number)
                one.node.owed["n2", m.Channel.CONTROL].append(request)
                one.peers.wake("n2", m.Channel.CONTROL)
                await asyncio.sleep(0.003)
            await until(lambda: len(one.node.lost) == 199, "every vote request reported")

    asyncio.run(main())


def test_a_number_is_not_looked_up_again() -> None:
    async def main() -> None:
        line = lines.Line("127.0.0.1:1", replace(PATIENT, renew_after=0.0))
        line.look()
        assert line.renewals == 0
        await line.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("address", "literal"),
    [
        ("127.0.0.1:7001", True),
        ("[::1]:7001", True),
        ("[fe80::1%eth0]:7001", True),
        ("raftd-n1:7001", False),
        ("10.example:7001", False),
    ],
)
def test_names_and_numbers_are_told_apart(address: str, literal: bool) -> None:
    assert lines.is_literal(address) is literal
