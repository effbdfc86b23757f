"""Peer and client ports with a secret and with TLS: who is let in, and who is told nothing."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import grpc
import grpc.aio
import pytest

from raftd._pb import raft_pb2, raft_pb2_grpc
from raftd.core import messages as m
from raftd.h2.channel import Channel
from raftd.h2.settings import ChannelSettings
from raftd.rpc.peers.envelope import Envelopes
from raftd.rpc.peers.security import PeerSecurity
from raftd.tls.certs import Authority
from raftd.tls.contexts import Tls, client_context, grpc_channel
from raftd.tls.files import TlsFiles
from raftd.tls.names import node_name
from tests.rpc.fakes import PATIENT, FakeNode, Side, append, introduce, one_side, until
from tests.tls.made import DAY, authority, files_of, node_files, now

CONTROL, APPEND = m.Channel.CONTROL, m.Channel.APPEND
SECRET = b"a secret that all nodes share"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    authority(tmp_path)
    for node in ("n1", "n2", "n3"):
        node_files(tmp_path, node)
    return tmp_path


@contextlib.asynccontextmanager
async def pair(one: PeerSecurity, two: PeerSecurity) -> AsyncIterator[tuple[Side, Side]]:
    async with (
        one_side("n1", replace(PATIENT, security=one)) as first,
        one_side("n2", replace(PATIENT, security=two)) as second,
    ):
        introduce(first, second)
        yield first, second


def tls_of(home: Path, node: str) -> PeerSecurity:
    return PeerSecurity(tls=Tls(files_of(home, node), node))


def send(side: Side, peer: str, channel: m.Channel, *requests: m.Request) -> None:
    side.node.owed[peer, channel].extend(requests)
    side.peers.wake(peer, channel)


async def talk(one: Side, number: int = 1) -> None:
    """n1 has a heartbeat and an append of n2's answered."""
    send(one, "n2", CONTROL, m.AppendRequest(3, "n1", 10, 2, (), 9, number=number))
    send(one, "n2", APPEND, append(number + 1))
    await until(lambda: len(one.node.replies) >= number + 1, "answers", 30)


@pytest.mark.parametrize("what", ["secret", "tls", "both"])
def test_peers_that_prove_themselves_understand_each_other(home: Path, what: str) -> None:
    def security(node: str) -> PeerSecurity:
        tls = Tls(files_of(home, node), node) if what != "secret" else None
        return PeerSecurity(SECRET if what != "tls" else b"", tls=tls)

    async def main() -> None:
        async with pair(security("n1"), security("n2")) as (one, two):
            await talk(one)
            assert await one.peers.probe("n2") is two.node.leads

    asyncio.run(main())


@pytest.mark.parametrize("other", ["nothing", "another secret", "plain text", "another authority"])
def test_whoever_proves_nothing_moves_nothing(home: Path, other: str) -> None:
    here = PeerSecurity(SECRET) if "secret" in other or other == "nothing" else tls_of(home, "n2")
    there = PeerSecurity()
    if other == "another secret":
        there = PeerSecurity(b"as long as it has to be")
    elif other == "another authority":
        strange = home / "elsewhere"
        authority(strange)
        there = PeerSecurity(tls=Tls(node_files(strange, "n1"), "n1"))

    async def main() -> None:
        async with pair(there, here) as (one, two):
            send(one, "n2", CONTROL, m.HelloRequest(one.node.identity, (), number=1))
            send(one, "n2", CONTROL, m.AppendRequest(3, "n1", 10, 2, (), 9, number=2))
            await until(lambda: len(one.node.lost) == 2, "both to be lost", 30)
            assert two.node.stepped == []
            assert two.directory.client_address("n1") == one.client_address  # what a test told it

    asyncio.run(main())


