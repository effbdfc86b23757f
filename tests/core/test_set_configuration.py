"""Another configuration comes into force: what a node keeps for each member follows it."""

from __future__ import annotations

import ast
from pathlib import Path

from raftd.core import leader
from raftd.core.configuration_format import encode_configuration
from raftd.core.core import RaftCore
from raftd.core.effects import Effects
from raftd.core.messages import (
    AppendRequest,
    Channel,
    HelloReply,
    HelloRequest,
    SnapshotRequest,
    VoteRequest,
)
from raftd.core.state import State
from raftd.core.types import Configuration, Entry, EntryType, Identity, Role, SnapshotMeta
from tests.core.commands import Script
from tests.core.leading import CONFIGURATION, Leader

CORE = Path(leader.__file__).parent


def entry(index: int, term: int, *voters: str) -> Entry:
    payload = encode_configuration(Configuration(voters))
    return Entry(index, term, EntryType.CONFIGURATION, payload)


def campaigns(core: RaftCore) -> bool:
    return core._s.campaign is not None


def lead(*voters: str) -> tuple[Leader, State, Effects]:
    """A leader of n1, n2, n3 that has appended another configuration."""
    n1 = Leader()
    state, effects = n1.core._s, Effects()
    item = entry(state.log.last_index + 1, n1.term, *voters)
    leader.append(state, effects, n1.now, (item,))
    return n1, state, effects


def test_a_leader_keeps_progress_of_the_members_and_of_nobody_else() -> None:
    n1, state, effects = lead("n1", "n2", "n4")
    assert state.leadership is not None
    assert set(state.leadership.progress) == {"n2", "n4"}
    assert state.leadership.progress["n4"].next == state.log.last_index
    assert ("n4", Channel.CONTROL) in effects.wake
    assert "voters n1,n2,n4" in effects.events[-1].detail
    n1.now += 1.0
    assert n1.owed("n3", Channel.CONTROL) == []
    assert isinstance(n1.owed("n4", Channel.CONTROL)[0], HelloRequest)


def test_an_entry_is_committed_by_the_new_majority() -> None:
    n1, state, effects = lead("n1", "n2", "n3", "n4", "n5")
    n1.do(effects)
    n1.n2()
    assert state.commit_index == 1, "two of five"
    state.leadership.progress["n4"].matched(2, 1, 1)  # type: ignore[union-attr]
    leader.maybe_commit(state)
    assert state.commit_index == 2


def test_a_transfer_to_one_who_is_no_voter_any_more_is_given_up() -> None:
    n1 = Leader()
    n1.core.transfer("n3", n1.now)
    state, effects = n1.core._s, Effects()
    leader.append(state, effects, n1.now, (entry(2, n1.term, "n1", "n2"),))
    assert state.leadership is not None
    assert state.leadership.transfer is None
    assert [event.kind for event in effects.events] == ["transfer", "configuration"]


def test_a_follower_goes_back_when_the_entry_is_truncated() -> None:
    core = Leader().core
    state = core._s
    core.step(AppendRequest(9, "n2", 1, 2, (entry(2, 9, "n1", "n2"),), 1), 9.0, "a")
    assert state.configuration == Configuration(("n1", "n2"))
    assert "n3" not in state.greetings
    noop = Entry(2, 10, EntryType.NOOP, b"")
    core.step(AppendRequest(10, "n3", 1, 2, (noop,), 1), 20.0, "b")
    assert state.configuration == CONFIGURATION
    assert state.configurations == [(0, CONFIGURATION)]


def test_of_two_configurations_in_one_message_the_last_ones_members_are_woken() -> None:
    """n4 was admitted and told of n1's removal at once, and called n1 for ever."""
    core = Leader().core
    both = (entry(2, 9, "n1", "n2", "n3", "n4"), entry(3, 9, "n1", "n2", "n4"))
    fx = core.step(AppendRequest(9, "n2", 1, 2, both, 1), 9.0, "a")
    assert fx.configuration == Configuration(("n1", "n2", "n4"))
    assert {peer for peer, _ in fx.wake} == {"n2", "n4"}


def test_a_request_to_who_was_removed_meanwhile_is_lost_and_nobody_is_woken_for_it() -> None:
    """A leader with reads under way called the removed node for ever."""
    n1 = Leader()
    append, *_ = n1.owed("n3", Channel.APPEND)
    n1.core.read(n1.now, lambda index, refusal: None)
    state, effects = n1.core._s, Effects()
    leader.append(state, effects, n1.now, (entry(state.log.last_index + 1, n1.term, "n1", "n2"),))
    assert n1.core.unreachable("n3", append, n1.now).wake == {}


