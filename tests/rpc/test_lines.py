"""A peer that comes back at another address behind the same name is found again soon."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from raftd.core import messages as m
from raftd.names import Names, NameUnknown, is_literal, numbers_of, target_of
from raftd.rpc.api import CannotMeet
from raftd.rpc.directory import PeerAddress
from raftd.rpc.peers import lines
from raftd.rpc.peers.transport import LinkSettings
from tests.rpc.fakes import PATIENT, Side, append, one_side, until

NAME = "moving.peer:7001"
WAIT_SECONDS = 10.0
QUICK = replace(PATIENT, renew_after=0.2)


class Book:
    """What the names stand for now: the system's resolver, as far as the code can tell."""

    def __init__(self) -> None:
        self.port = 1
        self.asked: list[str] = []
        self.silent = threading.Event()
        self.silent.set()

    def __call__(self, host: str, port: int, **_: object) -> list[tuple[Any, ...]]:
        self.asked.append(host)
        if host.startswith("silent"):
            self.silent.wait(WAIT_SECONDS)
        if host != "moving.peer":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", self.port))]


@contextlib.asynccontextmanager
async def naming(book: Book, link: LinkSettings = QUICK) -> AsyncIterator[Side]:
    names = Names(book)
    async with one_side("n1", link, names=names) as one:
        yield one


def test_a_peer_that_moved_is_found_on_every_channel() -> None:
    async def main() -> None:
        book = Book()
        async with naming(book) as one, one_side("n2", QUICK) as two:
            one.directory.advertise("n2", PeerAddress(NAME, ""))
            owed = one.node.owed
            owed["n2", m.Channel.APPEND].append(append(1))
            one.peers.wake("n2", m.Channel.APPEND)
            outlet = one.peers._outlets["n2"]
            await until(lambda: len(book.asked) > 1, "a second look at the name")
            assert not two.node.stepped
            book.port = two.servers.peer_port
            await until(lambda: one.node.replies, "the append's answer from the new address")
            owed["n2", m.Channel.CONTROL].append(m.VoteRequest(4, "n1", 9, 3, number=2))
            one.peers.wake("n2", m.Channel.CONTROL)
            await until(lambda: len(one.node.replies) == 2, "the vote")
            seen = [line.renewals for line in outlet.lines.values()]
            settled = asyncio.get_running_loop().time() + 3 * QUICK.renew_after
            await until(lambda: asyncio.get_running_loop().time() > settled, "three more looks")
            assert [line.renewals for line in outlet.lines.values()] == seen, "connected: no more"

    asyncio.run(main())


def test_a_silent_name_server_holds_nobody_but_its_name() -> None:
    """One peer's look-up hangs; the other peer answers, and the loop never waits."""

    async def main() -> None:
        book = Book()
        book.silent.clear()
        async with naming(book) as one, one_side("n2", QUICK) as two:
            one.directory.advertise("n3", PeerAddress("silent.peer:7001", ""))
            one.directory.advertise("n2", PeerAddress(two.peer_address, ""))
            for peer in ("n3", "n2"):
                request = m.VoteRequest(4, "n1", 9, 3, number=len(one.node.owed) + 1)
                one.node.owed[peer, m.Channel.CONTROL].append(request)
                one.peers.wake(peer, m.Channel.CONTROL)
            began = asyncio.get_running_loop().time()
            await until(lambda: one.node.replies and one.node.lost, "an answer and a report")
            assert asyncio.get_running_loop().time() - began < WAIT_SECONDS / 2
            assert not await one.peers.probe("n3")
            book.silent.set()

    asyncio.run(main())


def test_a_name_that_nobody_knows_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        book = Book()
        async with naming(book) as one:
            one.directory.advertise("n2", PeerAddress("unknown.peer:7001", ""))
            one.node.owed["n2", m.Channel.CONTROL].append(m.VoteRequest(4, "n1", 9, 3, number=1))
            one.peers.wake("n2", m.Channel.CONTROL)
            await until(lambda: len(book.asked) > 4 and one.node.lost, "several look-ups")

    asyncio.run(main())
    assert [record.getMessage() for record in caplog.records] == [
        "n2: unknown.peer:7001: the name has no address: Name or service not known; asking on"
    ]


def test_what_is_in_flight_when_a_line_is_renewed_is_settled() -> None:
    async def main() -> None:
        book = Book()
        async with naming(book) as one:  # asserts in the end that nothing got lost
            one.directory.advertise("n2", PeerAddress(NAME, ""))
            for number in range(1, 200):
                request = m.VoteRequest(4, "n1", 9, 3, number=number)
                one.node.owed["n2", m.Channel.CONTROL].append(request)
                one.peers.wake("n2", m.Channel.CONTROL)
                book.port = 1 + number % 2
                await asyncio.sleep(0.003)
            await until(lambda: len(one.node.lost) == 199, "every vote request reported")

    asyncio.run(main())


def test_a_number_is_not_looked_up() -> None:
    async def main() -> None:
        book = Book()
        line = lines.Line("127.0.0.1:1", replace(PATIENT, renew_after=0.0), Names(book), "n2")
        line.look()
        assert (line.renewals, book.asked) == (0, [])
        await line.close()

    asyncio.run(main())