@pytest.mark.parametrize(
    "shown", ["nothing", "expired", "revoked", "another authority", "a client's", "another node's"]
)
def test_who_shows_the_wrong_certificate_is_not_heard(home: Path, shown: str) -> None:
    """At the port itself: who wants in does not look at his own certificate first."""
    files = files_of(home, "n1")
    if shown == "nothing":
        files = replace(files, cert="", key="")
    elif shown == "expired":
        files = node_files(home, "old", life=-datetime.timedelta(seconds=1))
    elif shown == "another authority":
        strange = node_files(home, "strange", signed_by=authority(home / "elsewhere"))
        files = replace(strange, ca=files.ca)
    elif shown == "a client's":
        Authority.load(home).client(home, "alice", now(), DAY)
        files = files_of(home, "alice")
    elif shown == "another node's":
        files = files_of(home, "n3")
    Authority.load(home).revoke(home, ["n1"] if shown == "revoked" else [], now())
    own = replace(files_of(home, "n2"), crl=str(home / "ca.crl"))

    async def main() -> None:
        async with one_side(
            "n2", replace(PATIENT, security=PeerSecurity(tls=Tls(own, "n2")))
        ) as two:
            sender = FakeNode("n1")
            envelope = Envelopes(sender.identity, sender.expected_incarnation).request_to("n2")
            async with Channel(
                two.peer_address,
                ChannelSettings(connect_timeout=10),
                context=client_context(files),
                server_name=node_name("n2"),
            ) as channel:
                stub: Any = raft_pb2_grpc.RaftStub(cast(Any, channel))
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await stub.Heartbeat(
                        raft_pb2.AppendRequest(envelope=envelope, term=3), timeout=30
                    )
            known = shown in ("a client's", "another node's")  # to the authority
            refused = grpc.StatusCode.FAILED_PRECONDITION if known else grpc.StatusCode.UNAVAILABLE
            assert caught.value.code() is refused, caught.value.details()
            assert two.node.stepped == []

    asyncio.run(main())


def test_a_stolen_certificate_is_one_node_and_not_all(home: Path) -> None:
    """n3's certificate, n1's name: n2 takes nothing; and n1 does not take n3 for n2."""

    async def main() -> None:
        async with one_side("n2", replace(PATIENT, security=tls_of(home, "n2"))) as two:
            sender = FakeNode("n1")
            envelope = Envelopes(sender.identity, sender.expected_incarnation).request_to("n2")
            options = [("grpc.ssl_target_name_override", node_name("n2"))]
            stolen = grpc_channel(files_of(home, "n3"))
            async with grpc.aio.secure_channel(two.peer_address, stolen, options) as channel:
                stub: Any = raft_pb2_grpc.RaftStub(channel)
                for method, kind in (
                    (stub.RequestVote, raft_pb2.VoteRequest),
                    (stub.Heartbeat, raft_pb2.AppendRequest),
                    (stub.Hello, raft_pb2.HelloRequest),
                    (stub.Probe, raft_pb2.ProbeRequest),
                ):
                    with pytest.raises(grpc.aio.AioRpcError) as caught:
                        await method(
                            kind(envelope=envelope, term=3)
                            if kind in _TERMS
                            else kind(envelope=envelope),
                            timeout=30,
                        )
                    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
                    assert "n3" not in (caught.value.details() or "")
            assert two.node.stepped == []
        impostor = PeerSecurity(tls=Tls(files_of(home, "n3"), "n3"))
        async with pair(tls_of(home, "n1"), impostor) as (one, two):
            send(one, "n2", CONTROL, m.AppendRequest(3, "n1", 10, 2, (), 9, number=1))
            await until(lambda: one.node.lost, "it to be lost", 30)
            assert two.node.stepped == []

    asyncio.run(main())


_TERMS = (raft_pb2.VoteRequest, raft_pb2.AppendRequest)


def test_new_certificates_count_without_a_restart(home: Path) -> None:
    """The old ones end; both ends are given new ones; connections that come later use these."""

    async def main() -> None:
        first, second = tls_of(home, "n1"), tls_of(home, "n2")
        async with pair(first, second) as (one, two):
            await talk(one)
            renewed(home, "n1", "n2")
            for security in (first, second):
                assert security.tls is not None
                assert security.tls.renew()
            await talk(one, 3)
            assert len(two.node.stepped) == 4

    asyncio.run(main())


def renewed(home: Path, *nodes: str) -> None:
    fresh = home / "fresh"
    for node in nodes:
        day = datetime.timedelta(days=1)
        now = datetime.datetime.now(datetime.UTC)
        Authority.load(home).node(fresh, node, ["127.0.0.1"], now, day)
        for end in ("key", "crt"):
            shutil.copy2(fresh / f"{node}.{end}", home / f"{node}.{end}")


def test_no_plain_text_where_clients_use_tls(home: Path) -> None:
    node_files(home, "server")
    files = TlsFiles("client", str(home / "server.crt"), str(home / "server.key"))

    async def main() -> None:
        async with one_side("n1", client_tls=Tls(files)) as one:
            method = "/grpc.health.v1.Health/Check"
            async with grpc.aio.insecure_channel(one.client_address) as plain:
                with pytest.raises(grpc.aio.AioRpcError):
                    await _call(plain, method)
            known = grpc_channel(TlsFiles("client", ca=str(home / "ca.crt")))
            async with grpc.aio.secure_channel(one.client_address, known) as channel:
                assert await _call(channel, method) == b"\x08\x01"

    asyncio.run(main())


async def _call(channel: grpc.aio.Channel, method: str) -> bytes:
    call: Any = channel.unary_unary(method)
    answer: bytes = await call(b"", timeout=30)
    return answer
