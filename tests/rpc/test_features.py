"""What older members do not understand stays out of the log, and older nodes out of the cluster."""

from __future__ import annotations

import ast
import asyncio
from pathlib import Path
from typing import Any

import pytest

from raftd.core import messages as m
from raftd.core.types import Configuration
from raftd.machine.kv import access, store
from raftd.rpc.api import CannotMeet
from raftd.rpc.clients.features import NEWEST, Features
from raftd.rpc.directory import Directory, PeerAddress
from raftd.rpc.peers.checks import PROTOCOL, PROTOCOL_OLDEST
from raftd.wire import kv, needs
from raftd.wire.alarms import Action, Alarm, Kind, encode_alarm
from raftd.wire.auth import Kind as Change
from raftd.wire.auth import encode_auth
from raftd.wire.batch import encode_batch, encode_open
from tests.rpc.fakes import two_sides, until
from tests.rpc.test_peers import send

PUT = kv.encode_put(b"a", b"b")
USER = encode_auth(Change.USER_DELETE, b"ann")
ALARM = encode_alarm(Action.RAISE, Alarm(Kind.NO_SPACE, "n1"))
QUERIES_FROM = 16
NEWEST_KIND = max(needs.NEEDS)


class Cluster:
    """Three members, of which the test says what they speak."""

    def __init__(self) -> None:
        self.directory = Directory({})
        self.configuration = Configuration(("n1", "n2"), learners=("n3",))
        self.used = False
        self.features = Features(self.directory, lambda: self.configuration, lambda: self.used)

    def hears(self, node: str, protocol: int) -> None:
        self.directory.advertise(node, PeerAddress(), protocol)

    def says(self, *commands: bytes) -> str:
        batch = encode_batch(b"", 0, [(0, command) for command in commands])
        return self.features.refusal(batch)


def test_a_newer_kind_waits_for_every_member_and_names_it() -> None:
    cluster = Cluster()
    for node in ("n1", "n2"):
        cluster.hears(node, PROTOCOL)
    assert not cluster.says(PUT, PUT)
    assert "until n3 was heard" in cluster.says(USER)
    cluster.hears("n3", 1)  # a learner applies what all apply
    assert "an alarm is not understood by n3" in cluster.says(ALARM)
    assert "a change of users or roles is not understood by n3" in cluster.says(PUT, USER)
    assert not cluster.says(PUT)
    cluster.hears("n3", 2)
    assert not cluster.says(USER, ALARM)
    cluster.hears("n2", 1)  # it was started again, as it was before
    assert "not understood by n2" in cluster.says(USER)
    cluster.configuration = Configuration(("n1", "n3"))
    assert not cluster.says(USER)


def test_what_the_state_holds_already_was_understood_by_all() -> None:
    cluster = Cluster()
    cluster.used = True
    assert not cluster.says(USER)
    assert "need 2" in cluster.features.unfit(1)
    assert not cluster.features.unfit(2)
    assert not Cluster().features.unfit(1)


def test_what_was_proposed_keeps_older_nodes_out_before_it_is_applied() -> None:
    """The story without it: a change of users waits in the log for its majority, the state knows of
    none yet, and an older node is added behind it: it is fed what it does not understand.
    """
    cluster = Cluster()
    for node in ("n1", "n2", "n3"):
        cluster.hears(node, PROTOCOL)
    assert not cluster.says(PUT)
    assert not cluster.features.unfit(1)
    assert not cluster.says(PUT, USER)
    assert "need 2" in cluster.features.unfit(1)


@pytest.mark.parametrize("used", [False, True])
def test_what_this_node_does_not_know_is_not_proposed_by_it(used: bool) -> None:
    """The story without it: half way through the next upgrade an older node leads, a newer client
    sends what only the newer members know, and the leader's log makes them apply it alone.
    """
    cluster = Cluster()
    cluster.used = used
    for node in ("n1", "n2", "n3"):
        cluster.hears(node, PROTOCOL + 1)
    for kind in (NEWEST_KIND + 1, QUERIES_FROM, 255):
        newer = bytes([kind]) + b"x" * 30
        for commands in ((newer,), (PUT, newer), (newer, PUT), (b"", newer)):
            assert f"kind {kind} is not known" in cluster.says(*commands)
    assert not cluster.says(PUT, b"", USER, ALARM, b"")
    assert not cluster.features.refusal(encode_open())


@pytest.mark.parametrize("module", [store, access])
def test_every_kind_of_command_has_a_protocol(module: Any) -> None:
    """A new kind in the store, and no line in wire/needs.py: old members' states would part."""
    found = {number for number in compared(module) if number < QUERIES_FROM}
    assert found
    assert found <= needs.FIRST | needs.NEEDS.keys()
    assert max(needs.NEEDS.values()) == NEWEST <= PROTOCOL
    assert needs.NAMES.keys() == needs.NEEDS.keys()


def compared(module: Any) -> set[int]:
    """The numbers that the module compares `operation` with."""
    found: set[int] = set()
    for node in ast.walk(ast.parse(Path(module.__file__).read_text())):
        if isinstance(node, ast.Compare) and ast.unparse(node.left) == "operation":
            for right in node.comparators:
                value = eval(ast.unparse(right), vars(module))
                found.update(value if isinstance(value, (tuple, set, frozenset)) else (value,))
    return found


def older_only(protocol: int) -> str:
    return "it is too old" if protocol < PROTOCOL else ""


def test_an_older_node_is_refused_where_the_cluster_is_ahead_of_it() -> None:
    """Its own Hello, and the one to a node that is to be added."""

    async def main() -> None:
        async with two_sides() as (one, two):
            for side in (one, two):
                about = side.peers._about
                assert (about.protocol, about.protocol_oldest) == (PROTOCOL, PROTOCOL_OLDEST)
            one.peers._about.protocol = 1
            two.directory.unfit = older_only
            send(one, "n2", m.Channel.CONTROL, m.HelloRequest(one.node.identity, (), number=1))
            await until(lambda: one.node.lost, "the refusal")
            assert not two.node.stepped
            assert not two.directory.protocol("n1")
            with pytest.raises(CannotMeet, match=r"n1 at .* cannot take part: it is too old"):
                await two.peers.meet("n1", one.peer_address)

    asyncio.run(main())