def test_a_line_is_in_doubt_once_in_a_while_and_never_for_calls_of_its_forerunner() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        line = lines.Line("127.0.0.1:1", replace(PATIENT, renew_after=0.05), Names(Book()), "n2")
        before = loop.time() - 1
        assert not line.doubt(loop.time()), "too new"
        await until(lambda: line.doubt(loop.time()), "old enough")
        await until(lambda: loop.time() - line._opened > 0.05, "old enough again")
        assert not line.doubt(before), "sent on the connection before"
        assert line.renewals == 1
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
    assert is_literal(address) is literal


@pytest.mark.parametrize(
    ("hosts", "target"),
    [
        (["10.0.0.1"], "ipv4:10.0.0.1:7"),
        (["10.0.0.1", "10.0.0.2", "10.0.0.1"], "ipv4:10.0.0.1:7,10.0.0.2:7"),
        (["::1"], "ipv6:[::1]:7"),
        (["::1", "10.0.0.1"], "ipv6:[::1]:7,[::ffff:10.0.0.1]:7"),
    ],
)
def test_addresses_of_both_families_fit_into_one_target(hosts: list[str], target: str) -> None:
    assert target_of([(host, 7) for host in hosts]) == target
    bare = [f"[{host}]:7" if ":" in host else f"{host}:7" for host in dict.fromkeys(hosts)]
    assert numbers_of(target) == bare
    assert numbers_of("n1.example:7") == ["n1.example:7"]


def test_who_asks_for_one_name_together_shares_one_look_up() -> None:
    book = Book()
    book.silent.clear()
    names = Names(book)
    first, second = names.look_up("silent.peer:1"), names.look_up("silent.peer:1")
    assert first is second
    assert not first.cancel(), "others wait for it"
    book.silent.set()
    with pytest.raises(NameUnknown, match=r"silent\.peer:1: the name has no address: Name or"):
        first.result(WAIT_SECONDS)
    assert book.asked == ["silent.peer"]


def test_a_look_up_that_hangs_is_overtaken_by_a_later_one() -> None:
    """The name server is back long before the system gives up on the question that it missed."""
    book, hang = Book(), threading.Event()
    now = [0.0]

    def first_hangs(host: str, port: int, **kind: object) -> list[tuple[Any, ...]]:
        found = book(host, port, **kind)
        if len(book.asked) == 1:
            hang.wait(WAIT_SECONDS)
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return found

    names = Names(first_hangs, lambda: now[0])
    first = names.look_up(NAME)
    assert names.look_up(NAME) is first
    now[0] += 5.0
    assert names.look_up(NAME) is first
    assert first.result(WAIT_SECONDS) == "ipv4:127.0.0.1:1"
    hang.set()
    assert names.known(NAME) == "ipv4:127.0.0.1:1"


def test_another_node_at_the_old_address_does_not_keep_the_line() -> None:
    """The story without it: two containers came back with each other's addresses. The connections
    stood, every call was refused, and nobody looked the names up again.
    """

    async def main() -> None:
        book = Book()
        async with (
            naming(book) as one,
            one_side("n2", QUICK) as two,
            one_side("n3", QUICK) as three,
        ):
            book.port = three.servers.peer_port
            one.directory.advertise("n2", PeerAddress(NAME, ""))
            number = 0

            def offer(arrived: object) -> bool:
                """As the core does: what is refused is owed again."""
                nonlocal number
                if not arrived and len(one.node.lost) == number:
                    number += 1
                    vote = m.VoteRequest(4, "n1", 9, 3, number=number)
                    one.node.owed["n2", m.Channel.CONTROL].append(vote)
                    one.peers.wake("n2", m.Channel.CONTROL)
                return bool(arrived)

            await until(lambda: offer(one.node.lost), "a refusal by n3")
            assert not three.node.stepped
            book.port = two.servers.peer_port
            await until(lambda: offer(one.node.replies), "the answer of n2")
            assert two.node.stepped

    asyncio.run(main())


def test_a_node_that_says_that_it_has_moved_is_called_there() -> None:
    """It had said so in its Hello, and was called at the old address until the members changed."""

    async def main() -> None:
        async with one_side("n1") as one, one_side("n2") as two, one_side("n2") as moved:
            one.directory.advertise("n2", PeerAddress(two.peer_address, ""))
            one.node.owed["n2", m.Channel.APPEND].append(append(1))
            one.peers.wake("n2", m.Channel.APPEND)
            await until(lambda: two.node.stepped, "a message at the old address")
            one.node.owed["n2", m.Channel.APPEND].append(append(2))
            one.directory.advertise("n2", PeerAddress(moved.peer_address, ""))
            await until(lambda: moved.node.stepped, "the next one at the new address")
            assert two.node.stepped == [append(1)]
            outlet = one.peers._outlets["n2"]
            one.directory.advertise("n2", PeerAddress(moved.peer_address, "elsewhere:2"))
            assert one.peers._outlets["n2"] is outlet, "its peers' address is the same"

    asyncio.run(main())


def test_a_node_whose_name_is_not_found_in_time_cannot_be_met_and_the_line_says_why() -> None:
    """The line ended after its colon."""

    async def main() -> None:
        book = Book()
        book.silent.clear()
        async with naming(book, replace(QUICK, meet_timeout=0.1)) as one:
            with pytest.raises(CannotMeet, match=r"silent.peer:7001: .*not found within 0\.1 s"):
                await one.peers.meet("n3", "silent.peer:7001")
            book.silent.set()

    asyncio.run(main())
