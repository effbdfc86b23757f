"""When a node may say that it knows all that was committed before it was started."""

from __future__ import annotations

from raftd.core.messages import AppendRequest, SnapshotRequest
from raftd.core.types import Entry, EntryType, SnapshotMeta
from tests.core.commands import Script


class Wiped:
    """A follower whose log is empty, and its leader n2 of term 3."""

    def __init__(self) -> None:
        self._env = Script()
        for line in ("cluster 3", "boot"):
            self._env.run(line)
        self._core = self._env.nodes["n1"].core
        self._number = 0

    def caught_up(self) -> bool | None:
        return self._core.state(self._env.now).caught_up

    def hear(self, commit: int, *terms: int) -> None:
        """More entries, of these terms."""
        log = self._core.log
        entries = tuple(
            Entry(log.last_index + 1 + place, term, EntryType.BATCH, b"x")
            for place, term in enumerate(terms)
        )
        self._number += 1
        request = AppendRequest(3, "n2", log.last_index, log.last_term, entries, commit)
        fx = self._core.step(request, self._env.now, self._number)
        if fx.persist:
            self._core.persisted(fx.persist[-1].seq, self._env.now)

    def hear_a_snapshot(self) -> None:
        """The first piece of one that ends at index 9."""
        self._number += 1
        meta = SnapshotMeta(9, 2, self._env.configuration, 100, 1)
        self._core.step(SnapshotRequest(3, "n2", meta, 0, b"x"), self._env.now, self._number)

    def apply(self, index: int) -> None:
        self._core.applied(index, self._env.now)


def test_not_before_all_is_applied_that_the_leader_named_first() -> None:
    node = Wiped()
    assert node.caught_up() is None, "nobody was heard"
    node.hear(4, 1, 3)
    node.apply(2)
    assert node.caught_up() is False, "2 of 4"
    node.hear(9, 3, 3)
    node.apply(4)
    assert node.caught_up() is True, "what was committed later does not count"


def test_a_leader_that_has_committed_nothing_of_its_term_names_too_little() -> None:
    node = Wiped()
    node.hear(1, 1, 1)
    node.apply(1)
    assert node.caught_up() is False, "the second may be committed, too: no entry of term 3 is"
    node.hear(3, 3)
    node.apply(3)
    assert node.caught_up() is True


def test_a_snapshot_that_comes_does_not_name_a_commit_index() -> None:
    node = Wiped()
    node.hear_a_snapshot()
    assert node.caught_up() is False, "what follows the snapshot is not known yet"


def test_who_leads_waits_for_an_entry_of_its_own_term() -> None:
    env = Script()
    for line in ("cluster 3", "boot", "elect n1 n2"):
        env.run(line)
    core = env.nodes["n1"].core
    assert core.state(env.now).caught_up is False, "it may know too low a commit index"
    env.run("stabilize")
    assert core.state(env.now).caught_up is True


def test_who_has_led_has_caught_up_also_when_another_leads() -> None:
    """The story without it: the leader of a new cluster gave up its place, and was not ready, as if
    it had just been started, until an entry of the next leader's term was applied.
    """
    env = Script()
    for line in ("cluster 3", "boot", "elect n1 n2", "stabilize"):
        env.run(line)
    core = env.nodes["n1"].core
    state = core.state(env.now)
    assert state.caught_up is True
    heartbeat = AppendRequest(state.term + 1, "n2", state.last_index, state.term, (), 1)
    core.step(heartbeat, env.now, 1)
    after = core.state(env.now)
    assert (after.leader, after.term) == ("n2", state.term + 1)
    assert after.caught_up is True
