"""Both faces: the same names with the same parameters, and what nodes are asked."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable
from random import Random

import pytest

from raftd.client import (
    AsyncClient,
    Client,
    Invalid,
    NotDone,
    OutcomeUnknown,
    RaftdError,
    Unavailable,
)
from raftd.client.delivery.nodes import Event, snapshot_at
from raftd.client.operations import get, put, submit
from tests.client.fake_server import FakeCluster
from tests.client.faults import Fault

Connect = Callable[..., Client]


def public(face: type) -> dict[str, list[str]]:
    return {
        name: list(inspect.signature(method).parameters)
        for name, method in inspect.getmembers(face, inspect.isfunction)
        if not name.startswith("_")
    }


def test_both_faces_have_the_same_names_with_the_same_parameters() -> None:
    assert public(Client) == public(AsyncClient)
    assert {"put", "events", "transfer", "snapshot"} <= set(public(Client))


def test_every_public_method_of_the_face_that_is_read_first_says_what_it_does() -> None:
    for name in public(Client):
        assert getattr(Client, name).__doc__, name


def test_nodes_through_the_blocking_face(cluster: FakeCluster, connect: Connect) -> None:
    client = connect(cluster)
    client.put("a", "b")
    assert client.snapshot() == cluster.index
    assert client.transfer("n2") == ("n2", 2)
    assert [event.number for event in events(client)] == [1, 4]
    with pytest.raises(Invalid, match="no such node"):
        client.transfer("n7")
    cluster.nodes["n3"].stop()
    indexes = client.ask_each(snapshot_at)
    assert list(indexes) == cluster.endpoints
    assert [isinstance(index, RaftdError) for index in indexes.values()] == [False, False, True]
    cluster.lead("nobody")
    with pytest.raises(Unavailable):
        client.transfer(timeout=0.2)


def test_a_change_of_members_that_had_no_answer_is_not_said_to_be_undone(
    cluster: FakeCluster, connect: Connect
) -> None:
    """`certainly not done` would be a lie: the leader may have taken it, and others will."""
    client = connect(cluster)
    client.put("a", "b")
    leader = cluster.nodes["n1"]
    leader.member_faults.append(Fault.DROP_AFTER)
    assert client.change_member("remove", "n3") == (7, 3), "asked again"
    leader.member_faults.extend([Fault.DROP_AFTER] * 1000)
    with pytest.raises(OutcomeUnknown, match="had no answer, so it may be done or not"):
        client.change_member("remove", "n3", timeout=0.7)
    leader.member_faults.clear()
    leader.member_faults.extend([Fault.DROP_AFTER, Fault.NOT_LEADER])
    with pytest.raises(OutcomeUnknown, match=r"it is one already; .* may be done or not"):
        client.change_member("add", "n4")
    leader.member_faults.append(Fault.NOT_LEADER)
    with pytest.raises(Invalid, match="it is one already"):
        client.change_member("add", "n4")


@pytest.mark.parametrize("session", [True, False])
def test_what_waits_for_a_leader_ends_with_the_client(
    cluster: FakeCluster, connect: Connect, session: bool
) -> None:
    """It went on for its whole timeout, on new connections that nobody closed."""
    client = connect(cluster)
    client.put("a", "b")
    cluster.lead("nobody")
    errors: list[RaftdError] = []

    def ask() -> None:
        try:
            if session:
                client.transfer()
            else:
                client.execute(put("a", "c"), session=False)
        except RaftdError as error:
            errors.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    asking.join(0.1)
    client.close()
    asking.join(10)
    assert not asking.is_alive()
    (error,) = errors
    assert isinstance(error, NotDone | OutcomeUnknown), "unknown if it was just on its way"


def test_a_call_whose_connection_is_closed_is_not_cancelled(cluster: FakeCluster) -> None:
    """asyncio took its caller for cancelled: the task ended, and no `except` saw it."""
    cluster.nodes["n1"].faults.extend([Fault.HANG_BEFORE] * 3)

    async def main() -> None:
        client = AsyncClient(cluster.endpoints, random=Random(7))
        asking = asyncio.ensure_future(client.execute(put("a", "b"), session=False))
        while len(cluster.nodes["n1"].faults) == 3:
            await asyncio.sleep(0.005)
        await client.close()
        with pytest.raises(OutcomeUnknown, match="the connection was closed; it may be done"):
            await asking

    asyncio.run(main())


def test_a_connection_that_is_closed_while_a_session_is_opened_ends_no_stream(
    cluster: FakeCluster, connect: Connect
) -> None:
    """The stream's task ended as if it was cancelled, and every later put waited in vain."""
    client = connect(cluster, timeout=10.0)
    context = client._callers.ready().context
    ready = context.session_ready
    cut = [asyncio.CancelledError(), asyncio.CancelledError()]

    async def session_ready(address: str) -> None:
        if cut:
            raise cut.pop()
        await ready(address)

    context.session_ready = session_ready  # type: ignore[method-assign]
    assert client.put("a", "b").version == 1
    assert not cut


def events(client: Client) -> list[Event]:
    """The fake node ends the stream after two, in good order."""
    return list(client.events())


def test_nodes_through_the_asyncio_face(cluster: FakeCluster) -> None:
    async def main() -> None:
        async with AsyncClient(cluster.endpoints, random=Random(7)) as client:
            assert await client.snapshot(cluster.endpoints[1]) == cluster.index
            assert (await client.transfer()).term == 2
            assert [event.kind async for event in client.events()] == [
                "became_leader",
                "term_changed",
            ]
            assert len(await client.ask_each(snapshot_at)) == 3

    asyncio.run(main())


def test_events_of_a_node_that_is_not_there(connect: Connect) -> None:
    client = connect(["127.0.0.1:1"])
    with pytest.raises(Unavailable, match="cannot connect"):
        next(client.events())


def test_an_operation_tells_its_place_in_the_log(cluster: FakeCluster, connect: Connect) -> None:
    client = connect(cluster)
    done = client.execute(put("a", "b"))
    assert (done.answer.version, done.index, done.term) == (1, cluster.index, 1)
    assert client.execute(get("a", "linearizable")).index == cluster.index


def test_options_are_checked() -> None:
    with pytest.raises(Invalid, match="timeout 0: expected a number above 0"):
        Client("h:1", timeout=0)
    with pytest.raises(TypeError):
        Client("h:1", patience=3)  # type: ignore[call-arg]
    with pytest.raises(Invalid, match="command: int, expected bytes or str"):
        submit(3)  # type: ignore[arg-type]
