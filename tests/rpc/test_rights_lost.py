"""Streams that are open when their callers lose what let them in."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc.aio
import pytest

from raftd._pb import admin_pb2
from raftd._pb import etcd_pb2 as pb
from raftd._pb.admin_pb2_grpc import AdminStub
from raftd._pb.raft_pb2 import MemberChange
from raftd.core.effects import Event
from raftd.core.events import EventKind
from raftd.core.types import Configuration, Role, SnapshotMeta
from raftd.machine.kv.auth import Auth
from raftd.node.outcomes import Applied, Outcome, Refusal, Refused
from raftd.rpc.clients.audit import Audit
from raftd.rpc.clients.callers import Callers
from raftd.rpc.clients.members import changed
from raftd.rpc.directory import Directory
from raftd.rpc.etcd.calls import Caller
from raftd.rpc.etcd.door import Door
from raftd.rpc.etcd.faults import Fault
from raftd.rpc.etcd.header import Headers
from raftd.rpc.etcd.one_watcher import WatchRights
from raftd.rpc.etcd.watcher import StreamWatchers
from raftd.wire.auth import AuthCommand, Kind
from raftd.wire.refusals import DENIALS
from tests.etcd.test_watcher import Hub
from tests.rpc.fakes import VOTERS, FakeNode, one_side
from tests.rpc.test_client_port import Code, failure_of

LOST = {
    "role revoked": (Kind.USER_REVOKE, b"eve", b"root"),
    "deleted": (Kind.USER_DELETE, b"eve"),
    "another password": (Kind.USER_PASSWORD, b"eve", b"h2"),
}


def secured() -> tuple[Auth, bytes]:
    """Users, and who eve is, an operator who may lose it."""
    auth = Auth()
    for kind, *fields in (
        (Kind.USER_ADD, b"root", b"h"),
        (Kind.USER_GRANT, b"root", b"root"),
        (Kind.USER_ADD, b"eve", b"h"),
        (Kind.USER_GRANT, b"eve", b"root"),
        (Kind.ENABLE, bytes(32)),
    ):
        auth.apply(AuthCommand(kind, tuple(fields)))
    return auth, auth.principal_of("eve")


def lose(auth: Auth, how: str) -> None:
    kind, *fields = LOST[how]
    auth.apply(AuthCommand(kind, tuple(fields)))  # type: ignore[arg-type]


@pytest.mark.parametrize("how", LOST)
def test_a_watch_is_cancelled_with_the_reason_also_while_nothing_happens(how: str) -> None:
    auth, eve = secured()
    rights, hub = WatchRights(Callers(auth), eve), Hub()
    watchers = StreamWatchers(hub, lambda: 9, Headers(FakeNode("n1")), rights)
    watchers.on_request(pb.WatchRequest(create_request=pb.WatchCreateRequest(key=b"a")))
    (created,) = watchers.answers()
    watchers.look()
    assert not list(watchers.answers())
    lose(auth, how)
    watchers.look()
    (end,) = watchers.answers()
    assert (created.canceled, end.canceled, end.watch_id) == (False, True, created.watch_id)
    assert "permission denied" in end.cancel_reason or "is old" in end.cancel_reason
    assert hub.all[0].cancelled


class Talk:
    """A stream of the etcd API. sent: what its caller has."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.sent: list[Any] = []

    async def receive(self) -> Any:
        return "next"

    async def send(self, answer: Any) -> None:
        self.sent.append(answer)


class MaintenanceService:
    """Its Snapshot sends one piece before `change`, and one after it."""

    def __init__(self, change: Any) -> None:
        self._change = change

    async def Snapshot(self, talk: Any) -> None:
        await talk.receive()
        await talk.send(1)
        self._change()
        await talk.send(2)

    def __getattr__(self, name: str) -> Any:
        return None


@pytest.mark.parametrize("how", LOST)
def test_a_stream_of_the_etcd_api_ends_at_its_next_answer(how: str) -> None:
    auth, eve = secured()
    callers = Callers(auth)
    service = MaintenanceService(lambda: lose(auth, how))
    (snapshot,) = [
        method
        for method in Door(callers, Audit(lambda: 0.0)).methods([service])
        if method.path.endswith("/Snapshot")
    ]
    assert snapshot.streaming is not None
    shown = {"token": callers.token_for("eve", auth.users["eve"].serial)}
    talk = Talk(Caller(metadata=shown))
    with pytest.raises(Fault, match=r"permission denied|is old"):
        asyncio.run(snapshot.streaming(talk))  # type: ignore[arg-type]
    assert talk.sent == [1]
    assert talk.caller.principal == eve, "known from the beginning"


FILE = b"a snapshot's file"
META = SnapshotMeta(7, 3, Configuration(VOTERS), len(FILE), 0)
EVENT = Event(EventKind.ROLE, 3, Role.LEADER, "n1", "", peer=None)


class Feed:
    """Events, and the change before the second."""

    def __init__(self, change: Any) -> None:
        self._change = change
        self.number = 0

    async def next(self) -> tuple[int, float, Event]:
        self.number += 1
        if self.number == 2:
            self._change()
        return self.number, 1.5, EVENT

    def close(self) -> None:
        self.number = -1


@pytest.mark.parametrize("how", LOST)
@pytest.mark.parametrize("call", ["Events", "Backup"])
def test_an_operators_stream_ends_at_its_next_answer(
    call: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    auth, _ = secured()
    callers = Callers(auth)
    shown = (("token", callers.token_for("eve", auth.users["eve"].serial)),)

    async def main() -> None:
        async with one_side() as one, grpc.aio.insecure_channel(one.client_address) as channel:
            node = one.node
            one.servers._gate.callers = callers
            node.snapshot, node.snapshot_file = META, FILE
            feed, read = Feed(lambda: lose(auth, how)), node.read_snapshot

            async def read_and_lose(meta: SnapshotMeta, offset: int) -> bytes:
                if offset == 0:
                    lose(auth, how)
                return await read(meta, offset)

            monkeypatch.setattr(node, "subscribe", lambda from_start: feed)
            monkeypatch.setattr(node, "read_snapshot", read_and_lose)
            stub = AdminStub(channel)
            stream: Any = (
                stub.Events(admin_pb2.EventsRequest(), metadata=shown, timeout=20)
                if call == "Events"
                else stub.Backup(admin_pb2.BackupRequest(), metadata=shown, timeout=20)
            )
            heard = 0

            async def all_of_it() -> None:
                nonlocal heard
                async for _ in stream:
                    heard += 1
                    assert heard < 10, "it goes on and on"

            code, failure = await failure_of(all_of_it())
            assert code is Code.PERMISSION_DENIED
            assert "permission denied" in failure.message or "is old" in failure.message
            assert heard == (1 if call == "Events" else 2), "of a backup its head and a chunk"

    asyncio.run(main())


@pytest.mark.parametrize("how", LOST)
def test_a_change_of_the_members_that_is_forwarded_needs_the_rights_of_the_leader_too(
    how: str,
) -> None:
    """At a member that lags eve still seems to be an operator."""
    auth, eve = secured()
    node, callers = FakeNode("n1"), Callers(auth)
    node.leader = "n1"

    def asked() -> Outcome:
        wanted = MemberChange(action="remove", member="n2")
        return asyncio.run(changed(wanted, eve, callers, node, Directory({})))

    assert isinstance(asked(), Applied)
    lose(auth, how)
    outcome = asked()
    assert isinstance(outcome, Refused)
    assert outcome.refusal is Refusal.NOT_ALLOWED
    assert outcome.message in DENIALS
    assert len(node.changes) == 1