def test_a_candidate_that_a_snapshot_removes_gives_up() -> None:
    env = Script()
    for line in ("cluster 3", "boot", "campaign n1"):
        env.run(line)
    core = env.nodes["n1"].core
    assert campaigns(core)
    meta = SnapshotMeta(5, core.current_term, Configuration(("n2", "n3")), 10)
    core.snapshot_received(meta, "token", SnapshotRequest(1, "n2", meta, 0), env.now)
    assert not campaigns(core)
    assert core.state(env.now).role is Role.FOLLOWER


def test_nobody_is_asked_again_who_is_gone() -> None:
    """Else `wake_at` would say "now" for ever."""
    env = Script()
    for line in ("cluster 3", "boot", "campaign n1"):
        env.run(line)
    core = env.nodes["n1"].core
    state = core._s
    assert state.campaign is not None
    state.campaign.ask_again_at["n3"] = env.now
    meta = SnapshotMeta(5, core.current_term, Configuration(("n1", "n2")), 10)
    core.snapshot_received(meta, "token", SnapshotRequest(1, "n2", meta, 0), env.now)
    assert state.campaign is not None
    assert "n3" not in state.campaign.ask_again_at


def test_a_vote_request_that_is_lost_to_who_is_no_voter_any_more_is_not_repeated() -> None:
    """The node that a snapshot had just shown to be gone was called all the same, and `wake_at`
    said "now" until the campaign was over.
    """
    env = Script()
    for line in ("cluster 3", "boot", "campaign n1"):
        env.run(line)
    core = env.nodes["n1"].core
    assert core._s.campaign is not None
    sent = VoteRequest(core._s.campaign.term, "n1", 0, 0, pre=True, transfer=False)
    meta = SnapshotMeta(5, core.current_term, Configuration(("n1", "n2"), ("n4",)), 10)
    core.snapshot_received(meta, "token", SnapshotRequest(1, "n2", meta, 0), env.now)
    for peer in ("n2", "n3", "n4"):
        core.unreachable(peer, sent, env.now)
    assert set(core._s.campaign.ask_again_at) == {"n2"}


def test_a_demoted_voter_is_not_asked_again() -> None:
    """It is a member still, and owes nobody a vote: it was woken until the campaign was over."""
    env = Script()
    for line in ("cluster 3", "boot", "campaign n1"):
        env.run(line)
    core = env.nodes["n1"].core
    assert core._s.campaign is not None
    core._s.campaign.ask_again_at["n3"] = env.now
    meta = SnapshotMeta(5, core.current_term, Configuration(("n1", "n2"), ("n3",)), 10)
    core.snapshot_received(meta, "token", SnapshotRequest(1, "n2", meta, 0), env.now)
    assert "n3" not in core._s.campaign.ask_again_at


def test_a_hello_that_ends_late_leaves_nothing_of_who_was_removed() -> None:
    """n3 had refused this node, was removed meanwhile, and was named as refusing it for ever."""
    for reply in (None, HelloReply(Identity("0" * 16, "n3", "c"), (), "unknown here")):
        n1 = Leader()
        state, effects = n1.core._s, Effects()
        state.greetings.pop("n3")
        hello = n1.owed("n3", Channel.CONTROL)[0]
        assert isinstance(hello, HelloRequest)
        item = entry(state.log.last_index + 1, n1.term, "n1", "n2")
        leader.append(state, effects, n1.now, (item,))
        if reply is None:
            n1.core.unreachable("n3", hello, n1.now)
        else:
            n1.answer("n3", hello, reply)
        assert set(state.greetings) == {"n2"}
        assert n1.core.state(n1.now).refused_by == ()


def test_one_file_sets_the_configuration_and_one_the_role() -> None:
    """Of the fields on the left only the file on the right assigns or changes one."""
    owners = {
        "configurations": {"membership"},
        "role": {"roles"},
        "leadership": {"roles"},
        "current_term": {"roles"},
    }
    found: dict[str, set[str]] = {name: set() for name in owners}
    for path in CORE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            for name in changed(node):
                if name in found:
                    found[name].add(path.stem)
    assert found == owners


def changed(node: ast.AST) -> set[str]:
    """Names of attributes that `node` assigns, or whose value it changes by a list's method."""
    if isinstance(node, ast.Assign | ast.AugAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        parts = [
            part
            for target in targets
            for part in (target.elts if isinstance(target, ast.Tuple) else [target])
        ]
        return {part.attr for part in parts if isinstance(part, ast.Attribute)}
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        inner = node.func.value
        if isinstance(inner, ast.Attribute) and node.func.attr in {"append", "pop", "extend"}:
            return {inner.attr}
    return set()
