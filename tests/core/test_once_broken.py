"""What the simulator found, each as small as it can be said."""

from __future__ import annotations

from raftd.core.messages import HelloReply, SnapshotRequest
from raftd.core.types import SnapshotMeta
from tests.core.commands import Script


def test_a_hello_reply_shows_only_records_that_are_synced() -> None:
    """Released by the first write, it must not show what the second one is still writing."""
    env = Script()
    for line in ("cluster 3 fresh", "boot", "deliver n1>n2", "deliver n3>n2", "persist n2 1"):
        env.run(line)
    replies = [wire.message for wire in env.wires if isinstance(wire.message, HelloReply)]
    assert [reply.records for reply in replies] == [(("n1", "i-n1"),)]


def test_no_leader_without_its_own_vote() -> None:
    """With the own vote cast last, enough others may grant before it is durable."""
    env = Script()
    for line in (
        "settings self_vote_last=yes prevote=no",
        "cluster 3",
        "boot",
        "campaign n1",
        "persist n1",
        "deliver n1>n2",
        "deliver n1>n3",
        "persist n2",
        "persist n3",
        "deliver n2=>n1",
        "deliver n3=>n1",
    ):
        env.run(line)
    core = env.nodes["n1"].core
    assert core.role.value == "candidate"
    assert core.voted_for == "n1"
    env.run("persist n1")
    assert core.role.value == "leader"


def _alone() -> Script:
    env = Script()
    for line in ("settings keep_entries=0", "cluster 1", "boot", "elect n1", "persist n1"):
        env.run(line)
    return env


def _in_use(env: Script, name: str = "n1") -> list[int]:
    return sorted(meta.index for meta in env.nodes[name].core.snapshots_in_use())


def _commit_and_snapshot(env: Script) -> int:
    """One more entry, applied; its snapshot is taken, and its mark is queued, not synced."""
    env.run("propose n1 a")
    env.run("persist n1")
    env.run("snapshot n1")
    return env.nodes["n1"].core.commit_index


def test_the_marked_snapshot_stays_until_the_next_mark_is_synced() -> None:
    env = _alone()
    first = _commit_and_snapshot(env)
    env.run("persist n1")
    assert _in_use(env) == [first]
    env.run("propose n1 b")
    env.run("persist n1")
    env.run("snapshot n1")
    assert _in_use(env) == [first, first + 1]
    env.run("persist n1")
    assert _in_use(env) == [first + 1]


def test_every_queued_mark_keeps_its_snapshot() -> None:
    """A crash may come after the first of two queued marks has reached the disk."""
    env = _alone()
    env.run("propose n1 a b")
    env.run("persist n1")
    core = env.nodes["n1"].core
    for index in (2, 3):
        meta = SnapshotMeta(index, 1, env.configuration, 100, index)
        env.nodes["n1"].queued += core.snapshot_taken(meta, env.now).persist
    assert _in_use(env) == [2, 3]


def test_a_snapshot_stays_until_the_machine_has_restored_it() -> None:
    """A newer one may be marked while an older one waits for the machine."""
    env = Script()
    for line in (
        "settings keep_entries=0",
        "cluster 3",
        "boot",
        "elect n1 n2",
        "stabilize n1 n2",
        "snapshot n1",
        "persist n1",
    ):
        env.run(line)
    node = env.nodes["n3"]
    core = node.core
    old = SnapshotMeta(1, 1, env.configuration, 100, 1)
    new = SnapshotMeta(2, 1, env.configuration, 100, 2)
    installs = []
    for meta in (old, new):
        request = _chunk(meta)
        core.step(request, env.now, meta.index)
        effects = core.snapshot_received(meta, meta.index, request, env.now)
        if effects.persist:
            done = core.persisted(effects.persist[-1].seq, env.now)
            installs.append(done.install)
    assert installs == [old, new]
    assert _in_use(env, "n3") == [1, 2]
    core.applied(2, env.now)
    assert _in_use(env, "n3") == [2]


def _chunk(meta: SnapshotMeta) -> SnapshotRequest:
    return SnapshotRequest(1, "n1", meta, 0, bytes(100), number=meta.index)
